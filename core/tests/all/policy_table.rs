//! The router's decisions against tables worked out by hand. A token costs 10 µs to prefill and
//! nothing else costs anything; blocks hold 10 tokens, so a block costs 100 µs.

use std::cell::Cell;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::event::{KvBatch, KvEvent, Snapshot, TierCost, WorkerInfo};
use warmpath_core::id::{RequestId, SourceId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Decision, Input, RejectReason};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, Header, ReplayError, replay};
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const MS: u64 = 1_000_000;
const SEED: u64 = 11;

fn info(worker: u32) -> WorkerInfo {
    // 50 µs for each block, after 200 µs.
    let host = TierCost { tier: TierId::HOST, latency_ns: 200_000.0, load_ns_per_block: 50_000.0 };
    WorkerInfo { tiers: vec![host], ..crate::common::joined(worker) }
}

fn prompt(seed: u64, tokens: u32) -> TokenBlocks {
    let scope = ScopePlan::new("", "", "", 10);
    TokenBlocks::whole(hash_segments(&scope, &[Segment::Text { seed, tokens }]))
}

fn request(id: u64, prompt: TokenBlocks) -> Request {
    let (id, tenant) = (RequestId(id), TenantId(0));
    Request { id, session: None, tenant, prompt, priority: 0, deadline: None, max_new_tokens: None }
}

/// A router, the index beside it, and the record of all that happened.
struct Bench {
    router: Router,
    index: PrefixIndex,
    record: Vec<Entry>,
    policy: PolicyConfig,
    looked: Cell<u32>,
}

impl Bench {
    fn new(policy: PolicyConfig, workers: u32) -> Self {
        let mut bench = Self {
            router: Router::new(policy).with_seed(SEED),
            index: PrefixIndex::default(),
            record: Vec::new(),
            policy,
            looked: Cell::new(0),
        };
        (0..workers).for_each(|worker| bench.join(info(worker)));
        bench
    }

    fn tell(&mut self, now: u64, input: Input) -> Option<Action> {
        let mut out = Vec::new();
        let (index, looked) = (&self.index, &self.looked);
        let lookup = |prompt: &TokenBlocks, overlap: &mut Overlap| {
            looked.set(looked.get() + 1);
            index.overlap(prompt, overlap);
        };
        let now = Instant::from_nanos(now);
        let entry = self.router.apply_recorded(now, input, &lookup, &mut out);
        self.record.push(entry);
        assert!(out.len() <= 1);
        out.pop()
    }

