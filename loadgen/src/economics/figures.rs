//! Energy and cost of a run, by the rules of `docs/economics.md`.

use super::Sheet;
use serde::Serialize;
use std::collections::BTreeMap;
use warmpath_core::engine::EngineStats;
use warmpath_core::engine::profile::Profile;
use warmpath_core::id::WorkerId;
use warmpath_core::report::{Account, Cost, Figures, Rates, Recorder, Spread};
use warmpath_core::time::Duration;

/// Energy and cost of a run. NaN (null in JSON): the power or price of a chip is unknown.
#[derive(Clone, Debug, Serialize)]
pub struct Economics {
    pub parts: Vec<Part>,
    pub total: Cost,
    pub served: Served,
    pub usd_per_m: PerMillion,
    pub kwh_per_m: PerMillion,
    /// Per request, without idle time.
    pub usd_per_request: Option<Spread>,
}

/// A group of workers, the devices, or the pool.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// Energy and cost that belong to requests.
    pub busy: Cost,
    pub idle: Cost,
}

/// Tokens of answered requests.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Served {
    pub prompt_computed: u64,
    pub prompt_reused: u64,
    pub output: u64,
}

impl Served {
    pub fn of(recorder: &Recorder) -> Self {
        let mut served = Self::default();
        for request in recorder.answered() {
            served.prompt_computed += u64::from(request.prompt_tokens - request.cached_tokens);
            served.prompt_reused += u64::from(request.cached_tokens);
            served.output += u64::from(request.output_tokens);
        }
        served
    }

    pub fn of_figures(figures: &Figures) -> Self {
        Self {
            prompt_computed: figures.prefill_tokens_computed,
            prompt_reused: figures.prefill_tokens_cached,
            // A rate times a duration, so a whole number except for rounding.
            output: (figures.throughput.output_tokens_per_s * figures.duration_s).round() as u64,
        }
    }

    pub const fn all(&self) -> u64 {
        self.prompt_computed + self.prompt_reused + self.output
    }
}

/// The total, with idle time, per million tokens. None: there were no tokens.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct PerMillion {
    /// Prompts and answers, computed or reused.
    pub served: Option<f64>,
    pub output: Option<f64>,
    /// Prompts and answers, without reused tokens.
    pub computed: Option<f64>,
}

impl PerMillion {
    fn of(whole: f64, served: &Served) -> Self {
        let each = |tokens: u64| (tokens > 0).then(|| whole * 1e6 / tokens as f64);
        Self {
            served: each(served.all()),
            output: each(served.output),
            computed: each(served.prompt_computed + served.output),
        }
    }
}

/// Workers or devices with the same rates.
#[derive(Debug)]
pub struct Side<'a> {
    pub name: &'a str,
    pub profile: &'a Profile,
    pub rates: Rates,
    /// Number of its first worker.
    pub first: u32,
    /// Includes workers that were never used.
    pub count: u32,
    pub engines: &'a [EngineStats],
    pub recorder: &'a Recorder,
}

impl Economics {
    /// `pool_tb`: capacity of the shared pool, if there is one. `span`: how long the fleet existed.
    pub fn of(sides: &[Side<'_>], pool_tb: Option<f64>, span: Duration, sheet: &Sheet) -> Self {
        let mut parts = Vec::new();
        let mut usd = Vec::new();
        for side in sides {
            let account = side.account(span);
            usd.extend(account.by_request.iter().map(|(_, spent)| spent.usd));
            parts.push(Part {
                name: side.name.to_owned(),
                count: side.count,
                rates: Some(side.rates),
                busy: account.busy,
                idle: account.idle,
            });
        }
        parts.extend(pool_tb.map(|tb| pool(tb, span, sheet)));
        let spent = |part: &Part| part.busy.plus(part.idle);
        let total = parts.iter().map(spent).fold(Cost::default(), Cost::plus);
        let served = served(sides);
        Self {
            parts,
            total,
            served,
            usd_per_m: PerMillion::of(total.usd, &served),
            kwh_per_m: PerMillion::of(total.kwh, &served),
            usd_per_request: Spread::of(usd),
        }
    }
}

impl Side<'_> {
    fn account(&self, span: Duration) -> Account {
        let busy = |i: u32| self.engines.get(i as usize).map_or(Duration::ZERO, |stats| stats.busy);
        let workers: BTreeMap<WorkerId, Duration> =
            (0..self.count).map(|i| (WorkerId(self.first + i), busy(i))).collect();
        let cost = self.profile.prefill_cost();
        Account::of(self.recorder.answered(), &workers, span, &cost, &self.rates)
    }
}

/// Groups of a fleet share a recorder, which is counted once.
fn served(sides: &[Side<'_>]) -> Served {
    let mut sum = Served::default();
    for (i, side) in sides.iter().enumerate() {
        if sides[..i].iter().any(|other| std::ptr::eq(other.recorder, side.recorder)) {
            continue;
        }
        let Served { prompt_computed, prompt_reused, output } = Served::of(side.recorder);
        sum.prompt_computed += prompt_computed;
        sum.prompt_reused += prompt_reused;
        sum.output += output;
    }
    sum
}

/// A pool costs the same whether it is used or not.
fn pool(tb: f64, span: Duration, sheet: &Sheet) -> Part {
    let hours = span.as_secs_f64() / 3600.0;
    let site = &sheet.site;
    let kwh = tb * site.pool_watts_per_tb / 1e3 * hours * site.overhead;
    let usd = tb * site.pool_usd_per_tb_hour * hours;
    let idle = Cost { worker_s: 0.0, kwh, usd };
    Part { name: "pool".into(), count: 1, rates: None, busy: Cost::default(), idle }
}
