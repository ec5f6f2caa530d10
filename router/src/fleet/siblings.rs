//! The other routers before the fleet, as far as this one knows them. A sibling is one address behind one URL.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use warmpath_core::routing::input::RouterId;

/// How it is with a sibling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Its news come.
    Followed,
    /// Not reached, or silent, and why.
    Lost(String),
    /// It does not match this router.
    Refused(String),
    /// It is this router itself, or a sibling that is followed at another address.
    Same(String),
}

impl Standing {
    /// As the admin service spells it, and the reason.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Followed => ("followed", ""),
            Self::Lost(why) => ("lost", why),
            Self::Refused(why) => ("refused", why),
            Self::Same(why) => ("same", why),
        }
    }
}

/// One address at which there may be a sibling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    pub url: String,
    /// Empty: the URL was not looked up.
    pub address: String,
    pub standing: Standing,
    /// Its life. None: it is not followed.
    pub epoch: Option<u64>,
    /// Whether it names blocks as this router does.
    pub same_names: bool,
    /// Its requests that have not ended.
    pub under_way: usize,
    /// Those of them that went to workers which are not in this router's fleet.
    pub elsewhere: usize,
    /// News that came from it.
    pub news: u64,
    /// How often it was followed anew because of what came from it.
    pub gaps: u64,
}

/// All siblings, by this router's number of each.
#[derive(Default, Debug)]
pub struct Siblings(Mutex<Inner>);

#[derive(Default, Debug)]
struct Inner {
    next: u32,
    by_number: BTreeMap<RouterId, Sibling>,
}

impl Siblings {
    /// A number for an address. A number is never given again.
    pub fn add(&self, url: &str, address: String) -> RouterId {
        let mut inner = self.lock();
        let id = RouterId(inner.next);
        inner.next += 1;
        let sibling = Sibling {
            url: url.to_owned(),
            address,
            standing: Standing::Lost("not reached yet".to_owned()),
            epoch: None,
            same_names: false,
            under_way: 0,
            elsewhere: 0,
            news: 0,
            gaps: 0,
        };
        inner.by_number.insert(id, sibling);
        id
    }

    /// Removes an address that is not followed. False: it is followed.
    pub fn remove(&self, id: RouterId) -> bool {
        let mut inner = self.lock();
        let followed = inner.by_number.get(&id).is_some_and(|s| s.standing == Standing::Followed);
        if !followed {
            inner.by_number.remove(&id);
        }
        !followed
    }

    /// From now on this router is followed here. The error is another address at which it already is.
    pub fn claim(&self, id: RouterId, epoch: u64) -> Result<(), String> {
        let mut inner = self.lock();
        let holder =
            inner.by_number.iter().find(|(other, s)| **other != id && s.epoch == Some(epoch));
        if let Some((_, Sibling { url, address, .. })) = holder {
            let at = if address.is_empty() { url } else { address };
            return Err(format!("the same router as at {at}"));
        }
        if let Some(sibling) = inner.by_number.get_mut(&id) {
            sibling.epoch = Some(epoch);
        }
        Ok(())
    }

    pub fn change(&self, id: RouterId, change: impl FnOnce(&mut Sibling)) {
        if let Some(sibling) = self.lock().by_number.get_mut(&id) {
            change(sibling);
        }
    }

    /// In the order of their numbers.
    pub fn all(&self) -> Vec<Sibling> {
        self.lock().by_number.values().cloned().collect()
    }

    /// How many are followed.
    pub fn followed(&self) -> usize {
        let inner = self.lock();
        inner.by_number.values().filter(|sibling| sibling.standing == Standing::Followed).count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_followed_at_one_address() {
        let siblings = Siblings::default();
        let [a, b] = ["1", "2"].map(|address| siblings.add("u", address.to_owned()));
        assert_eq!(siblings.claim(a, 7), Ok(()));
        assert_eq!(siblings.claim(a, 7), Ok(()), "again");
        assert_eq!(siblings.claim(b, 7), Err("the same router as at 1".to_owned()));
        assert_eq!(siblings.claim(b, 8), Ok(()));
        siblings.change(a, |sibling| sibling.standing = Standing::Followed);
        assert_eq!(siblings.followed(), 1);
        assert!(!siblings.remove(a) && siblings.remove(b));
        assert_eq!(siblings.all().len(), 1);
        assert_ne!(siblings.add("u", "2".to_owned()), b, "no number comes again");
    }
}