    fn join(&mut self, info: WorkerInfo) {
        let source = info.worker.into();
        let snapshot = Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() };
        self.index.replace(&snapshot).unwrap();
        assert_eq!(self.tell(0, Input::Joined(info)), None);
    }

    /// Blocks `start..end` of the prompt's text are in `tier` of the worker.
    fn holds(&mut self, worker: u32, tier: TierId, prompt: &TokenBlocks, start: u32, end: u32) {
        let source = SourceId::Worker(WorkerId(worker));
        let chain = prompt.chain().clone();
        let run = warmpath_core::block::BlockRun { chain, start, end };
        let seq = self.index.position(source).unwrap().1 + 1;
        let events = vec![KvEvent::Stored { tier, run }];
        self.index.apply(&KvBatch { source, epoch: 1, seq, events }).unwrap();
    }

    fn decide(&mut self, now: u64, id: u64, prompt: TokenBlocks) -> Result<Decision, RejectReason> {
        match self.tell(now, Input::Arrived(request(id, prompt))) {
            Some(Action::Dispatch { id: named, decision }) => {
                assert_eq!(named, RequestId(id));
                Ok(decision)
            }
            Some(Action::Reject { id: named, reason }) => {
                assert_eq!(named, RequestId(id));
                Err(reason)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends a prompt that is new to all workers. The answer is its worker.
    fn fresh(&mut self, now: u64, id: u64, tokens: u32) -> u32 {
        self.decide(now, id, prompt(1_000_000 + id, tokens)).unwrap().worker.0
    }

    fn first_token(&mut self, now: u64, id: u64) {
        self.tell(now, Input::FirstToken(RequestId(id)));
    }

    fn finish(&mut self, now: u64, id: u64) {
        self.tell(
            now,
            Input::Finished {
                id: RequestId(id),
                cached_tokens: 0,
                by_origin: None,
                output_tokens: None,
            },
        );
    }

    /// All pending blocks have expired, and nothing is left.
    fn rest(&mut self) {
        while let Some(wake) = self.router.next_wake() {
            self.tell(wake.as_nanos(), Input::Tick);
        }
        self.router.fleet().check_at_rest();
    }

    fn lines(&self) -> Vec<String> {
        let header = serde_json::to_string(&Header::new(self.policy, SEED)).unwrap();
        let entries = self.record.iter().map(|entry| serde_json::to_string(entry).unwrap());
        std::iter::once(header).chain(entries).collect()
    }
}

#[test]
fn round_robin_takes_each_worker_that_takes_requests_in_turn() {
    let mut bench = Bench::new(PolicyConfig::RoundRobin, 3);
    // The n-th decision goes to place n modulo the number of workers that take requests, in ascending order.
    let order = |bench: &mut Bench, ids: std::ops::Range<u64>| -> Vec<u32> {
        ids.map(|id| bench.fresh(0, id, 100)).collect()
    };
    assert_eq!(order(&mut bench, 0..4), [0, 1, 2, 0]);
    bench.join(info(3));
    assert_eq!(order(&mut bench, 4..8), [0, 1, 2, 3]);
    bench.tell(0, Input::Draining(WorkerId(1)));
    // 8 % 3 = 2: the third of w0, w2, w3.
    assert_eq!(order(&mut bench, 8..11), [3, 0, 2]);
    bench.tell(0, Input::Lost(WorkerId(0).into()));
    // 11 % 2 = 1: the second of w2, w3.
    assert_eq!(order(&mut bench, 11..14), [3, 2, 3]);
    // A worker that joins again takes requests again.
    bench.join(info(1));
    assert_eq!(order(&mut bench, 14..17), [3, 1, 2]);
    assert_eq!(bench.looked.get(), 0, "round robin asks no index");
}

#[test]
fn a_cold_fleet_fills_evenly_and_not_in_order() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 4);
    // Equal costs everywhere: each takes one before any takes two, since the booked take longer.
    for round in 0..10u64 {
        let mut workers: Vec<u32> = (0..4).map(|i| bench.fresh(0, round * 4 + i, 100)).collect();
        workers.sort_unstable();
        assert_eq!(workers, [0, 1, 2, 3], "round {round}");
    }
    // On an idle fleet the hash of request and worker decides, so not always the first.
    let mut first = [0; 4];
    for id in 0..400 {
        let mut bench = Bench::new(PolicyConfig::KvAware, 4);
        first[bench.fresh(0, id, 100) as usize] += 1;
    }
    assert!(first.iter().all(|&count| count > 60), "{first:?}");
}

#[test]
fn fewer_active_requests_break_a_tie() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 2);
    let busy = bench.fresh(0, 1, 100);
    bench.first_token(MS, 1);
    // No prefill is booked any more, but w(busy) still decodes.
    for id in 2..20 {
        let idle = bench.fresh(MS, id, 100);
        assert_eq!(idle, 1 - busy);
        bench.finish(MS, id);
    }
}

