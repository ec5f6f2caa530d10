//! Routers over workers that only prefill or only decode: which worker decodes, what is booked where, and
//! what is rejected.

use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::{DecodeCost, Role, WorkerInfo};
use warmpath_core::id::{RequestId, SourceId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::{Action, Decision, Input, RejectReason};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::Instant;

/// A step of 1 ms, 10 µs more for each sequence and 1 ns for each token of context; 1 µs a token on
/// the way.
fn info(worker: u32, role: Role) -> WorkerInfo {
    let decode = DecodeCost {
        step_ns: 1e6,
        ns_per_seq: 1e4,
        ns_per_context_token: 1.0,
        kv_transfer_latency_ns: 0.0,
        kv_transfer_ns_per_token: 1e3,
    };
    let decode = (role == Role::Decode).then_some(decode);
    WorkerInfo { role, decode, ..crate::common::joined(worker) }
}

struct Bench {
    router: Router,
    entries: Vec<Entry>,
    now: u64,
}

impl Bench {
    fn new(policy: PolicyConfig, workers: &[WorkerInfo]) -> Self {
        let mut router = Router::new(policy);
        router.keep_explanations(10);
        let mut bench = Self { router, entries: Vec::new(), now: 0 };
        for info in workers {
            bench.tell(Input::Joined(info.clone()));
        }
        bench
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        self.now += 1_000;
        let now = Instant::from_nanos(self.now);
        self.entries.push(self.router.apply_recorded(now, input, &no_lookup, &mut out));
        out
    }

    /// A prompt that is like no other.
    fn send(&mut self, id: u64, tokens: u32) -> Result<Decision, RejectReason> {
        self.ask(id, tokens, None)
    }

    /// The same, for an answer of at most this many tokens.
    fn ask(
        &mut self,
        id: u64,
        tokens: u32,
        max_new_tokens: Option<u32>,
    ) -> Result<Decision, RejectReason> {
        let ids: Vec<u32> = (0..tokens).map(|i| i + 10_000 * id as u32).collect();
        let chain = hash_blocks(&ScopePlan::new("", "", "", 10), &ids);
        let actions = self.tell(Input::Arrived(Request {
            id: RequestId(id),
            session: None,
            tenant: TenantId(0),
            prompt: TokenBlocks::whole(chain),
            priority: 0,
            deadline: None,
            max_new_tokens,
        }));
        match actions.as_slice() {
            [Action::Dispatch { decision, .. }] => Ok(decision.clone()),
            [Action::Reject { reason, .. }] => Err(*reason),
            other => panic!("{other:?}"),
        }
    }

    fn active(&self, worker: u32) -> u32 {
        self.router.fleet().worker(WorkerId(worker)).expect("a worker").active()
    }

    /// Requests and prompt tokens that it decodes.
    fn answering(&self, worker: u32) -> (u32, u64) {
        let answering = self.router.fleet().worker(WorkerId(worker)).expect("one").answering();
        (answering.requests, answering.tokens)
    }

    fn end(mut self) {
        // Until nothing is pending any more.
        self.now += 700_000_000_000;
        self.tell(Input::Tick);
        self.router.fleet().check_at_rest();
    }
}

fn two_and_two() -> Vec<WorkerInfo> {
    let role = |i| if i < 2 { Role::Prefill } else { Role::Decode };
    (0..4).map(|i| info(i, role(i))).collect()
}

#[test]
fn every_rule_gets_a_second_worker_and_replays() {
    for policy in crate::common::rules_that_send() {
        let mut bench = Bench::new(policy, &two_and_two());
        let mut answers = [0; 2];
        for id in 1..=20 {
            let decision = bench.send(id, 100).expect("a decision");
            assert!(decision.worker.0 < 2, "{policy}: {decision:?}");
            let decode = decision.decode.expect("a decode worker").0;
            answers[decode as usize - 2] += 1;
            let explained = bench.router.explanation(RequestId(id)).expect("it is kept");
            assert_eq!(
                (explained.chosen(), explained.decode()),
                (Some(decision.worker), decision.decode)
            );
            assert!(explained.candidates.iter().all(|candidate| candidate.worker.0 < 2));
        }
        assert_eq!(answers, [10, 10], "{policy}: the lesser load each time");
        for id in 1..=20 {
            bench.tell(Input::PrefillDone(RequestId(id)));
            bench.tell(Input::FirstToken(RequestId(id)));
            bench.tell(Input::Finished {
                id: RequestId(id),
                cached_tokens: 0,
                by_origin: None,
                output_tokens: None,
            });
        }
        let json = |value: &dyn Fn() -> serde_json::Result<String>| value().expect("it has a form");
        let header = json(&|| serde_json::to_string(&Header::new(policy, 0)));
        let lines = bench.entries.iter().map(|entry| json(&|| serde_json::to_string(entry)));
        let done = replay(std::iter::once(header).chain(lines)).expect("it comes out the same");
        assert_eq!(done.decisions, 20);
        bench.end();
    }
}

#[test]
fn bookings_move_from_the_prefill_worker_to_the_decode_worker() {
    let mut bench = Bench::new(PolicyConfig::KvAware, &two_and_two());
    let Decision { worker, decode, .. } = bench.send(1, 100).expect("a decision");
    let (first, second) = (worker.0, decode.expect("a decode worker").0);
    assert_eq!((bench.active(first), bench.active(second)), (1, 1));
    assert_eq!(bench.answering(second), (1, 100), "its load counts from the start");
    let backlog = |bench: &Bench| {
        let now = Instant::from_nanos(bench.now);
        bench.router.fleet().worker(worker).expect("a worker").backlog(now).as_nanos()
    };
    assert!(backlog(&bench) > 0);
    bench.tell(Input::PrefillDone(RequestId(1)));
    assert_eq!((bench.active(first), bench.active(second), backlog(&bench)), (0, 1, 0));
    bench.tell(Input::FirstToken(RequestId(1)));
    assert_eq!(bench.answering(second), (1, 100));
    bench.tell(Input::Finished {
        id: RequestId(1),
        cached_tokens: 0,
        by_origin: None,
        output_tokens: None,
    });
    assert_eq!((bench.active(second), bench.answering(second)), (0, (0, 0)));
    bench.end();
}

#[test]
fn a_first_token_ends_a_prefill_that_was_not_reported() {
    let mut bench = Bench::new(PolicyConfig::KvAware, &two_and_two());
    let first = bench.send(1, 100).expect("a decision").worker.0;
    bench.tell(Input::FirstToken(RequestId(1)));
    bench.tell(Input::Finished {
        id: RequestId(1),
        cached_tokens: 0,
        by_origin: None,
        output_tokens: None,
    });
    assert_eq!(bench.active(first), 0);
    bench.end();
}

#[test]
fn long_prompts_count_for_more_than_short_ones() {
    // 128 steps, each 0.3 ms longer for 300,000 tokens: more than a second request's 10 µs.
    let mut bench = Bench::new(PolicyConfig::RoundRobin, &two_and_two());
    let answers =
        |decision: Result<Decision, _>| decision.expect("one").decode.expect("a decode worker").0;
    let long = answers(bench.send(1, 300_000));
    for id in 2..=10 {
        assert_ne!(answers(bench.send(id, 10)), long);
    }
}

#[test]
fn a_full_decode_worker_comes_last() {
    let mut workers = two_and_two();
    workers[2].max_num_seqs = 1;
    // Slower, and with room.
    workers[3].decode.as_mut().expect("a cost").step_ns = 5e6;
    let mut bench = Bench::new(PolicyConfig::RoundRobin, &workers);
    let answers =
        |decision: Result<Decision, _>| decision.expect("one").decode.expect("a decode worker").0;
    assert_eq!(answers(bench.send(1, 10)), 2);
    assert_eq!((answers(bench.send(2, 10)), answers(bench.send(3, 10))), (3, 3));
    workers[2].max_num_seqs = 64;
    workers[2].total_blocks = Some(20);
    let mut bench = Bench::new(PolicyConfig::RoundRobin, &workers);
    assert_eq!(answers(bench.send(1, 150)), 2);
    assert_eq!(answers(bench.send(2, 150)), 3, "its 20 blocks are booked");
}

#[test]
fn a_worker_that_does_both_hands_nothing_over() {
    let mut workers = two_and_two();
    workers[0].role = Role::Both;
    workers.remove(1);
    let mut bench = Bench::new(PolicyConfig::LeastLoaded, &workers);
    let decision = bench.send(1, 100).expect("a decision");
    assert_eq!((decision.worker, decision.decode), (WorkerId(0), None));
}

#[test]
fn a_fleet_without_one_of_the_roles_rejects_and_names_the_role() {
    let only = |role| Bench::new(PolicyConfig::KvAware, &[info(0, role), info(1, role)]);
    let refused = only(Role::Prefill).send(1, 10).expect_err("no decode worker");
    assert_eq!(refused, RejectReason::NoDecodeWorker { joined: 2, draining: 0 });
    assert_eq!(
        refused.to_string(),
        "no decode worker takes requests: 2 joined, 0 of them draining"
    );
    let refused = only(Role::Decode).send(1, 10).expect_err("no prefill worker");
    assert_eq!(refused, RejectReason::NoPrefillWorker { joined: 2, draining: 0 });
    // The last decoder drains.
    let mut bench = Bench::new(PolicyConfig::KvAware, &two_and_two());
    bench.tell(Input::Draining(WorkerId(2)));
    bench.tell(Input::Drained(WorkerId(3)));
    let refused = bench.send(1, 10).expect_err("no decode worker");
    assert_eq!(refused, RejectReason::NoDecodeWorker { joined: 4, draining: 2 });
    // A prompt that fits the prefill workers, and no decode worker.
    let mut workers = two_and_two();
    for worker in &mut workers[2..] {
        worker.total_blocks = Some(5);
    }
    let mut bench = Bench::new(PolicyConfig::KvAware, &workers);
    let refused = bench.send(1, 100).expect_err("too large to decode");
    assert_eq!(refused, RejectReason::PromptTooLarge { needed: 11, largest: 5 });
}

#[test]
fn a_lost_prefill_worker_leaves_the_request_to_its_decode_worker() {
    let mut bench = Bench::new(PolicyConfig::KvAware, &two_and_two());
    let Decision { worker, decode, .. } = bench.send(1, 100).expect("a decision");
    let second = decode.expect("a decode worker").0;
    bench.tell(Input::Lost(SourceId::Worker(worker)));
    assert_eq!((bench.active(second), bench.answering(second)), (1, (1, 100)));
    bench.tell(Input::FirstToken(RequestId(1)));
    bench.tell(Input::Finished {
        id: RequestId(1),
        cached_tokens: 0,
        by_origin: None,
        output_tokens: None,
    });
    bench.end();
}

#[test]
fn a_lost_decode_worker_ends_its_requests() {
    let mut bench = Bench::new(PolicyConfig::KvAware, &two_and_two());
    let Decision { worker, decode, .. } = bench.send(1, 100).expect("a decision");
    bench.tell(Input::Lost(decode.expect("a decode worker").into()));
    assert_eq!(bench.active(worker.0), 0);
    bench.tell(Input::Cancelled(RequestId(1)));
    bench.end();
}

#[test]
fn a_worker_needs_room_for_its_part_of_a_request() {
    let sized =
        |worker, role, blocks| WorkerInfo { total_blocks: Some(blocks), ..info(worker, role) };
    // Blocks of 10 tokens. A prompt of 100 and an answer of 100 need 20 of them.
    let mut bench = Bench::new(
        PolicyConfig::RoundRobin,
        &[sized(0, Role::Both, 19), sized(1, Role::Both, 20), sized(2, Role::Both, 12)],
    );
    for id in 1..5 {
        let decision = bench.ask(id, 100, Some(100)).expect("a decision");
        assert_eq!(decision.worker, WorkerId(1));
    }
    let too_large = RejectReason::RequestTooLarge { needed: 21, largest: 20 };
    assert_eq!(bench.ask(5, 100, Some(101)), Err(too_large));
    let too_large = RejectReason::PromptTooLarge { needed: 31, largest: 20 };
    assert_eq!(bench.ask(6, 300, Some(100)), Err(too_large));
    // A recurrent state takes room too.
    let state = WorkerInfo { constant_blocks: 1, ..sized(3, Role::Both, 20) };
    let mut bench = Bench::new(PolicyConfig::RoundRobin, &[state]);
    assert!(bench.ask(1, 100, Some(90)).is_ok());
    let too_large = RejectReason::RequestTooLarge { needed: 21, largest: 20 };
    assert_eq!(bench.ask(2, 100, Some(91)), Err(too_large));
    // A prefill worker needs room for the prompt alone.
    let mut bench = Bench::new(
        PolicyConfig::RoundRobin,
        &[sized(0, Role::Prefill, 11), sized(1, Role::Decode, 19), sized(2, Role::Decode, 20)],
    );
    let decision = bench.ask(1, 100, Some(100)).expect("a decision");
    assert_eq!((decision.worker, decision.decode), (WorkerId(0), Some(WorkerId(2))));
    // Requests of old records do not say how long an answer may be.
    assert!(bench.send(2, 100).is_ok());
}
