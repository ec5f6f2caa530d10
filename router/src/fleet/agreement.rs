//! The model and the block size that this router serves: what its configuration says, or else what
//! most of its workers have.
//!
//! A worker votes with what it announces, and its vote counts until it is lost, also while it is
//! refused. So one stray worker that comes first refuses the others only until a second one is there.
//! Among equals, what is served now stays.

use super::status::FleetTerms;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use warmpath_core::id::WorkerId;
use warmpath_proto::watched::{Watched, Watcher};

/// What the fleet serves, and who is for it.
#[derive(Debug)]
pub struct Agreement {
    model: Option<String>,
    block_size: Option<u32>,
    votes: Mutex<BTreeMap<WorkerId, FleetTerms>>,
    /// None until the first worker has voted.
    agreed: Watched<Option<Arc<FleetTerms>>>,
}

impl Agreement {
    /// `model` and `block_size` are the configuration's.
    pub fn new(model: Option<String>, block_size: Option<u32>) -> Self {
        Self { model, block_size, votes: Mutex::default(), agreed: Watched::new(None) }
    }

    /// What is served now.
    pub fn terms(&self) -> Option<Arc<FleetTerms>> {
        self.agreed.borrow().clone()
    }

    /// Changes of what is served can be waited for.
    pub fn watch(&self) -> Watcher<Option<Arc<FleetTerms>>> {
        self.agreed.watch()
    }

    /// A worker announces what it has. The error says why this router does not serve that now.
    pub fn vote(&self, worker: WorkerId, terms: &FleetTerms) -> Result<(), String> {
        if let Err(why) = self.check_configured(terms) {
            self.withdraw(worker);
            return Err(why);
        }
        let mut votes = self.votes.lock().unwrap_or_else(PoisonError::into_inner);
        votes.insert(worker, terms.clone());
        self.count(&votes);
        self.check(terms, &votes)
    }

    /// A worker is lost or removed: its vote does not count any more.
    pub fn withdraw(&self, worker: WorkerId) {
        let mut votes = self.votes.lock().unwrap_or_else(PoisonError::into_inner);
        if votes.remove(&worker).is_some() {
            self.count(&votes);
        }
    }

    /// Whether this is served now. The error says what is.
    pub fn check_served(&self, terms: &FleetTerms) -> Result<(), String> {
        self.check(terms, &self.votes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_configured(&self, theirs: &FleetTerms) -> Result<(), String> {
        let ours = FleetTerms {
            model: self.model.clone().unwrap_or_else(|| theirs.model.clone()),
            block_size: self.block_size.unwrap_or(theirs.block_size),
        };
        match theirs.difference(&ours) {
            None => Ok(()),
            Some(why) => Err(format!("{why} by its configuration")),
        }
    }

    fn check(
        &self,
        theirs: &FleetTerms,
        votes: &BTreeMap<WorkerId, FleetTerms>,
    ) -> Result<(), String> {
        let Some(agreed) = self.terms() else {
            return Err("no worker has joined yet".to_owned());
        };
        let Some(why) = theirs.difference(&agreed) else { return Ok(()) };
        let with = votes.values().filter(|terms| **terms == *agreed).count();
        Err(format!("{why} as {with} of {} workers have it", votes.len()))
    }

    /// The most votes win; among equals what is served now, then the lowest number.
    fn count(&self, votes: &BTreeMap<WorkerId, FleetTerms>) {
        let of = |terms: &FleetTerms| votes.values().filter(|other| *other == terms).count();
        // Of several that are highest the last is taken: so the lowest number comes last.
        let Some(most) = votes.values().rev().max_by_key(|terms| of(terms)) else { return };
        let changed = self.agreed.modify_if(|agreed| {
            let stays = agreed.as_ref().is_some_and(|agreed| of(agreed) >= of(most));
            if !stays {
                *agreed = Some(Arc::new(most.clone()));
            }
            !stays
        });
        if changed {
            let FleetTerms { model, block_size } = most;
            tracing::info!(model, block_size, workers = of(most), "this router serves");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(model: &str, block_size: u32) -> FleetTerms {
        FleetTerms { model: model.to_owned(), block_size }
    }

    #[test]
    fn most_workers_decide_and_the_first_does_not() {
        let agreement = Agreement::new(None, None);
        let [stray, ours] = [terms("stray", 32), terms("m", 16)];
        let served = || agreement.terms().unwrap().model.clone();
        assert_eq!(agreement.vote(WorkerId(2), &stray), Ok(()), "no other worker is there");
        assert_eq!(
            agreement.vote(WorkerId(0), &ours).unwrap_err(),
            "block size is 16 tokens, this router's is 32 as 1 of 2 workers have it",
            "one against one: what is served stays"
        );
        assert_eq!(agreement.vote(WorkerId(1), &ours), Ok(()));
        assert_eq!(served(), "m");
        assert_eq!(
            agreement.check_served(&stray).unwrap_err(),
            "block size is 32 tokens, this router's is 16 as 2 of 3 workers have it"
        );
        agreement.withdraw(WorkerId(0));
        assert_eq!(served(), "m", "equal again");
        agreement.withdraw(WorkerId(1));
        assert_eq!(served(), "stray", "the others left, its vote counted all the time");
        agreement.withdraw(WorkerId(2));
        assert_eq!(served(), "stray", "an empty fleet serves what it served");
    }

    #[test]
    fn the_configuration_outvotes_all() {
        let agreement = Agreement::new(Some("m".to_owned()), None);
        for number in 0..3 {
            let why = agreement.vote(WorkerId(number), &terms("other", 16)).unwrap_err();
            assert_eq!(why, "model is 'other', this router's is 'm' by its configuration");
        }
        assert_eq!(agreement.vote(WorkerId(3), &terms("m", 64)), Ok(()));
        assert_eq!(*agreement.terms().unwrap(), terms("m", 64));
    }

    #[test]
    fn among_equals_the_lowest_number_decides() {
        let agreement = Agreement::new(None, None);
        agreement.votes.lock().unwrap().insert(WorkerId(1), terms("b", 16));
        assert_eq!(agreement.vote(WorkerId(0), &terms("a", 16)), Ok(()));
    }
}
