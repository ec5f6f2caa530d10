//! `loadgen regret`: what single decisions of a rule cost, found by playing them again with another worker.
//!
//! A run is played with the rule. Its requests, their times and the worker of each are then frozen, and the run is played again
//! with one request on another worker. What that changes in the times of this request and of those sent within a horizon after it
//! is what the other worker would have won. The most over all workers is the decision's regret: in hindsight, for this one
//! decision, with all later ones as they were. The times are those to the first or to the last token.

mod examine;
mod plots;
mod sheet;

use crate::figures::label;
use crate::files::bad;
use crate::play::{Progress, RunOptions, parallel};
use crate::setup::Setup;
use anyhow::Result;
use clap::ValueEnum;
pub use examine::{Examined, Frozen};
pub use plots::add;
use serde::Serialize;
pub use sheet::{blanks, data, page};
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::id::WorkerId;
use warmpath_core::report::Row;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_core::time::Duration;

/// The time of a request that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// To the first token.
    Ttft,
    /// To the last token.
    E2e,
}

impl By {
    /// None: the request has no such time.
    fn time(self, row: &Row) -> Option<Duration> {
        match self {
            Self::Ttft => row.ttft(),
            Self::E2e if row.failed.is_some() => None,
            Self::E2e => Some(row.ended.since(row.intended)),
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::Ttft => "TTFT",
            Self::E2e => "E2E",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Ttft => "time to first token",
            Self::E2e => "time to last token",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The time that a decision should make short.
    pub by: By,
    /// How many requests are played.
    pub requests: u64,
    /// How many decisions are examined.
    pub examined: usize,
    /// Requests that are sent so long after the examined one count too.
    pub horizon_s: f64,
}

/// What decisions of one rule cost.
#[derive(Debug, Serialize)]
pub struct Regret {
    pub policy: String,
    pub requests: u64,
    pub time_mean_s: f64,
    /// In the order in which they were sent.
    pub examined: Vec<Examined>,
}

impl Regret {
    /// The decisions that were picked evenly, so that they stand for all.
    fn spread(&self) -> impl Iterator<Item = &Examined> {
        self.examined.iter().filter(|examined| !examined.slowest)
    }

    /// What an evenly picked decision cost, in seconds.
    pub fn mean_s(&self) -> f64 {
        let count = self.spread().count().max(1);
        self.spread().map(|examined| examined.regret_s).sum::<f64>() / count as f64
    }

    /// How many of them no other worker would have made better.
    pub fn right(&self) -> (usize, usize) {
        (self.spread().filter(|one| one.regret_s == 0.0).count(), self.spread().count())
    }
}

/// Examines decisions of each policy.
pub fn regret(asked: Question, setup: &Setup, progress: &Progress) -> Result<Vec<Regret>> {
    check(setup)?;
    setup.policies.iter().map(|policy| of_policy(asked, setup, policy, progress)).collect()
}

/// Whether a run of this set-up can be frozen: one router, which sends each request at once to one worker.
fn check(setup: &Setup) -> Result<()> {
    let peers = setup.fleet.profiles().iter().any(|profile| profile.peers.is_some());
    let reasons = [
        (setup.devices.is_some(), "has devices, expected workers alone"),
        (
            setup.pool.is_some() || peers,
            "has a pool or peers, expected workers that keep to themselves",
        ),
        (
            setup.fleet.shares_requests(),
            "has prefill and decode workers, expected workers that do both",
        ),
        (!setup.faults.is_empty(), "has faults, expected none"),
        (!setup.routers.is_one(), "has several routers, expected one"),
        (
            setup.admission.is_some(),
            "refuses requests ([admission]), expected a scenario that does not",
        ),
        (!setup.variants.is_empty(), "has [[variant]] tables, expected one without"),
        (setup.fleet.workers() < 2, "has one worker, expected at least 2"),
    ];
    match reasons.iter().find(|(holds, _)| *holds) {
        Some((_, why)) => Err(bad(format!("--scenario: {} {why}", setup.scenario))),
        None => Ok(()),
    }
}

fn of_policy(
    asked: Question,
    setup: &Setup,
    policy: &NamedPolicy,
    progress: &Progress,
) -> Result<Regret> {
    let frozen = Frozen::play(setup, policy, asked)?;
    let picked = frozen.pick(asked.examined);
    let workers = setup.fleet.workers();
    let others = |place: usize| {
        let own = frozen.worker(place);
        (0..workers).map(WorkerId).filter(move |worker| *worker != own)
    };
    let cells: Vec<(usize, WorkerId)> = picked
        .iter()
        .flat_map(|&(place, _)| others(place).map(move |worker| (place, worker)))
        .collect();
    let name = format!("{} regret", label(Some(policy), None));
    let bar = progress.start(cells.len() as u64, &name, "runs");
    let ended = AtomicU64::new(0);
    let tried = parallel::map(&cells, |&(place, worker)| {
        let tried = frozen.with(place, worker);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        tried
    });
    drop(bar);
    let tried = tried.into_iter().collect::<Result<Vec<_>>>()?;
    let each = tried.chunks(workers as usize - 1);
    let examined = picked.iter().zip(each).map(|(&pick, tried)| frozen.examined(pick, tried));
    Ok(Regret {
        policy: policy.label.clone(),
        requests: frozen.len(),
        time_mean_s: frozen.time_mean_s(),
        examined: examined.collect(),
    })
}

/// Nothing of a run is kept but what regret needs.
fn options() -> RunOptions {
    RunOptions::default()
}
