//! Late binding, worked by hand: `RULE+hold`. A token costs 10 µs to compute, a step computes 1,000 of
//! them, and blocks hold 10.

use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::event::WorkerInfo;
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::explain::Outcome;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::input::{Action, Input, RejectReason};
use warmpath_core::routing::policy::{
    Hold, NamedPolicy, PolicyConfig, check_labels, parse_policies,
};
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::routing::{QueueLimits, Router};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// A prompt with this many tokens is held by w0 but for 1,500 tokens.
const KNOWN: u32 = 2_000;

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn request(id: u64, tokens: u32) -> Request {
    let scope = ScopePlan::new("", "", "", 10);
    let prompt = TokenBlocks::whole(hash_segments(&scope, &[Segment::Text { seed: id, tokens }]));
    let (id, tenant) = (RequestId(id), TenantId(0));
    Request { id, session: None, tenant, prompt, priority: 0, deadline: None, max_new_tokens: None }
}

fn lookup(prompt: &TokenBlocks, out: &mut Overlap) {
    out.clear();
    if prompt.tokens() == KNOWN {
        out.raise_stored(WorkerId(0).into(), 50);
    }
}

/// What was done, without the parts that a test does not look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    Sent(u64, u32),
    /// Until, in nanoseconds.
    Held(u64, u64),
    Rejected(u64, RejectReason),
}

use Done::{Held, Rejected, Sent};

struct Bench {
    router: Router,
    header: Header,
    entries: Vec<Entry>,
}

impl Bench {
    fn new(policy: &str, workers: u32) -> Self {
        Self::of(policy, QueueLimits::default(), (0..workers).map(crate::common::joined))
    }

    fn of(
        policy: &str,
        limits: QueueLimits,
        workers: impl IntoIterator<Item = WorkerInfo>,
    ) -> Self {
        let policy: PolicyConfig = policy.parse().expect("a policy");
        let router = Router::new(policy).with_queue_limits(limits);
        let header = Header::new(policy, 0).with_queue_limits(limits);
        let mut bench = Self { router, header, entries: Vec::new() };
        for worker in workers {
            assert_eq!(bench.tell(0, Input::Joined(worker)), []);
        }
        bench
    }

    fn tell(&mut self, now: u64, input: Input) -> Vec<Done> {
        let mut out = Vec::new();
        let entry = self.router.apply_recorded(at(now), input, &lookup, &mut out);
        self.entries.push(entry);
        let done = |action: &Action| match action {
            Action::Dispatch { id, decision } => Sent(id.0, decision.worker.0),
            Action::Hold { id, until } => Held(id.0, until.as_nanos()),
            Action::Reject { id, reason } => Rejected(id.0, *reason),
            Action::Abandon { .. } => panic!("no limits of health are set: {action:?}"),
        };
        out.iter().map(done).collect()
    }

    fn send(&mut self, now: u64, id: u64, tokens: u32) -> Vec<Done> {
        self.tell(now, Input::Arrived(request(id, tokens)))
    }

    fn computed(&mut self, now: u64, id: u64) -> Vec<Done> {
        self.tell(now, Input::FirstToken(RequestId(id)))
    }

    fn tick(&mut self, now: u64) -> Vec<Done> {
        self.tell(now, Input::Tick)
    }

    fn held(&self) -> Vec<u64> {
        self.router.queue().held().iter().map(|held| held.request.id.0).collect()
    }

    fn wake(&self) -> Option<u64> {
        self.router.next_wake().map(Instant::as_nanos)
    }
}

/// Whatever a test did, its record gives the same again.
impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let header = serde_json::to_string(&self.header).expect("a header has a form");
        let entries = self.entries.iter();
        let entries =
            entries.map(|entry| serde_json::to_string(entry).expect("an entry has a form"));
        let lines: Vec<String> = std::iter::once(header).chain(entries).collect();
        let done = replay(lines.iter()).expect("it comes out the same");
        assert_eq!(done.inputs as usize, self.entries.len());
    }
}

