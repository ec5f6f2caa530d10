//! More load than two workers can serve: what is answered in time, and how the rest is refused. The control
//! takes everything on.

use crate::common::*;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use warmpath_core::routing::policy::{LeastLoaded, PolicyConfig, Warmpath};
use warmpath_router::RouterConfig;
use warmpath_router::admission::AdmissionConfig;
use warmpath_router::config::Part;
use warmpath_worker_sim::WorkerConfig;

/// Slow enough that the machine does not matter much.
const SLOW: f64 = 4.0;
/// 100 ms to compute.
const PROMPT: u32 = 2_000;
/// What two workers can compute in a second of the wall clock.
const FULL: f64 = 2.0 * 10.0 * SLOW;
const SECONDS: f64 = 3.0;
/// 2 s of the workers' time.
const DEADLINE: Duration = Duration::from_millis(500);

struct Outcome {
    answer: Result<(), Status>,
    took: Duration,
}

struct Played(Vec<Outcome>);

impl Played {
    /// Answers in time, per second.
    fn good_per_s(&self) -> f64 {
        self.0.iter().filter(|outcome| outcome.answer.is_ok()).count() as f64 / SECONDS
    }

    fn with_code(&self, code: Code) -> impl Iterator<Item = &Outcome> {
        self.0.iter().filter(move |outcome| matches!(&outcome.answer, Err(s) if s.code() == code))
    }
}

async fn router(
    policy: PolicyConfig,
    admission: Part<AdmissionConfig>,
) -> (Vec<TestWorker>, TestRouter) {
    let worker = || WorkerConfig { speedup: SLOW, ..worker_config() };
    let workers = vec![TestWorker::start(worker()), TestWorker::start(worker())];
    let config = router_config(&workers, policy);
    let config = RouterConfig { admission, speedup: SLOW, ..config };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    (workers, router)
}

/// An open loop: requests come at this rate whatever becomes of those before.
async fn play(router: &TestRouter, per_s: f64, seed: u32) -> Played {
    let (mut all, begun) = (JoinSet::new(), tokio::time::Instant::now());
    for n in 0..(per_s * SECONDS) as u32 {
        tokio::time::sleep_until(begun + Duration::from_secs_f64(f64::from(n) / per_s)).await;
        let mut client = router.client();
        let mut asked = Request::new(request(prompt(u64::from(seed + n), PROMPT), 5));
        asked.set_timeout(DEADLINE);
        all.spawn(async move {
            let began = Instant::now();
            let answer = async {
                collect(client.generate_stream(asked).await?.into_inner()).await.map(drop)
            };
            Outcome { answer: answer.await, took: began.elapsed() }
        });
    }
    Played(within(all.join_all()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_times_too_much_is_answered_as_fast_as_the_fleet_can_and_the_rest_refused_at_once() {
    for policy in [LeastLoaded::DEFAULT.into(), Warmpath::DEFAULT.into()] {
        let (_workers, router) = router(policy, Part::On(true)).await;
        // It learns how fast its workers are.
        play(&router, 0.5 * FULL, 0).await;
        let peak = play(&router, FULL, 10_000).await.good_per_s();
        let over = play(&router, 3.0 * FULL, 20_000).await;
        let good = over.good_per_s();
        let refused: Vec<&Outcome> = over.with_code(Code::ResourceExhausted).collect();
        let mut waits: Vec<Duration> = refused.iter().map(|outcome| outcome.took).collect();
        waits.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| waits[waits.len() * percent / 100]);
        println!("{policy}: peak {peak:.0} good {good:.0} refused {} p99 {p99:?}", refused.len());
        // Times are those of a machine that other tests use too. `sim/tests/all/overload.rs` is exact.
        assert!(good >= 0.6 * peak.min(FULL), "{policy}: {good:.0} of {peak:.0} a second");
        assert!(refused.len() > 200, "{policy}: {} refused", refused.len());
        assert!(p50 < Duration::from_millis(100), "{policy}: refused after {p50:?}");
        for Outcome { answer, .. } in refused {
            let status = answer.as_ref().unwrap_err();
            let again = status.metadata().get("grpc-retry-pushback-ms").expect("a pushback");
            assert!(again.to_str().unwrap().parse::<u64>().unwrap() >= 25, "{again:?}");
        }
        // The load is gone, and so is its effect.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = play(&router, 0.5 * FULL, 30_000).await;
        assert!(after.0.iter().filter(|outcome| outcome.answer.is_err()).count() <= 2);
        router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_takes_everything_on_answers_hardly_anything_in_time() {
    let (_workers, router) = router(LeastLoaded::DEFAULT.into(), Part::On(false)).await;
    let over = play(&router, 3.0 * FULL, 0).await;
    println!("control: good {:.0}", over.good_per_s());
    assert!(over.good_per_s() < 0.4 * FULL, "{:.0} a second", over.good_per_s());
    assert_eq!(over.with_code(Code::ResourceExhausted).count(), 0);
}
