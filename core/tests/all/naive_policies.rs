//! The rules that do not look at caches, on small fleets worked by hand.

use std::collections::BTreeMap;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::{PrefillCost, Role, WorkerInfo};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::Instant;

struct Bench {
    router: Router,
    next: u64,
}

impl Bench {
    fn new(policy: PolicyConfig, workers: u32) -> Self {
        let mut bench = Self { router: Router::new(policy), next: 0 };
        (0..workers).for_each(|i| bench.join(i));
        bench
    }

    fn tell(&mut self, input: &Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.router.apply(Instant::START, input, &no_lookup, &mut actions);
        actions
    }

    fn join(&mut self, worker: u32) {
        let prefill = PrefillCost {
            step_ns: 1e6,
            floor_ns: 0.0,
            chunk_tokens: 512,
            ns_per_token: 1e3,
            ns_per_pair: 0.0,
        };
        self.tell(&Input::Joined(WorkerInfo {
            worker: WorkerId(worker),
            epoch: 1,
            block_size: 16,
            total_blocks: None,
            constant_blocks: 0,
            max_num_seqs: 8,
            prefill,
            tiers: Vec::new(),
            pool: None,
            peers: None,
            role: Role::Both,
            decode: None,
        }));
    }

    /// Sends a request, of a session or of none. The answer is its worker.
    fn send(&mut self, session: Option<u64>) -> u32 {
        self.next += 1;
        let prompt = hash_blocks(&ScopePlan::new("", "", "", 16), &[1; 40]);
        let actions = self.tell(&Input::Arrived(Request {
            id: RequestId(self.next),
            session: session.map(SessionId),
            tenant: TenantId(0),
            prompt: TokenBlocks::whole(prompt),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        }));
        match actions.as_slice() {
            [Action::Dispatch { decision, .. }] => decision.worker.0,
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, id: u64) {
        self.tell(&Input::Finished {
            id: RequestId(id),
            cached_tokens: 0,
            by_origin: None,
            output_tokens: None,
        });
    }
}

#[test]
fn random_is_even_and_the_same_each_time() {
    let draw = || {
        let mut bench = Bench::new(PolicyConfig::Random, 4);
        (0..4_000).map(|_| bench.send(None)).collect::<Vec<_>>()
    };
    let first = draw();
    assert_eq!(first, draw());
    for worker in 0..4 {
        let share = first.iter().filter(|&&chosen| chosen == worker).count();
        // 1,000 expected with a standard deviation of 27.
        assert!((870..1_130).contains(&share), "worker {worker} got {share} of 4,000");
    }
    // Not a rotation: some neighbours are equal, one in four on average.
    let repeats = first.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((850..1_150).contains(&repeats), "{repeats} repeats");
}

#[test]
fn least_loaded_goes_where_the_fewest_requests_are() {
    let mut bench = Bench::new(PolicyConfig::LeastLoaded, 3);
    let mut first: Vec<u32> = (0..3).map(|_| bench.send(None)).collect();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2], "one each");
    let second: Vec<u32> = (0..3).map(|_| bench.send(None)).collect();
    // Two each; the fifth request ends, so its worker has one.
    bench.finish(5);
    assert_eq!(bench.send(None), second[1]);
}

#[test]
fn power_of_two_takes_the_less_loaded_of_two() {
    // With two workers both are always drawn, so the loads never differ by more than one.
    let mut bench = Bench::new(PolicyConfig::PowerOfTwo, 2);
    let mut load = [0i32; 2];
    for _ in 0..200 {
        load[bench.send(None) as usize] += 1;
        assert!((load[0] - load[1]).abs() <= 1, "{load:?}");
    }
    assert_eq!(Bench::new(PolicyConfig::PowerOfTwo, 1).send(None), 0, "one worker is no choice");
    // With many workers and nothing ending, the fullest stays near the mean of 10. One choice
    // would leave it near 18.
    let mut bench = Bench::new(PolicyConfig::PowerOfTwo, 100);
    let mut load = BTreeMap::new();
    for _ in 0..1_000 {
        *load.entry(bench.send(None)).or_insert(0) += 1;
    }
    let most = *load.values().max().expect("a worker was chosen");
    assert!(most <= 13, "the fullest has {most}");
}

#[test]
fn a_session_stays_with_its_worker_until_the_bound() {
    // Two workers. A session of request after request, none of which ends. Before the k-th request
    // k - 1 are under way and the bound is ceil(1.25 x k / 2):
    //   k = 1: bound 1, home has 0 -> home      k = 2: bound 2, home has 1 -> home
    //   k = 3: bound 2, home has 2 -> other     k = 4: bound 3, home has 2 -> home
    //   k = 5: bound 4, home has 3 -> home      k = 6: bound 4, home has 4 -> other
    let mut bench = Bench::new(PolicyConfig::SessionAffinity, 2);
    let home = bench.send(Some(7));
    let rest: Vec<bool> = (0..5).map(|_| bench.send(Some(7)) == home).collect();
    assert_eq!(rest, [true, false, true, true, false]);
}

#[test]
fn a_worker_that_leaves_moves_only_its_own_sessions() {
    let homes = |workers: u32, lost: Option<u32>| {
        let mut bench = Bench::new(PolicyConfig::SessionAffinity, workers);
        if let Some(lost) = lost {
            bench.tell(&Input::Lost(WorkerId(lost).into()));
        }
        (0..300)
            .map(|session| {
                let home = bench.send(Some(session));
                let id = bench.next;
                bench.finish(id);
                home
            })
            .collect::<Vec<_>>()
    };
    let (before, after) = (homes(6, None), homes(6, Some(2)));
    for (session, (old, new)) in before.iter().zip(&after).enumerate() {
        assert_ne!(*new, 2);
        assert!(old == new || *old == 2, "session {session} moved from {old} to {new}");
    }
    let moved = before.iter().filter(|&&home| home == 2).count();
    // A sixth of 300.
    assert!((30..75).contains(&moved), "{moved} sessions lived on the lost worker");
}