#[test]
fn it_is_spelled_after_any_rule() {
    for text in [
        "lpwl+hold",
        "lpwl+hold(backlog_s=0.2)",
        "dynamo(overlap=2)+hold(batches=1,open=any,order=wspt)",
    ] {
        let policy: PolicyConfig = text.parse().unwrap();
        assert_eq!(policy.to_string(), text);
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&json).unwrap(), policy);
    }
    let same = |given: &str, canonical: &str| {
        assert_eq!(given.parse::<PolicyConfig>().unwrap().to_string(), canonical, "{given}");
    };
    same(" lpwl + hold( look = 3 , backlog_s = 2e-1 ) ", "lpwl+hold(backlog_s=0.2,look=3)");
    same("lpwl+hold()", "lpwl+hold");
    same("lpwl+hold(order=aged,open=chosen)", "lpwl+hold");
    same("dynamo(overlap=1e+0)+hold", "dynamo+hold");
    let policy: PolicyConfig = "lpwl+hold(backlog_s=0.2)".parse().unwrap();
    let hold = Hold { backlog_s: 0.2, ..Hold::DEFAULT };
    assert_eq!(policy, PolicyConfig::Lpwl.with_hold(Some(hold)));
    assert_eq!(policy.with_hold(None), PolicyConfig::Lpwl);
}

#[test]
fn a_bad_spelling_says_what_is_wrong() {
    for (given, error) in [
        ("lpwl+keep", "policy 'lpwl+keep': unknown part 'keep', expected hold"),
        ("lpwl+", "policy 'lpwl+': unknown part '', expected hold"),
        ("field+keep", "policy 'field+keep': unknown part 'keep', expected hold"),
        ("lpwl+hold+hold", "policy 'lpwl+hold+hold': unknown part 'hold+hold', expected hold"),
        (
            "lpwl+hold(wait=1)",
            "policy hold has no parameter 'wait', expected one of: backlog_s, batches, open, order, \
             aging, look, longest_s, slo_s",
        ),
        (
            "lpwl+hold(order=best)",
            "policy hold: order is 'best', expected one of: aged, fcfs, lcfs, hit, wspt, deadline",
        ),
        ("all+hold(open=none)", "policy hold: open is 'none', expected one of: chosen, any"),
        (
            "lpwl+hold(look=0)",
            "policy hold: look is '0', expected a whole number from 1 to 65536 (requests)",
        ),
        ("lpwl+hold(look=1,look=2)", "policy hold: look is given twice, expected one value"),
        (
            "lpwl+hold(look=1",
            "policy 'hold(look=1': no ')' at the end, expected NAME or NAME(key=value,key=value)",
        ),
    ] {
        assert_eq!(parse_policies(given).unwrap_err().to_string(), error);
    }
    let unknown = parse_policies("+hold").unwrap_err().to_string();
    assert!(unknown.starts_with("unknown policy '', expected one of: "), "{unknown}");
}

#[test]
fn a_group_may_be_held_too() {
    let policies = parse_policies("field+hold(look=3),field,lpwl+hold").unwrap();
    let label = |named: &NamedPolicy| named.label.clone();
    let field: Vec<String> = parse_policies("field").unwrap().iter().map(label).collect();
    assert!(field.len() > 5, "{field:?}");
    let with = field.iter().map(|name| format!("{name}+hold(look=3)"));
    let expected: Vec<String> =
        with.chain(field.iter().cloned()).chain(["lpwl+hold".to_owned()]).collect();
    assert_eq!(policies.iter().map(label).collect::<Vec<_>>(), expected);
    check_labels(&policies).unwrap();
}

