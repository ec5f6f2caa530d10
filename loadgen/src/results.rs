//! What a run reports: one row of the table, one object of the JSON.

use serde::Serialize;
use warmpath_core::report::{Figures, Spread};
use warmpath_core::routing::policy::PolicyConfig;

pub const SCHEMA: &str = "warmpath.report.v1";

#[derive(Debug, Serialize)]
pub struct Report<C: Serialize> {
    pub schema: &'static str,
    pub config: C,
    pub runs: Vec<RunReport>,
}

impl<C: Serialize> Report<C> {
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Mode {
    /// Real processes' code on real sockets, against the wall clock.
    #[serde(rename = "live")]
    Live,
    /// The requests of the live leg in virtual time.
    #[serde(rename = "sim-slice")]
    SimSlice,
    /// The whole workload in virtual time.
    #[serde(rename = "sim")]
    Sim,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::SimSlice => "sim-slice",
            Self::Sim => "sim",
        }
    }
}

/// One policy in one mode. All times in seconds of model time unless the name says wall.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// None where the policy is the target's own business.
    pub policy: Option<PolicyConfig>,
    pub mode: Mode,
    pub workload: String,
    /// None where the target's own engines decide.
    pub profile: Option<String>,
    /// Whether the profile's times were held against measurements.
    pub profile_validated: bool,
    #[serde(flatten)]
    pub figures: Figures,
    /// The router's own wall seconds a request, from the decoded request to the upstream call. Only
    /// where there is a real router, and it says so.
    pub router_overhead_s: Option<Spread>,
    pub speedup: Option<f64>,
    /// Virtual time only.
    pub engine: Option<EngineFigures>,
    pub valid: bool,
    pub invalid_because: Option<String>,
    /// Live only.
    pub live: Option<LiveFigures>,
    pub wall_s: f64,
    pub seed: u64,
}

/// What only a live run has.
#[derive(Clone, Debug, Serialize)]
pub struct LiveFigures {
    /// Wall seconds by which requests were sent late.
    pub send_lateness_s: Spread,
    #[serde(skip)]
    pub router_overhead_s: Option<Spread>,
    /// Workers that served at least one request.
    pub workers: u32,
    /// The first few failures in full.
    pub failures: Vec<String>,
}

/// What only the engines know.
#[derive(Debug, Serialize)]
pub struct EngineFigures {
    /// Share of the time in which a worker computed, over all workers.
    pub utilisation: f64,
    pub steps: u64,
    pub preemptions: u64,
    /// Computed again after a preemption, on top of the prefill tokens.
    pub recomputed_tokens: u64,
    /// Blocks found at first admission, nearest tier first.
    pub hit_blocks_by_tier: [u64; 4],
    /// Blocks the router believed would be found, where its policy looks.
    pub overlap_blocks: u64,
}
