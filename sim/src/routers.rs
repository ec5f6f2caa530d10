//! The routers of a world: one, or several before the same fleet.
//!
//! Requests are dealt to them at random, each for itself: the requests of a session may go to different
//! routers, as behind a service that balances calls. All routers have the same feeds, with the same
//! delay, so their indexes are equal at each instant, and one index stands for all.

use crate::scenario::Scenario;
use warmpath_core::id::RequestId;
use warmpath_core::rng::hash_words;
use warmpath_core::routing::Router;
use warmpath_core::routing::input::{Input, RouterId};
use warmpath_core::time::Instant;

const DEAL: u64 = 0x726f_7574_6572_7331;

/// The routers, numbered from 0. There is at least one.
#[derive(Debug)]
pub struct Routers {
    all: Vec<Router>,
    seed: u64,
}

/// Who hears an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receivers {
    One(u32),
    All,
    AllBut(u32),
    /// Those that have something to do.
    Due,
}

impl Routers {
    pub fn new(scenario: &Scenario) -> Self {
        let router = |number: u32| {
            // Each draws for itself. A world of one router has the scenario's seed.
            let seed = match number {
                0 => scenario.seed,
                _ => hash_words(&[scenario.seed, u64::from(number)]),
            };
            Router::new(scenario.policy)
                .with_seed(seed)
                .with_queue_limits(scenario.queue)
                .with_reliability(scenario.reliability)
                .with_admission(scenario.admission.clone())
                .with_siblings(scenario.routers.siblings())
        };
        let count = scenario.routers.count.max(1);
        Self { all: (0..count).map(router).collect(), seed: scenario.seed }
    }

    pub fn all(&self) -> impl Iterator<Item = &Router> {
        self.all.iter()
    }

    pub fn get_mut(&mut self, number: u32) -> &mut Router {
        &mut self.all[number as usize]
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.all.iter().filter_map(Router::next_wake).min()
    }

    /// The router that a request is dealt to.
    pub fn of(&self, id: RequestId) -> u32 {
        match self.all.len() {
            1 => 0,
            count => (hash_words(&[DEAL, self.seed, id.0]) % count as u64) as u32,
        }
    }

    /// Who hears this input.
    pub fn receivers(&self, input: &Input) -> Receivers {
        match input {
            Input::Arrived(request) => Receivers::One(self.of(request.id)),
            Input::PrefillDone(id)
            | Input::FirstToken(id)
            | Input::Finished { id, .. }
            | Input::Cancelled(id)
            | Input::Failed { id, .. } => Receivers::One(self.of(*id)),
            Input::Sibling { router: RouterId(from), .. } => Receivers::AllBut(*from),
            Input::Tick => Receivers::Due,
            _ => Receivers::All,
        }
    }

    /// Whether a router is one of these.
    pub fn hears(&self, now: Instant, receivers: Receivers, number: u32) -> bool {
        match receivers {
            Receivers::One(one) => one == number,
            Receivers::All => true,
            Receivers::AllBut(other) => other != number,
            Receivers::Due => {
                let due = self.all[number as usize].next_wake();
                self.all.len() == 1 || due.is_some_and(|at| at <= now)
            }
        }
    }

    pub fn count(&self) -> u32 {
        self.all.len() as u32
    }
}