/// 500 ms are computed from 0 on; a worker is open with 200 ms. At 100 ms, 400 are left: until 300 ms.
/// Then one of two requests with 100 ms each goes, and 300 are left: until 400 ms. But the first prompt
/// is computed at 350 ms, earlier than predicted, so 100 are left.
#[test]
fn a_request_waits_until_the_backlog_is_small() {
    let mut bench = Bench::new("lpwl+hold(backlog_s=0.2)", 1);
    assert_eq!(bench.send(0, 1, 50_000), [Sent(1, 0)], "an idle worker is open");
    assert_eq!(bench.send(100 * MS, 2, 10_000), [Held(2, 300 * MS)]);
    assert_eq!(bench.send(150 * MS, 3, 10_000), [Held(3, 300 * MS)]);
    assert_eq!(bench.wake(), Some(300 * MS));
    assert_eq!(bench.tick(300 * MS - 1), []);
    assert_eq!(bench.tick(300 * MS), [Sent(2, 0)]);
    assert_eq!((bench.held(), bench.wake()), (vec![3], Some(400 * MS)));
    assert_eq!(bench.computed(350 * MS, 1), [Sent(3, 0)]);
    assert!(bench.held().is_empty());
    // 200 ms are left, which is not more.
    assert_eq!(bench.send(350 * MS, 4, 1), [Sent(4, 0)]);
    assert_eq!(bench.send(350 * MS, 5, 1), [Held(5, 350 * MS + 10_000)]);
}

/// A worker with as many requests as it can run is closed, whatever it has to compute.
#[test]
fn a_worker_that_runs_all_it_can_is_closed() {
    let full = WorkerInfo { max_num_seqs: 1, ..crate::common::joined(0) };
    let mut bench = Bench::of("lpwl+hold(longest_s=9)", QueueLimits::default(), [full]);
    assert_eq!(bench.send(0, 1, 10), [Sent(1, 0)]);
    assert_eq!(bench.computed(S, 1), []);
    assert_eq!(bench.send(S, 2, 10), [Held(2, 10 * S)]);
    let finished = Input::Finished {
        id: RequestId(1),
        cached_tokens: 0,
        by_origin: None,
        output_tokens: None,
    };
    assert_eq!(bench.tell(2 * S, finished), [Sent(2, 0)]);
}

/// Three requests wait: 4,000 tokens from 100 ms on, 1,000 from 200 ms, and 2,000 of which 500 are
/// cached from 300 ms. Aged: 100 + 5 x 40, 200 + 5 x 10 and 300 + 5 x 15 ms.
#[test]
fn each_order_has_its_first() {
    for (order, expected) in [
        ("aged", [2, 1, 3]),
        ("aged,aging=0", [1, 2, 3]),
        ("aged,aging=10", [2, 3, 1]),
        ("fcfs", [1, 2, 3]),
        ("lcfs", [3, 2, 1]),
        ("hit", [3, 1, 2]),
        ("wspt", [2, 3, 1]),
        ("deadline", [1, 3, 2]),
    ] {
        let mut bench = Bench::new(&format!("lpwl+hold(backlog_s=0,order={order})"), 1);
        assert_eq!(bench.send(0, 9, 100_000), [Sent(9, 0)]);
        for (id, tokens, deadline) in [(1, 4_000, Some(40)), (2, 1_000, None), (3, KNOWN, Some(50))]
        {
            let deadline = deadline.map(|seconds| at(seconds * S));
            let request = Request { deadline, ..request(id, tokens) };
            assert_eq!(bench.tell(id * 100 * MS, Input::Arrived(request)), [Held(id, S)]);
        }
        assert_eq!(bench.held(), expected, "{order}");
        // One at a time: each waits for the first token of the one before.
        let mut before = 9;
        for (i, id) in (1u64..).zip(expected) {
            assert_eq!(bench.computed((i + 1) * S, before), [Sent(id, 0)], "{order}");
            before = id;
        }
    }
}

/// Smaller first, before the order.
#[test]
fn priorities_come_before_the_order() {
    let mut bench = Bench::new("lpwl+hold(backlog_s=0,order=fcfs)", 1);
    bench.send(0, 9, 100_000);
    for (id, priority) in [(1, 0), (2, 5), (3, -1), (4, 0), (5, -1)] {
        let request = Request { priority, ..request(id, 100) };
        assert_eq!(bench.tell(id, Input::Arrived(request)), [Held(id, S)]);
    }
    assert_eq!(bench.held(), [3, 5, 1, 4, 2]);
    assert_eq!(bench.tick(S), [Sent(3, 0)]);
}

