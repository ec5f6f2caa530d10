//! How many connections a listener has, in all and by peer address, and how many bytes of messages may be
//! received at the same time. What an address takes is given back when its last user is dropped.

use super::limits::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the byte counts: a semaphore counts to 2^32 at most.
const UNIT: usize = 1 << 10;

/// All connections of a listener.
#[derive(Debug)]
pub struct Addresses {
    limits: Limits,
    receiving: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    connections: usize,
    by_address: HashMap<IpAddr, (usize, Arc<Semaphore>)>,
}

/// A connection's place. Dropped, it is free.
#[derive(Debug)]
pub struct Place {
    all: Arc<Addresses>,
    address: IpAddr,
    /// The bytes that this address may have on their way in.
    receiving: Arc<Semaphore>,
}

/// Bytes that may be received.
#[derive(Debug)]
pub struct Room(#[allow(dead_code)] [OwnedSemaphorePermit; 2]);

/// What one address may have of what is being received.
const fn share(limits: &Limits) -> usize {
    limits.receiving_bytes / 3 * 2
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

impl Addresses {
    pub fn new(limits: Limits) -> Arc<Self> {
        let receiving = Arc::new(Semaphore::new(units(limits.receiving_bytes)));
        let probes = Arc::new(Semaphore::new(limits.probes));
        Arc::new(Self { limits, receiving, probes, known: Mutex::default() })
    }

    /// A place for a new connection. An error says which limit is reached.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        // One IPv6 host has a whole network of addresses.
        let address = match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                IpAddr::V6((u128::from(address) >> 64 << 64).into())
            }
            address => address,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.connections >= self.limits.connections {
            return Err("connections");
        }
        let share = units(share(&self.limits));
        let new = || (0, Arc::new(Semaphore::new(share)));
        let (connections, receiving) = known.by_address.entry(address).or_insert_with(new);
        if *connections >= self.limits.connections_per_address {
            return Err("connections_per_address");
        }
        *connections += 1;
        let receiving = Arc::clone(receiving);
        known.connections += 1;
        Ok(Place { all: Arc::clone(self), address, receiving })
    }
}

impl Place {
    /// One more call without a tenant. None: there are too many.
    pub fn probe(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all.probes).try_acquire_owned().ok()
    }

    /// Waits until so many bytes may be received. They are taken in one order everywhere, so two that
    /// wait never wait for each other.
    pub async fn room(&self, bytes: usize) -> Room {
        let take = |of: &Arc<Semaphore>, most: usize| {
            Arc::clone(of).acquire_many_owned(units(bytes).min(units(most)) as u32)
        };
        let limits = &self.all.limits;
        let own = take(&self.receiving, share(limits)).await;
        let all = take(&self.all.receiving, limits.receiving_bytes).await;
        let open = "these semaphores are never closed";
        Room([own.expect(open), all.expect(open)])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.all.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.connections -= 1;
        if let Some((connections, _)) = known.by_address.get_mut(&self.address) {
            *connections -= 1;
            if *connections == 0 {
                known.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::PUBLIC };
        let all = Addresses::new(limits);
        let first = all.enter(address(1)).unwrap();
        let _second = all.enter(address(1)).unwrap();
        assert_eq!(all.enter(address(1)).unwrap_err(), "connections_per_address");
        let _third = all.enter(address(2)).unwrap();
        assert_eq!(all.enter(address(3)).unwrap_err(), "connections");
        drop(first);
        assert!(all.enter(address(1)).is_ok());
    }

    #[tokio::test]
    async fn one_address_leaves_room_for_others() {
        let limits = Limits { receiving_bytes: 24 << 10, ..Limits::PUBLIC };
        let all = Addresses::new(limits);
        let (one, other) = (all.enter(address(1)).unwrap(), all.enter(address(2)).unwrap());
        let first = one.room(12 << 10).await;
        let soon = std::time::Duration::from_millis(20);
        let late = tokio::time::timeout(soon, one.room(12 << 10)).await;
        assert!(late.is_err(), "the address has no more");
        let second = other.room(12 << 10).await;
        drop(first);
        drop((one.room(12 << 10).await, second));
    }
}
