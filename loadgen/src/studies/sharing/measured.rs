//! A rung of the ladder, measured with each seed, and over all of them.

use super::ladder::Rung;
use crate::figures::{AtRoom, Estimate, Found, RunReport};
use crate::studies::measure::{self, AtSlo, Throughput, around, at_slo, run_at};
use anyhow::Result;
use serde::Serialize;
use warmpath_core::id::ORIGINS;
use warmpath_core::report::{ByOwner, Spread};

/// A rung at the workload's own load, and at the highest that it serves within the SLO.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: &'static str,
    pub profile: String,
    pub profile_validated: bool,
    pub tiers: Vec<String>,
    /// Of the whole fleet; none where devices serve.
    pub chips: u32,
    pub requests: u64,
    pub errors: u64,
    /// Why the figures at the workload's own load cannot be used. None: they can.
    pub invalid_because: Option<String>,
    pub hit_rate: Option<f64>,
    pub hit_rate_by_owner: Option<ByOwner<f64>>,
    pub hit_rate_by_tier: Option<[f64; ORIGINS]>,
    pub ttft_s: Option<Spread>,
    pub tpot_s: Option<Spread>,
    pub within_slo: f64,
    /// Times the workload's own load. None where devices serve: each serves one user.
    pub capacity: Option<Found>,
    pub hit_rate_at_slo: Option<f64>,
    /// At that load, by chip.
    pub at_slo: Option<Throughput>,
    /// Chips that the workload's own load takes, if throughput is in proportion to them.
    pub chips_needed: Option<u32>,
    /// Of a million tokens served (prompts and answers), and of answers alone: at the highest load within
    /// the SLO, of devices at the workload's own.
    pub usd_per_m_served: Option<f64>,
    pub usd_per_m_output: Option<f64>,
    pub kwh_per_m_served: Option<f64>,
    /// The highest load within the SLO with other room for KV.
    pub kv_room: Vec<AtRoom>,
}

/// A rung with each seed. All rungs have the same seeds, in the same order.
#[derive(Debug)]
pub struct Seeds {
    /// At least one.
    pub each: Vec<Measured>,
}

/// What is shown of a rung over its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct OverSeeds {
    pub name: &'static str,
    /// None: a seed has no such figure.
    pub hit_rate: Option<Estimate>,
    pub ttft_mean_s: Option<Estimate>,
    pub within_slo: Option<Estimate>,
    pub load: Option<Estimate>,
    pub requests_per_s: Option<Estimate>,
    pub served_tokens_per_s_per_chip: Option<Estimate>,
    pub hit_rate_at_slo: Option<Estimate>,
    pub usd_per_m_served: Option<Estimate>,
    pub kwh_per_m_served: Option<Estimate>,
}

impl Seeds {
    /// What does not depend on the seed, and what is told of one: of the first.
    pub fn first(&self) -> &Measured {
        &self.each[0]
    }

    /// A figure over all seeds. None: a seed has none.
    pub fn over(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<Estimate> {
        let values: Option<Vec<f64>> = self.each.iter().map(of).collect();
        // The same with every seed says as much as one.
        let values = values?;
        let repeats = values.windows(2).all(|two| two[0] == two[1]);
        Some(Estimate::of(if repeats { &values[..1] } else { &values }))
    }

    /// The mean over all seeds. None: a seed has no such figure.
    pub fn mean(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        self.over(of).map(|over| over.mean)
    }

    pub fn name(&self) -> &'static str {
        self.first().name
    }

    pub fn sum(&self) -> OverSeeds {
        let at = |of: fn(&Throughput) -> f64| self.over(move |rung| rung.at_slo.as_ref().map(of));
        OverSeeds {
            name: self.name(),
            hit_rate: self.over(|rung| rung.hit_rate),
            ttft_mean_s: self.over(|rung| rung.ttft_s.map(|ttft| ttft.mean)),
            within_slo: self.over(|rung| Some(rung.within_slo)),
            load: self.over(Measured::load),
            requests_per_s: at(|at| at.requests_per_s),
            served_tokens_per_s_per_chip: at(|at| at.served),
            hit_rate_at_slo: self.over(|rung| rung.hit_rate_at_slo),
            usd_per_m_served: self.over(|rung| rung.usd_per_m_served),
            kwh_per_m_served: self.over(|rung| rung.kwh_per_m_served),
        }
    }
}

/// Plays a rung at the workload's own load, and searches for the highest load within the SLO. `rooms`: whether that load is
/// played with other room for KV too.
pub fn measured(rung: &Rung, rooms: bool) -> Result<Measured> {
    let setup = &rung.setup;
    let own = run_at(setup, 1.0)?;
    if setup.is_device_only() {
        return Ok(Measured::of(rung, own, None));
    }
    let found = at_slo(setup, measure::BOUNDS)?;
    let kv_room = if rooms { around(setup, &found)? } else { Vec::new() };
    Ok(Measured { kv_room, ..Measured::of(rung, own, Some(found)) })
}

impl Measured {
    /// The highest load within the SLO, as a multiple of the workload's own. None: there is none.
    pub fn load(&self) -> Option<f64> {
        match self.capacity? {
            Found::At { rate_scale, .. } | Found::AtLeast { rate_scale } => Some(rate_scale),
            Found::Nowhere { .. } => None,
        }
    }

    fn of(rung: &Rung, own: RunReport, found: Option<AtSlo>) -> Self {
        let chips = if found.is_some() { measure::chips(&rung.setup) } else { 0 };
        let at_slo = found.as_ref().and_then(|found| found.throughput(chips));
        let load = found.as_ref().and_then(AtSlo::load);
        let each = measure::chips_each(rung.setup.fleet.profile());
        let needed = |load: f64| (f64::from(chips / each) / load).ceil() as u32 * each;
        let economics = match &found {
            Some(found) => found.economics(),
            None => own.economics.as_ref(),
        };
        let usd = match &found {
            Some(found) => found.usd_per_m().map(|[served, output]| (Some(served), Some(output))),
            None => {
                economics.map(|economics| (economics.usd_per_m.served, economics.usd_per_m.output))
            }
        };
        let (usd_per_m_served, usd_per_m_output) = usd.unwrap_or_default();
        let at = found.as_ref().and_then(|found| found.run.as_ref());
        let known = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            name: rung.name,
            profile: own.profile.clone().unwrap_or_default(),
            profile_validated: own.profile_validated,
            tiers: own.tiers.clone(),
            chips,
            requests: own.figures.requests,
            errors: own.figures.errors,
            invalid_because: own.invalid_because.clone(),
            hit_rate: own.figures.hit_rate,
            hit_rate_by_owner: own.figures.hit_rate_by_owner,
            hit_rate_by_tier: own.figures.hit_rate_by_tier,
            ttft_s: own.figures.ttft_s,
            tpot_s: own.figures.tpot_s,
            within_slo: own.figures.within_slo,
            capacity: found.as_ref().map(|found| found.found),
            hit_rate_at_slo: at.and_then(|run| run.figures.hit_rate),
            at_slo,
            chips_needed: load.map(needed),
            usd_per_m_served: known(usd_per_m_served),
            usd_per_m_output: known(usd_per_m_output),
            kwh_per_m_served: known(economics.and_then(|economics| economics.kwh_per_m.served)),
            kv_room: Vec::new(),
        }
    }
}