/// Also where the rule itself holds them.
#[test]
fn priorities_count_where_the_rule_holds() {
    let mut bench = Bench::new("wait-for-room(max_active=1)+hold(order=lcfs)", 1);
    assert_eq!(bench.send(0, 9, 100), [Sent(9, 0)]);
    for (id, priority) in [(1, 0), (2, -1), (3, 0)] {
        let request = Request { priority, ..request(id, 100) };
        assert!(matches!(bench.tell(id, Input::Arrived(request))[..], [Held(..)]));
    }
    assert_eq!(bench.held(), [2, 1, 3]);
}

/// A session whose worker has two steps queued: it waits for that one, or goes there as soon as any
/// other has at most one step (Dynamo's threshold).
#[test]
fn the_chosen_worker_must_be_open_or_any() {
    let run = |open: &str| {
        let policy = format!("session-affinity(bound=1000)+hold(batches=1,open={open})");
        let mut bench = Bench::new(&policy, 2);
        let session = |id| Request { session: Some(SessionId(7)), ..request(id, 1_000) };
        let first = bench.tell(0, Input::Arrived(session(1)));
        let [Sent(1, worker)] = first[..] else { panic!("{first:?}") };
        assert_eq!(
            bench.tell(0, Input::Arrived(session(2))),
            [Sent(2, worker)],
            "one step is open"
        );
        (bench.tell(0, Input::Arrived(session(3))), worker)
    };
    let (any, worker) = run("any");
    assert_eq!(any, [Sent(3, worker)]);
    assert_eq!(run("chosen").0, [Held(3, 30 * S)]);
}

/// Two workers, 1,000 tokens a step and a request.
#[test]
fn no_worker_is_open_with_more_than_the_batches() {
    let mut bench = Bench::new("lpwl+hold(batches=1,open=any)", 2);
    let went: Vec<Done> = (1..=4).flat_map(|id| bench.send(0, id, 1_000)).collect();
    assert_eq!(went, [Sent(1, 0), Sent(2, 1), Sent(3, 0), Sent(4, 1)]);
    // Time alone opens no worker: it is tokens that count.
    assert_eq!(bench.send(0, 5, 10), [Held(5, 30 * S)]);
    assert_eq!(bench.tick(20 * S), []);
    assert_eq!(bench.computed(20 * S, 2), [Sent(5, 1)]);
    assert_eq!(Bench::new("lpwl+hold(batches=0.5)", 1).send(0, 1, 5_000), [Sent(1, 0)]);
}

/// 5 s are computed; after 2 s it goes to where the rule would send it.
#[test]
fn no_request_waits_longer_than_the_limit() {
    let mut bench = Bench::new("lpwl+hold(backlog_s=0,longest_s=2)", 1);
    bench.send(0, 1, 500_000);
    assert_eq!(bench.send(S / 2, 2, 10), [Held(2, 5 * S / 2)]);
    assert_eq!(bench.tick(5 * S / 2), [Sent(2, 0)]);
}

/// 800 ms are computed. 100 ms more are in time, 500 ms are not. Then a more urgent request of 250 ms
/// goes first, and the other would come after 800 + 250 + 100 ms.
#[test]
fn what_would_be_late_is_rejected() {
    let late = |ms| RejectReason::OverSlo {
        predicted: Duration::from_millis(ms),
        slo: Duration::from_millis(1_000),
    };
    let mut bench = Bench::new("lpwl+hold(backlog_s=0,slo_s=1)", 1);
    assert_eq!(bench.send(0, 1, 80_000), [Sent(1, 0)]);
    assert_eq!(bench.send(0, 2, 10_000), [Held(2, 800 * MS)]);
    assert_eq!(bench.send(0, 3, 50_000), [Rejected(3, late(1_300))]);
    let would = bench.router.explain(at(0), &request(3, 50_000), &lookup);
    assert_eq!(would, Err(late(1_300)));
    let urgent = Request { priority: -1, ..request(4, 25_000) };
    assert_eq!(bench.tell(100 * MS, Input::Arrived(urgent)), [Held(4, 800 * MS)]);
    assert_eq!(bench.tick(800 * MS), [Sent(4, 0), Rejected(2, late(1_150))]);
    assert_eq!(bench.send(800 * MS, 5, 70_000), [Held(5, 1_050 * MS)]);
}