#[test]
fn a_hit_beats_a_short_queue_and_a_long_queue_beats_the_hit() {
    let shared = prompt(1, 1_000);
    // w0 holds 60 of 100 blocks: 400 tokens left, 4 ms; cold, it is 10 ms. So w0 wins while less
    // than 6 ms are booked on it.
    for (booked, expected) in [(590, 0), (610, 1)] {
        let mut bench = Bench::new(PolicyConfig::KvAware, 1);
        assert_eq!(bench.fresh(0, 1, booked), 0);
        bench.join(info(1));
        bench.holds(0, TierId::HBM, &shared, 0, 60);
        let decision = bench.decide(0, 2, shared.clone()).unwrap();
        assert_eq!(decision.worker.0, expected, "{booked} tokens booked on w0");
        let hit = if expected == 0 { 60 } else { 0 };
        assert_eq!(decision.overlap, Some([hit, 0, 0, 0]));
        assert_eq!(bench.looked.get(), 2, "one look-up a decision");
    }
}

#[test]
fn the_first_prefill_is_assumed_to_progress_as_predicted() {
    let shared = prompt(1, 1_000);
    // 9 ms booked at 0. After 2 ms 7 are left, and w1 is cheaper (7 + 4 against 10); after 4 ms
    // 5 are left, and w0 is (5 + 4 against 10).
    for (now, expected) in [(2 * MS, 1), (4 * MS, 0)] {
        let mut bench = Bench::new(PolicyConfig::KvAware, 1);
        assert_eq!(bench.fresh(0, 1, 900), 0);
        bench.join(info(1));
        bench.holds(0, TierId::HBM, &shared, 0, 60);
        assert_eq!(bench.decide(now, 2, shared.clone()).unwrap().worker.0, expected, "at {now}");
    }
}

#[test]
fn a_late_prefill_counts_as_zero_and_the_prefills_behind_it_in_full() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 1);
    bench.fresh(0, 1, 100);
    bench.fresh(0, 2, 300);
    let backlog = |bench: &Bench, now| {
        let worker = bench.router.fleet().worker(WorkerId(0)).unwrap();
        worker.backlog(Instant::from_nanos(now)).as_nanos()
    };
    // 1 ms and 3 ms; the head has been due for long, those behind it have not begun.
    let ahead = [0, MS / 2, MS, 50 * MS].map(|now| backlog(&bench, now));
    assert_eq!(ahead, [4 * MS, 3 * MS + MS / 2, 3 * MS, 3 * MS]);
    bench.first_token(50 * MS, 1);
    assert_eq!(backlog(&bench, 51 * MS), 2 * MS, "the next is head since 50 ms");
    bench.tell(52 * MS, Input::Cancelled(RequestId(2)));
    assert_eq!(backlog(&bench, 52 * MS), 0);
    bench.finish(53 * MS, 1);
    bench.rest();
}

#[test]
fn blocks_behind_hbm_cost_the_time_to_load_them() {
    let shared = prompt(1, 1_001);
    // Of 100 reusable blocks w0 has all in the host tier: 0.2 + 100 * 0.05 + 0.01 = 5.21 ms.
    // w1 has n blocks in HBM: 10.01 - n * 0.1 ms, which is less from 49 on (5.11 ms).
    for (in_hbm, expected) in [(47, 0), (49, 1)] {
        let mut bench = Bench::new(PolicyConfig::KvAware, 2);
        bench.holds(0, TierId::HOST, &shared, 0, 100);
        bench.holds(1, TierId::HBM, &shared, 0, in_hbm);
        let decision = bench.decide(0, 1, shared.clone()).unwrap();
        let overlap = if expected == 0 { [0, 100, 0, 0] } else { [in_hbm, 0, 0, 0] };
        assert_eq!((decision.worker.0, decision.overlap), (expected, Some(overlap)), "{in_hbm}");
    }
}

