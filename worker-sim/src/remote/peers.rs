//! The peers by number.

use super::grpc::BlockHolder;
use crate::recent::Recent;
use std::collections::HashMap;
use std::sync::Arc;
use warmpath_core::id::WorkerId;
use warmpath_proto::pool::Agreement;
use warmpath_proto::transport::Dialling;

/// The peers that were used last. A number is never given again: if the engine asks a peer that was
/// forgotten since, the fetch fails.
#[derive(Debug)]
pub struct Peers {
    next: u32,
    recent: Recent<(WorkerId, Arc<BlockHolder>)>,
    by_number: HashMap<WorkerId, Arc<BlockHolder>>,
    how: Dialling,
}

impl Peers {
    /// Remembers this many peers. `how` they are reached.
    pub fn new(most: usize, how: Dialling) -> Self {
        Self { next: 0, recent: Recent::new(most), by_number: HashMap::new(), how }
    }

    /// The peer at a URL. None: the URL cannot be used.
    pub fn at(&mut self, url: &str, agreement: &Agreement) -> Option<(WorkerId, Arc<BlockHolder>)> {
        let number = WorkerId(self.next);
        let how = &self.how;
        let make = || BlockHolder::new(url, agreement, how).map(|peer| (number, peer));
        let (peer, forgotten) = self.recent.get_or_make(url, make).ok()?;
        if let Some((number, _)) = forgotten {
            self.by_number.remove(&number);
        }
        if peer.0 == number {
            self.next += 1;
            self.by_number.insert(number, Arc::clone(&peer.1));
        }
        Some(peer)
    }

    /// The peer with this number, if it is still remembered.
    pub fn get(&self, number: WorkerId) -> Option<Arc<BlockHolder>> {
        self.by_number.get(&number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection is made when it is first used, so these connect to nothing.
    #[tokio::test]
    async fn a_new_peer_replaces_the_one_not_used_for_longest() {
        let agreement = Agreement { model: "m".to_owned(), block_size: 16, speedup: 1.0 };
        let mut peers = Peers::new(3, Dialling::default());
        let mut number = |port: u32| {
            let (number, peer) = peers.at(&format!("http://h:{port}"), &agreement)?;
            let found = peers.get(number).expect("a peer that was just used is known");
            assert!(Arc::ptr_eq(&found, &peer) && peers.by_number.len() <= 3);
            Some(number.0)
        };
        let numbers: Vec<_> = (0..10).filter_map(|port| number(port % 5)).collect();
        assert_eq!(numbers, Vec::from_iter(0..10), "each was forgotten before it came again");
        assert_eq!((number(3), number(9), number(3)), (Some(8), Some(10), Some(8)));
        assert_eq!(number(0), Some(11));
        assert!(peers.get(WorkerId(9)).is_none(), "port 4 was not used for longest");
    }
}