/// The queue has room for one request: the next goes where the rule would send it.
#[test]
fn a_full_queue_sends() {
    let limits = QueueLimits { requests: 1, ..QueueLimits::default() };
    let mut bench = Bench::of("lpwl+hold(backlog_s=0)", limits, [crate::common::joined(0)]);
    bench.send(0, 1, 100_000);
    let outcome = |bench: &Bench| bench.router.explain(at(0), &request(3, 10), &lookup).unwrap();
    assert_eq!(outcome(&bench).outcome, Outcome::Held { until: at(S) });
    assert_eq!(bench.send(0, 2, 10), [Held(2, S)]);
    assert_eq!(outcome(&bench).outcome, Outcome::Sent { worker: WorkerId(0), decode: None });
    assert_eq!(bench.send(0, 3, 10), [Sent(3, 0)]);
    assert_eq!(bench.held(), [2]);
}

/// What waits has its room: it is not sent because the queue would have no room for it.
#[test]
fn a_held_request_larger_than_usual_queues_keeps_its_room() {
    let limits = QueueLimits { prompt_tokens: 1 << 30, ..QueueLimits::default() };
    let mut bench = Bench::of("lpwl+hold(backlog_s=0)", limits, [crate::common::joined(0)]);
    bench.send(0, 1, 100_000);
    assert_eq!(bench.send(0, 2, (1 << 24) + 10), [Held(2, S)]);
    let joined = bench.tell(MS, Input::Undrained(WorkerId(0)));
    assert_eq!((joined, bench.held()), (vec![], vec![2]), "asked again, and still held");
}

#[test]
fn a_held_request_may_be_cancelled() {
    let mut bench = Bench::new("lpwl+hold(backlog_s=0)", 1);
    bench.send(0, 1, 100_000);
    bench.send(0, 2, 10);
    bench.send(0, 3, 10);
    assert_eq!(bench.tell(MS, Input::Cancelled(RequestId(2))), []);
    assert_eq!((bench.held(), bench.router.queue().prompt_tokens()), (vec![3], 10));
    assert_eq!(bench.send(2 * MS, 2, 10), [Held(2, S)], "its id may come again");
    assert_eq!(bench.tell(3 * MS, Input::Cancelled(RequestId(1))), [Sent(3, 0)]);
    assert_eq!(bench.wake(), Some(3 * MS + 100_000), "when request 3 is computed");
}

/// Sessions on two busy workers. Only the first of the queue is looked at: the other stays although its
/// worker is open, until it is due.
#[test]
fn only_the_first_of_the_queue_are_looked_at() {
    for (look, sent) in [(1, false), (2, true)] {
        let policy =
            format!("session-affinity(bound=1000)+hold(backlog_s=0,order=fcfs,look={look})");
        let mut bench = Bench::new(&policy, 2);
        // A session on each worker.
        let (mut on, mut id) = ([None; 2], 0);
        while on.contains(&None) {
            id += 1;
            let request = Request { session: Some(SessionId(id)), ..request(id, 100_000) };
            match bench.tell(0, Input::Arrived(request))[..] {
                [Sent(_, worker)] => on[worker as usize] = Some(id),
                [Held(..)] => {
                    bench.tell(0, Input::Cancelled(RequestId(id)));
                }
                ref other => panic!("{other:?}"),
            }
        }
        let [one, two] = on.map(|session| session.expect("each has one"));
        for (id, session) in [(101, one), (102, two)] {
            let request = Request { session: Some(SessionId(session)), ..request(id, 10) };
            assert_eq!(bench.tell(MS, Input::Arrived(request)), [Held(id, S)]);
        }
        let done = bench.computed(2 * MS, two);
        assert_eq!(done, if sent { vec![Sent(102, 1)] } else { vec![] }, "look={look}");
        let rest = bench.tick(S);
        assert_eq!(rest, [&[Sent(101, 0)][..], if sent { &[] } else { &[Sent(102, 1)] }].concat());
    }
}
