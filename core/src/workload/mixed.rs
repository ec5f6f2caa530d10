//! Several classes of sessions at once, such as the different tasks of an office. Each class is drawn
//! independently. A request's id tells its class.

use super::phases::Phases;
use super::sessions::Sessions;
use super::spec::WorkloadSpec;
use crate::id::{RequestId, SessionId};
use crate::request::Work;
use crate::rng::hash_words;
use crate::sharing::Scopes;
use crate::time::Instant;

/// The sessions of all classes.
#[derive(Clone, Debug)]
pub struct Mixed {
    classes: Vec<Sessions>,
}

/// The class of a request, from 0, in a workload of `classes` classes.
pub const fn class_of(id: RequestId, classes: u32) -> u32 {
    (id.0 % classes as u64) as u32
}

/// The seed of a class. Different seeds keep the texts of two classes different.
pub fn seed_of(seed: u64, class: u32) -> u64 {
    hash_words(&[seed, 0x434c_4153, u64::from(class)])
}

impl Mixed {
    /// The classes of `specs`, at least one. `rate_scale` multiplies the arrival rate of open loops.
    /// `limit` is the most requests in all: each class has the same share of its requests, at least 1.
    pub fn new(
        specs: &[WorkloadSpec],
        scopes: &Scopes,
        seed: u64,
        rate_scale: f64,
        limit: Option<u64>,
    ) -> Self {
        assert!(!specs.is_empty(), "a mixed workload has at least one class");
        let all: u64 = specs.iter().map(|spec| spec.sessions.requests).sum();
        let part = |spec: &WorkloadSpec| {
            let part = |limit: u64| (limit * spec.sessions.requests / all).max(1);
            limit.filter(|&limit| limit < all).map(part)
        };
        let draw = |(class, spec)| {
            let seed = seed_of(seed, class);
            Sessions::with_shared_texts(spec, scopes, seed, rate_scale, part(spec))
        };
        Self { classes: (0..).zip(specs).map(draw).collect() }
    }

    /// The same arrivals at the rates of these phases. Each class has its share of `limit`.
    #[must_use]
    pub(super) fn in_phases(self, phases: &Phases, limit: Option<u64>) -> Self {
        let classes = self.classes.into_iter();
        let whole: Vec<Sessions> = classes.map(|class| class.in_phases(phases, None)).collect();
        let all: u64 = whole.iter().map(Sessions::total).sum();
        let Some(limit) = limit.filter(|&limit| limit < all) else {
            return Self { classes: whole };
        };
        let part = |class: Sessions| {
            let part = (limit * class.total() / all.max(1)).max(1);
            class.in_phases(phases, Some(part))
        };
        Self { classes: whole.into_iter().map(part).collect() }
    }

    /// The number of requests of all classes.
    pub fn total(&self) -> u64 {
        self.classes.iter().map(Sessions::total).sum()
    }

    /// When the next request is to be sent. None: all are sent, or the next waits for an answer.
    pub fn next_send(&self) -> Option<Instant> {
        self.classes.iter().filter_map(Sessions::next_send).min()
    }

    /// Takes the next request. Of two classes due at the same time, the first one sends first. Panics
    /// if no request is due.
    pub fn send(&mut self) -> Work {
        let due = |class: usize| Some((self.classes[class].next_send()?, class));
        let (_, class) = (0..self.classes.len()).filter_map(due).min().expect("a request is due");
        let mut work = self.classes[class].send();
        let count = self.classes.len() as u64;
        let numbered = |number: u64| number * count + class as u64;
        work.request.id = RequestId(numbered(work.request.id.0));
        let session = |of: Option<SessionId>| of.map(|session| SessionId(numbered(session.0)));
        (work.request.session, work.user) = (session(work.request.session), session(work.user));
        work
    }

    /// A request that was sent has ended, answered or failed.
    pub fn on_ended(&mut self, now: Instant, id: RequestId) {
        let count = self.classes.len() as u64;
        self.classes[(id.0 % count) as usize].on_ended(now, RequestId(id.0 / count));
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Amount, SessionsSpec, ThinkFrom};
    use super::*;
    use crate::block::ScopePlan;
    use crate::workload::arrivals::Arrivals;
    use std::collections::BTreeSet;

    fn spec(requests: u64, prompt: f64, sessions_per_s: f64) -> WorkloadSpec {
        let fixed = |mean| Amount { mean, cv: 0.0 };
        WorkloadSpec {
            sessions: SessionsSpec {
                name: "test".into(),
                requests,
                arrivals: Arrivals::Poisson { sessions_per_s },
                system_prompts: 1,
                system_tokens: 100,
                turns: fixed(3.0),
                branching: None,
                user_tokens: fixed(prompt),
                output_tokens: fixed(20.0),
                think_s: fixed(1.0),
                think_from: ThinkFrom::Answer,
                max_context_tokens: 9_000,
            },
            team_prefixes: None,
            documents: None,
            tenants: 1,
            tenant_zipf: 0.0,
            stages: Vec::new(),
            prompts: None,
        }
    }

    fn play(mut mixed: Mixed) -> Vec<(Instant, Work)> {
        let mut seen = Vec::new();
        while let Some(at) = mixed.next_send() {
            let work = mixed.send();
            mixed.on_ended(at, work.request.id);
            seen.push((at, work));
        }
        seen
    }

    fn mixed(limit: Option<u64>) -> Mixed {
        let scopes = Scopes::from(&ScopePlan::new("", "", "", 16));
        Mixed::new(&[spec(60, 50.0, 2.0), spec(30, 700.0, 1.0)], &scopes, 7, 1.0, limit)
    }

    #[test]
    fn an_id_tells_the_class_and_classes_share_no_text() {
        let seen = play(mixed(None));
        assert!(seen.is_sorted_by_key(|(at, _)| *at), "not in the order of time");
        let ids: BTreeSet<RequestId> = seen.iter().map(|(_, work)| work.request.id).collect();
        assert_eq!((seen.len(), ids.len()), (90, 90));
        let of = |class| seen.iter().filter(move |(_, w)| class_of(w.request.id, 2) == class);
        assert_eq!((of(0).count(), of(1).count()), (60, 30));
        let first = |class| of(class).map(|(_, w)| w.request.prompt.tokens()).min();
        assert_eq!((first(0), first(1)), (Some(150), Some(800)));
        let names = |class| -> BTreeSet<u128> {
            of(class).map(|(_, w)| w.request.prompt.chain().hash(0).to_wire()).collect()
        };
        // All sessions of a class start with its only system prompt.
        assert_eq!((names(0).len(), names(1).len()), (1, 1));
        assert!(names(0).is_disjoint(&names(1)));
        let sessions = |class| -> BTreeSet<Option<SessionId>> {
            of(class).map(|(_, work)| work.request.session).collect()
        };
        assert!(sessions(0).is_disjoint(&sessions(1)));
    }

    #[test]
    fn a_limit_takes_the_same_part_of_each_class() {
        let seen = play(mixed(Some(30)));
        let of = |class| seen.iter().filter(|(_, w)| class_of(w.request.id, 2) == class).count();
        assert_eq!((of(0), of(1)), (20, 10));
        assert_eq!(mixed(Some(30)).total(), 30);
    }
}