#[test]
fn a_burst_on_one_prefix_stays_together_while_that_is_cheaper() {
    let shared = prompt(1, 1_001);
    let mut bench = Bench::new(PolicyConfig::KvAware, 4);
    let home = bench.decide(0, 0, shared.clone()).unwrap();
    assert_eq!(home.overlap, Some([0; 4]), "no worker holds it yet");
    // 10.01 ms are booked at home, and one more costs 0.01 ms behind them; elsewhere it costs 10.01
    // ms. At the same instant elsewhere is cheaper, so this one goes there.
    let elsewhere = bench.decide(0, 1_000, shared.clone()).unwrap();
    assert_ne!(elsewhere.worker, home.worker);
    bench.tell(0, Input::Cancelled(RequestId(1_000)));
    // After 1 ms 9.01 ms are left at home. The n-th of the burst costs 9.01 + n * 0.01 ms there, so
    // all of the first 99 stay together.
    let burst: Vec<u32> =
        (1..99).map(|id| bench.decide(MS, id, shared.clone()).unwrap().worker.0).collect();
    assert!(burst.iter().all(|&worker| worker == home.worker.0), "{burst:?}");
    let last = bench.decide(MS, 99, shared.clone()).unwrap();
    assert_eq!(last.overlap, Some([100, 0, 0, 0]), "pending blocks count as held");
    // The hundredth is dearer there than elsewhere: 10.02 ms.
    assert_ne!(bench.decide(MS, 100, shared.clone()).unwrap().worker, home.worker);
    // The first is cancelled, and its queue with it; the others still announce the same blocks.
    bench.tell(MS, Input::Cancelled(RequestId(0)));
    let next = bench.decide(MS, 101, shared.clone()).unwrap();
    assert_eq!((next.worker, next.overlap), (home.worker, Some([100, 0, 0, 0])));
}

#[test]
fn pending_blocks_end_with_a_cancel_at_once_and_a_second_after_the_first_token() {
    let shared = prompt(1, 1_001);
    let expected = |bench: &mut Bench, now, id| {
        let overlap = bench.decide(now, id, shared.clone()).unwrap().overlap.unwrap();
        bench.tell(now, Input::Cancelled(RequestId(id)));
        overlap[0]
    };
    let mut bench = Bench::new(PolicyConfig::KvAware, 1);
    bench.decide(0, 1, shared.clone()).unwrap();
    assert_eq!(expected(&mut bench, 1, 2), 100);
    bench.tell(2, Input::Cancelled(RequestId(1)));
    assert_eq!(expected(&mut bench, 3, 3), 0, "a cancelled prompt may never be computed");
    bench.decide(4, 4, shared.clone()).unwrap();
    bench.first_token(5 * MS, 4);
    bench.finish(6 * MS, 4);
    assert_eq!(expected(&mut bench, 1_005 * MS - 1, 5), 100, "its event may still be on the way");
    assert_eq!(expected(&mut bench, 1_005 * MS, 6), 0);
    bench.rest();
}

#[test]
fn a_lost_worker_takes_its_bookings_and_pending_blocks_with_it() {
    let shared = prompt(1, 1_001);
    let mut bench = Bench::new(PolicyConfig::KvAware, 1);
    bench.decide(0, 1, shared.clone()).unwrap();
    bench.tell(1, Input::Lost(WorkerId(0).into()));
    let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
    assert_eq!(bench.decide(2, 1, shared.clone()), Err(none));
    bench.join(info(1));
    // The same request, sent again.
    let again = bench.decide(3, 1, shared.clone()).unwrap();
    assert_eq!((again.worker, again.overlap), (WorkerId(1), Some([0; 4])));
    bench.finish(4, 1);
    bench.rest();
}

#[test]
fn a_request_that_no_worker_can_take_is_rejected_with_the_reason() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 0);
    let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
    assert_eq!(bench.decide(0, 1, prompt(1, 10)), Err(none));
    let sized = |worker, blocks| WorkerInfo { total_blocks: Some(blocks), ..info(worker) };
    bench.join(sized(0, 10));
    bench.join(sized(1, 20));
    // The prompt and the first token of its answer: 200 tokens fit into 20 blocks, 201 do not.
    let too_large = RejectReason::PromptTooLarge { needed: 21, largest: 20 };
    assert_eq!(bench.decide(0, 2, prompt(1, 200)), Err(too_large));
    assert_eq!(too_large.to_string(), "prompt needs 21 blocks, the largest worker holds 20");
    assert_eq!(bench.decide(0, 3, prompt(1, 199)).unwrap().worker, WorkerId(1));
    bench.tell(0, Input::Draining(WorkerId(1)));
    let draining = RejectReason::NoEligibleWorker { joined: 2, draining: 1 };
    assert_eq!(bench.decide(0, 4, prompt(1, 199)), Err(draining), "the one it fits drains");
    assert_eq!(bench.decide(0, 5, prompt(1, 99)).unwrap().worker, WorkerId(0));
    bench.tell(0, Input::Draining(WorkerId(0)));
    let all = RejectReason::NoEligibleWorker { joined: 2, draining: 2 };
    assert_eq!(bench.decide(0, 6, prompt(1, 10)), Err(all));
}

