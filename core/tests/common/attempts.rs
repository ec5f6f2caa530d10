//! A router whose attempts fail or are answered as a test says.

use super::joined;
use std::collections::BTreeMap;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::id::{RequestId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::health::Standing;
use warmpath_core::routing::input::{Action, Decision, Failure, Input, RejectReason};
use warmpath_core::routing::policy::LeastLoaded;
use warmpath_core::routing::record::{Header, replay};
use warmpath_core::routing::retry::GiveUp;
use warmpath_core::routing::{Reliability, Router, no_lookup};
use warmpath_core::time::Instant;

/// A router, its clock in milliseconds, and where each request is.
pub struct Bench {
    pub router: Router,
    pub ms: u64,
    pub next: u64,
    pub on: BTreeMap<u64, WorkerId>,
    pub lines: Vec<String>,
}

impl Bench {
    pub fn new(workers: u32, what: Reliability) -> Self {
        what.check().expect("limits that make sense");
        let header = Header::new(LeastLoaded::DEFAULT.into(), 0).with_reliability(what);
        Self::with(workers, header)
    }

    /// A router as the header of its record says.
    pub fn with(workers: u32, header: Header) -> Self {
        let router = Router::new(header.policy)
            .with_queue_limits(header.queue)
            .with_reliability(header.reliability)
            .with_admission(header.admission.clone())
            .with_siblings(header.siblings);
        let lines = vec![serde_json::to_string(&header).expect("JSON")];
        let mut bench = Self { router, ms: 0, next: 0, on: BTreeMap::new(), lines };
        for worker in 0..workers {
            assert_eq!(bench.apply(Input::Joined(joined(worker))), []);
        }
        bench
    }

    pub fn apply(&mut self, input: Input) -> Vec<Action> {
        let (now, mut out) = (Instant::from_nanos(self.ms * 1_000_000), Vec::new());
        let entry = self.router.apply_recorded(now, input, &no_lookup, &mut out);
        self.lines.push(serde_json::to_string(&entry).expect("JSON"));
        for action in &out {
            if let Action::Dispatch { id, decision } = action {
                self.on.insert(id.0, decision.worker);
            }
        }
        out
    }

    pub fn request(id: u64) -> Request {
        let scope = ScopePlan::new("", "", "", 10);
        let tokens: Vec<u32> = (0..40).map(|token| token + 100 * id as u32).collect();
        let prompt = TokenBlocks::whole(hash_blocks(&scope, &tokens));
        let (id, tenant) = (RequestId(id), TenantId(0));
        Request {
            id,
            session: None,
            tenant,
            prompt,
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        }
    }

    /// A request comes. Where it goes.
    pub fn send(&mut self) -> (u64, WorkerId) {
        self.next += 1;
        let id = self.next;
        let out = self.apply(Input::Arrived(Self::request(id)));
        assert!(matches!(out[..], [Action::Dispatch { .. }]), "{out:?}");
        (id, self.on[&id])
    }

    /// Sends requests until one is on this worker; the others are answered.
    pub fn send_to(&mut self, worker: u32) -> u64 {
        for _ in 0..100 {
            let (id, on) = self.send();
            if on == WorkerId(worker) {
                return id;
            }
            self.answer(id);
        }
        panic!("w{worker} gets nothing");
    }

    pub fn fail(&mut self, id: u64, how: Failure, again: bool) -> Vec<Action> {
        let again = again.then(|| Self::request(id));
        let worker = self.on[&id];
        self.apply(Input::Failed { id: RequestId(id), worker, how, again })
    }

    pub fn first_token(&mut self, id: u64) {
        self.apply(Input::FirstToken(RequestId(id)));
    }

    pub fn finish(&mut self, id: u64) {
        let id = RequestId(id);
        self.apply(Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None });
    }

    pub fn answer(&mut self, id: u64) {
        self.first_token(id);
        self.finish(id);
    }

    pub fn standing(&self, worker: u32) -> Standing {
        let health = self.router.fleet().rotation().health(WorkerId(worker));
        health.expect("it joined").standing()
    }

    pub fn is_out(&self, worker: u32) -> bool {
        self.standing(worker) != Standing::In
    }

    /// How many of some requests, one after the other, go to a worker.
    pub fn share(&mut self, worker: u32, of: u32) -> u32 {
        let mut got = 0;
        for _ in 0..of {
            let (id, on) = self.send();
            got += u32::from(on == WorkerId(worker));
            self.answer(id);
        }
        got
    }

    pub fn eject(&mut self, worker: u32) {
        for _ in 0..3 {
            let id = self.send_to(worker);
            assert_eq!(self.fail(id, Failure::BeforeFirstToken, false), []);
        }
    }

    /// All is over, and the record replays.
    pub fn end(self) {
        self.router.check_at_rest_but_pending();
        replay(self.lines.iter()).expect("the record replays");
    }
}

trait AtRest {
    fn check_at_rest_but_pending(self);
}

impl AtRest for Router {
    /// Blocks stay pending for a while after an answer.
    fn check_at_rest_but_pending(mut self) {
        let late = Instant::from_nanos(u64::MAX / 2);
        self.apply(late, &Input::Tick, &no_lookup, &mut Vec::new());
        self.check_at_rest();
    }
}

pub fn gave_up(out: &[Action]) -> GiveUp {
    match out {
        [Action::Reject { reason: RejectReason::GaveUp { why, .. }, .. }] => *why,
        other => panic!("{other:?}"),
    }
}

pub fn dispatched(out: &[Action]) -> &Decision {
    match out {
        [Action::Dispatch { decision, .. }] => decision,
        other => panic!("{other:?}"),
    }
}
