//! Reasons why the figures of a run cannot be used.

use crate::figures::{LiveFigures, covers};
use std::fmt;
use warmpath_core::report::{Figures, Spread};

/// Largest mean lateness of all processes together, as a share of the mean TTFT without it.
const LATENESS_LIMIT: f64 = 0.05;

/// A reason if more than 1 % of the requests failed, or if none was answered.
pub fn too_few(figures: &Figures) -> Option<String> {
    let Figures { offered, requests, errors, .. } = figures;
    match requests {
        _ if covers(figures) => None,
        0 => Some(format!("none of {offered} requests was answered, so there are no figures")),
        _ => Some(format!(
            "{errors} of {offered} requests failed, more than 1 %, so the figures cover {requests}"
        )),
    }
}

/// By how much the processes of a live run were late for a request, in model seconds. A speedup
/// multiplies it, and all of it is in the TTFT.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Late {
    /// The client sent requests late.
    client: f64,
    /// The router's own time, which no simulation counts.
    router: f64,
    /// The engines' threads woke up late. 0 for a fleet that runs elsewhere, which does not say.
    workers: f64,
    pool: f64,
}

impl Late {
    pub fn of(live: &LiveFigures, speedup: f64) -> Self {
        let mean = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.mean * speedup);
        Self {
            client: mean(live.send_lateness_s),
            router: mean(live.router_overhead_s),
            workers: live.worker_lateness_s.unwrap_or(0.0) * speedup,
            pool: live.pool_lateness_s.unwrap_or(0.0) * speedup,
        }
    }

    pub fn total(&self) -> f64 {
        self.client + self.router + self.workers + self.pool
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms late in model time (", self.total() * 1e3)?;
        write!(f, "client {:.1}, router {:.1}", self.client * 1e3, self.router * 1e3)?;
        for (name, late) in [("workers", self.workers), ("pool", self.pool)] {
            if late > 0.0 {
                write!(f, ", {name} {:.1}", late * 1e3)?;
            }
        }
        write!(f, ")")
    }
}

/// What to do about a live run that is not valid.
pub const REMEDY: &str = "lower --speedup, or use a quieter machine";

/// A reason if the processes were too late for a request's TTFT. `ttft_s`: its mean, as it would be if
/// no process was late; `whose` says what that is.
pub fn too_late(late: &Late, ttft_s: f64, whose: &str) -> Option<String> {
    (late.total() > LATENESS_LIMIT * ttft_s).then(|| {
        format!(
            "requests were {late}, more than {} % of {whose} of {:.1} ms",
            LATENESS_LIMIT * 100.0,
            ttft_s * 1e3
        )
    })
}