#[test]
fn an_id_in_use_is_rejected_and_can_be_used_again_after_its_end() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 2);
    let (one, other) = (prompt(1, 1_001), prompt(2, 1_001));
    bench.decide(0, 1, one.clone()).unwrap();
    assert_eq!(bench.decide(1, 1, other.clone()), Err(RejectReason::DuplicateId));
    bench.finish(2, 1);
    // Its blocks are pending for a second; the new request of the same name has its own.
    bench.decide(3, 1, other).unwrap();
    bench.finish(4, 1);
    bench.rest();
}

#[test]
fn inputs_about_unknown_requests_and_workers_are_ignored() {
    let mut bench = Bench::new(PolicyConfig::KvAware, 1);
    for input in [
        Input::FirstToken(RequestId(9)),
        Input::Finished {
            id: RequestId(9),
            cached_tokens: 3,
            by_origin: None,
            output_tokens: None,
        },
        Input::Cancelled(RequestId(9)),
        Input::Draining(WorkerId(9)),
        Input::Lost(WorkerId(9).into()),
        Input::Tick,
    ] {
        assert_eq!(bench.tell(0, input), None);
    }
    // Each end counts once.
    bench.fresh(0, 1, 100);
    for _ in 0..2 {
        bench.first_token(1, 1);
        bench.finish(2, 1);
    }
    bench.rest();
}

/// A run with every kind of input, under two rules.
fn eventful() -> Bench {
    let mut bench = Bench::new(PolicyConfig::KvAware, 3);
    let shared = prompt(1, 1_001);
    bench.holds(1, TierId::HBM, &shared, 0, 50);
    bench.holds(2, TierId::HOST, &shared, 0, 90);
    for id in 0..30 {
        let now = id * MS / 3;
        let view = if id % 3 == 0 { prompt(id, 333) } else { shared.clone() };
        bench.decide(now, id, view).unwrap();
        match id {
            7 => drop(bench.tell(now, Input::Draining(WorkerId(1)))),
            11 => drop(bench.tell(now, Input::Lost(WorkerId(2).into()))),
            13 => bench.join(info(5)),
            17 => drop(bench.tell(now, Input::SetPolicy(PolicyConfig::RoundRobin))),
            22 => drop(bench.tell(now, Input::SetPolicy(PolicyConfig::KvAware))),
            _ => {}
        }
        match id % 4 {
            0 => bench.first_token(now + 1, id / 2),
            1 => bench.finish(now + 1, id / 2),
            2 => drop(bench.tell(now + 1, Input::Cancelled(RequestId(id / 2)))),
            _ => drop(bench.tell(now + 1, Input::Tick)),
        }
    }
    bench
}

#[test]
fn a_recorded_run_replays_without_an_index() {
    let lines = eventful().lines();
    let replayed = replay(lines.iter()).unwrap();
    assert_eq!((replayed.inputs, replayed.decisions), (lines.len() as u64 - 1, 30));
}

