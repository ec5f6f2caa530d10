//! Energy and money add up for any run: requests and idle time together take all of both, prices
//! scale the parts that they are prices of, and nothing is negative.

use crate::common::{between, for_seeds};
use std::collections::BTreeMap;
use warmpath_core::event::PrefillCost;
use warmpath_core::id::{ORIGINS, RequestId, TenantId, WorkerId};
use warmpath_core::report::{Account, Answered, ByOwner, Cost, Rate, Rates};
use warmpath_core::rng::Rng;
use warmpath_core::time::{Duration, Instant};

struct Run {
    answered: Vec<Answered>,
    workers: BTreeMap<WorkerId, Duration>,
    span: Duration,
    prefill: PrefillCost,
    rates: Rates,
}

impl Run {
    /// Random workers: some served much, some little, some nothing, some were busy after the run's
    /// end.
    fn draw(rng: &mut Rng) -> Self {
        let span = Duration::from_millis(u64::from(between(rng, 1, 100_000)));
        let count = between(rng, 1, 6);
        let busy = |rng: &mut Rng| span.as_secs_f64() * 1.1 * rng.unit();
        let workers = (0..count)
            .map(|i| (WorkerId(i), Duration::from_secs_f64(busy(rng))))
            .collect::<BTreeMap<_, _>>();
        let requests = between(rng, 0, 40);
        let answered = (0..requests).map(|i| request(rng, i, count)).collect();
        let rate =
            |rng: &mut Rng| Rate { watts: rng.unit() * 900.0, usd_per_hour: rng.unit() * 9.0 };
        let rates = Rates { busy: rate(rng), idle: rate(rng), overhead: 1.0 + rng.unit() };
        let prefill = PrefillCost {
            step_ns: 1e6,
            floor_ns: 3e6,
            chunk_tokens: 2_048,
            ns_per_token: rng.unit() * 1e5,
            ns_per_pair: rng.unit() * 10.0,
        };
        Self { answered, workers, span, prefill, rates }
    }

    fn account(&self, rates: &Rates) -> Account {
        Account::of(&self.answered, &self.workers, self.span, &self.prefill, rates)
    }
}

fn request(rng: &mut Rng, i: u32, workers: u32) -> Answered {
    let prompt_tokens = between(rng, 1, 20_000);
    Answered {
        id: RequestId(u64::from(i)),
        worker: WorkerId(between(rng, 0, workers - 1)),
        sent: Instant::START,
        first_token: Instant::START,
        ended: Instant::START,
        prompt_tokens,
        output_tokens: between(rng, 1, 500),
        cached_tokens: between(rng, 0, prompt_tokens - 1),
        cached_by_tier: [0; ORIGINS],
        tenant: TenantId(0),
        cached_by_owner: ByOwner::default(),
    }
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9), "{a} against {b}");
}

fn same(a: Cost, b: Cost) {
    near(a.worker_s, b.worker_s);
    near(a.kwh, b.kwh);
    near(a.usd, b.usd);
}

#[test]
fn the_total_is_the_sum_over_requests_and_idle_time() {
    for_seeds(0..300, |rng| {
        let run = Run::draw(rng);
        let account = run.account(&run.rates);
        let requests = account.by_request.iter().fold(Cost::default(), |sum, (_, x)| sum.plus(*x));
        assert_eq!(account.by_request.len(), run.answered.len());
        same(requests, account.busy);
        same(requests.plus(account.idle), account.total());
        near(account.total().worker_s, run.span.as_secs_f64() * run.workers.len() as f64);
        let all = account.by_request.iter().map(|(_, spent)| *spent).chain([account.idle]);
        for spent in all {
            assert!(spent.worker_s >= 0.0 && spent.kwh >= 0.0 && spent.usd >= 0.0, "{spent:?}");
        }
    });
}

#[test]
fn a_higher_price_scales_its_part_of_the_cost() {
    for_seeds(0..100, |rng| {
        let run = Run::draw(rng);
        let (before, factor) = (run.account(&run.rates).total(), 1.0 + rng.unit() * 4.0);
        let mut rates = run.rates;
        rates.busy.usd_per_hour *= factor;
        rates.idle.usd_per_hour *= factor;
        let dearer = run.account(&rates).total();
        near(dearer.usd, before.usd * factor);
        near(dearer.kwh, before.kwh);
        let hungrier = Rates { overhead: run.rates.overhead * 2.0, ..run.rates };
        let hungrier = run.account(&hungrier).total();
        near(hungrier.kwh, before.kwh * 2.0);
        near(hungrier.usd, before.usd);
    });
}

/// One worker, busy for 10 of 40 seconds: two prompts of one second each, and 80 answer tokens.
#[test]
fn one_requests_part_computed_by_hand() {
    let prefill = PrefillCost {
        step_ns: 0.0,
        floor_ns: 0.0,
        chunk_tokens: 1_000,
        ns_per_token: 1e6,
        ns_per_pair: 0.0,
    };
    let request = |id, output_tokens| Answered {
        id: RequestId(id),
        worker: WorkerId(0),
        sent: Instant::START,
        first_token: Instant::START,
        ended: Instant::START,
        prompt_tokens: 1_500,
        output_tokens,
        cached_tokens: 500,
        cached_by_tier: [0; ORIGINS],
        tenant: TenantId(0),
        cached_by_owner: ByOwner::default(),
    };
    let workers = BTreeMap::from([(WorkerId(0), Duration::from_millis(10_000))]);
    let rates = Rates {
        busy: Rate { watts: 3_600.0, usd_per_hour: 360.0 },
        idle: Rate { watts: 360.0, usd_per_hour: 36.0 },
        overhead: 1.5,
    };
    let answered = [request(1, 20), request(2, 60)];
    let account = Account::of(&answered, &workers, Duration::from_millis(40_000), &prefill, &rates);
    let seconds: Vec<f64> = account.by_request.iter().map(|(_, spent)| spent.worker_s).collect();
    // Eight seconds remain for 80 tokens.
    assert_eq!(seconds, [1.0 + 2.0, 1.0 + 6.0]);
    near(account.by_request[0].1.kwh, 3.0 / 3600.0 * 3.6 * 1.5);
    near(account.busy.usd, 1.0);
    near(account.idle.usd, 0.3);
    near(account.idle.kwh, 30.0 / 3600.0 * 0.36 * 1.5);
}