#[test]
fn a_record_that_was_cut_differs_from_a_whole_one() {
    let mut lines = eventful().lines();
    let entries = lines.len() - 1;
    let complete = |lines: &[String]| replay(lines.iter()).map(|done| done.complete);
    assert!(!complete(&lines).unwrap());
    lines.push(format!("{{\"end\":{entries}}}"));
    assert!(complete(&lines).unwrap());
    lines.push(lines[entries].clone());
    let after = complete(&lines).unwrap_err().to_string();
    assert_eq!(after, format!("line {}: an entry after the end, expected none", entries + 3));
    lines.pop();
    lines.remove(entries);
    let short = complete(&lines).unwrap_err().to_string();
    let gone = format!("end: {entries}, expected {}, the number of entries before it", entries - 1);
    assert_eq!(short, format!("line {}: {gone}", entries + 1));
}

#[test]
fn a_record_that_was_tampered_with_is_reported_with_its_line() {
    let lines = eventful().lines();
    let arrivals: Vec<usize> =
        (0..lines.len()).filter(|&i| lines[i].contains("\"arrived\"")).collect();
    let differing = |line: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        let changed = lines[line].replacen(from, to, 1);
        assert_ne!(changed, lines[line], "line {} has no {from}", line + 1);
        lines[line] = changed;
        replay(lines.iter()).expect_err("a record that was changed")
    };
    // The worker of the decision. (No worker 4 ever joined.)
    for &line in &[arrivals[0], arrivals[10], arrivals[29]] {
        let at = lines[line].find("\"decision\":{\"worker\":").unwrap();
        let worker = &lines[line][at..at + 22];
        match differing(line, worker, "\"decision\":{\"worker\":4") {
            ReplayError::Differs { line: named, recorded, .. } => {
                assert_eq!(named, line + 1);
                assert!(recorded.contains("\"worker\":4"), "{recorded}");
            }
            other => panic!("{other}"),
        }
    }
    // What the look-up returned: another hit, and one of more blocks than the prompt has.
    for blocks in ["49", "4000000000"] {
        let error = differing(arrivals[1], "\"by_tier\":[50,", &format!("\"by_tier\":[{blocks},"));
        let line = match error {
            ReplayError::Differs { line, .. } | ReplayError::BadLine { line, .. } => line,
            ReplayError::Empty => 0,
        };
        assert_eq!(line, arrivals[1] + 1, "{blocks} blocks");
    }
    let bad = |line: usize, from: &str, to: &str| match differing(line, from, to) {
        ReplayError::BadLine { line: named, why } => {
            assert_eq!(named, line + 1);
            why
        }
        other => panic!("{other}"),
    };
    assert!(bad(0, "record.v2", "record.v9").contains("record.v9"));
    assert!(bad(5, "\"now\"", "\"then\"").contains("then"));
    assert!(bad(arrivals[3], "\"hashes\":\"", "\"hashes\":\"0").contains("digits"));
    assert!(bad(arrivals[3], "\"block_size\":10", "\"block_size\":0").contains("block_size"));
    assert!(matches!(replay(std::iter::empty::<&str>()), Err(ReplayError::Empty)));
}

#[test]
fn a_worker_may_have_tiers_that_an_overlap_does_not_count() {
    // A tier beyond those that an overlap has places for can hold no hit.
    let mut bench = Bench::new(PolicyConfig::KvAware, 0);
    let mut odd = info(0);
    odd.tiers[0].tier = TierId(200);
    bench.join(odd);
    assert_eq!(bench.fresh(0, 1, 100), 0);
}

#[test]
fn every_policy_has_a_name_that_can_be_read() {
    for &policy in PolicyConfig::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    let error = "best".parse::<PolicyConfig>().unwrap_err().to_string();
    let expected = "unknown policy 'best', expected one of: round-robin, ";
    assert!(error.starts_with(expected) && error.contains("kv-aware"), "{error}");
}

#[test]
fn without_an_index_no_source_holds_anything() {
    let mut overlap = Overlap::default();
    overlap.raise(WorkerId(3).into(), 4);
    assert_eq!(overlap.entries().len(), 1);
    no_lookup(&prompt(1, 10), &mut overlap);
    assert_eq!(overlap.entries(), []);
}
