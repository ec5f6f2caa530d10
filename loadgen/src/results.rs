//! What a run reports: one row of the table, one object of the JSON.

use crate::capacity;
use crate::classes::ClassFigures;
use crate::config::Setup;
use crate::devices::DeviceReport;
use crate::economics::Economics;
use crate::grid;
use crate::groups::GroupFigures;
use crate::owners;
use crate::progress::Progress;
use crate::source::Prepared;
use crate::stats::Estimate;
use anyhow::Result;
use serde::Serialize;
use warmpath_core::engine::physics::Standing;
use warmpath_core::report::{Figures, Row, Spread};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_sim::FailedFetches;

pub const SCHEMA: &str = "warmpath.report.v1";

#[derive(Debug, Serialize)]
pub struct Report<C: Serialize> {
    pub schema: &'static str,
    pub config: C,
    #[serde(flatten)]
    pub results: Results,
}

/// What came out.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub runs: Vec<RunReport>,
    /// With several seeds or rates: each policy against the baseline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// With `--capacity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacities: Vec<Capacity>,
    /// What a reader of the table must know besides.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Whether the table says whose work the hits were.
    #[serde(skip)]
    pub by_owner: bool,
}

impl Results {
    /// Single runs, and the capacities if they are asked for.
    pub fn of_runs(
        runs: Vec<RunReport>,
        setup: &Setup,
        prepared: &Prepared<'_>,
        progress: &Progress,
    ) -> Result<Self> {
        let capacities =
            if setup.capacity { capacity::find(setup, prepared, progress)? } else { Vec::new() };
        let notes = setup.source.note().into_iter().chain(owners::note(setup)).collect();
        let by_owner = setup.has_tenants();
        Ok(Self { runs, comparisons: Vec::new(), capacities, notes, by_owner })
    }

    /// Every policy at every rate with every seed, compared.
    pub fn of_grid(setup: &Setup, prepared: &Prepared<'_>, progress: &Progress) -> Result<Self> {
        let runs = grid::play(setup, prepared, &grid::cells(setup), progress)?;
        let comparisons = grid::compare_to(setup.baseline, setup, &runs);
        Ok(Self { comparisons, ..Self::of_runs(runs, setup, prepared, progress)? })
    }

    /// Those of another variant come behind.
    pub fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.comparisons.extend(other.comparisons);
        self.capacities.extend(other.capacities);
        self.by_owner |= other.by_owner;
        let new = other.notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<String> = new.collect();
        self.notes.extend(new);
    }

    /// Live legs stand before the grid.
    pub fn with_live(mut self, mut live: Vec<RunReport>) -> Self {
        live.append(&mut self.runs);
        Self { runs: live, ..self }
    }
}

/// How a row of a table is called: its policy, and its variant if there are several.
pub fn label(policy: Option<PolicyConfig>, variant: Option<&str>) -> String {
    let policy = policy.map_or("(the target's)", |policy| policy.name());
    match variant {
        Some(variant) => format!("{policy}, {variant}"),
        None => policy.to_owned(),
    }
}

/// What the record of a run is called in its folder.
pub fn record_name(policy: PolicyConfig, variant: Option<&str>) -> String {
    match variant {
        // A name is free, a path is not.
        Some(variant) => format!("{policy}.{}.jsonl", variant.replace(['/', '\\'], "_")),
        None => format!("{policy}.jsonl"),
    }
}

impl RunReport {
    pub fn label(&self) -> String {
        label(self.policy, self.variant.as_deref())
    }
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
    /// Of the scenario, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub mode: Mode,
    pub workload: String,
    /// Those of all groups; none where the target's own engines decide.
    pub profile: Option<String>,
    /// Whether the profile's times were held against measurements.
    pub profile_validated: bool,
    /// Names of the tiers that `hit_rate_by_tier` counts; none where no worker says.
    pub tiers: Vec<String>,
    /// What its times rest on, and how far off they may be.
    pub profile_standing: Option<Standing>,
    /// Where the room for KV was given: the tokens that memory and weights would leave.
    pub profile_hbm_tokens_computed: Option<u64>,
    /// Of a mixed fleet: each of its groups, with what its profile rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupFigures>,
    #[serde(flatten)]
    pub figures: Figures,
    /// The router's own wall seconds a request, from the decoded request to the upstream call. Only
    /// where there is a real router, and it says so.
    pub router_overhead_s: Option<Spread>,
    pub speedup: Option<f64>,
    /// Virtual time only.
    pub engine: Option<EngineFigures>,
    /// What users' own devices and the workers each did; the figures above are of both together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<DeviceReport>,
    /// Virtual time only, of a workload that has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassFigures>,
    /// Virtual time only, where prices are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub economics: Option<Economics>,
    pub valid: bool,
    pub invalid_because: Option<String>,
    /// Live only.
    pub live: Option<LiveFigures>,
    pub wall_s: f64,
    pub seed: u64,
    /// What its texts were salted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u32>,
    /// Times the workload's own arrival rate.
    pub rate_scale: f64,
    /// While as many come as ever will; 0 where nobody looked.
    #[serde(skip)]
    pub steady_requests_per_s: f64,
    /// A row a request, where they are kept for a file.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// What only a live run has.
#[derive(Clone, Debug, Serialize)]
pub struct LiveFigures {
    /// Wall seconds by which requests were sent late.
    pub send_lateness_s: Spread,
    #[serde(skip)]
    pub router_overhead_s: Option<Spread>,
    /// KV that went from workers that compute prompts to workers that answer them, as those say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<LiveHandover>,
    /// Workers that served at least one request.
    pub workers: u32,
    /// The first few failures in full.
    pub failures: Vec<String>,
    #[serde(skip)]
    pub tier_names: Vec<String>,
    /// Whether the user ended it before all requests had ended.
    pub interrupted: bool,
    /// The answer whose first token took longest.
    pub slowest: Option<Slowest>,
}

/// A request to look closer at.
#[derive(Clone, Debug, Serialize)]
pub struct Slowest {
    /// Its name on the wire.
    pub request_id: String,
    pub ttft_s: f64,
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
    /// Seconds that requests waited for loads and fetches, all together.
    pub load_wait_s: f64,
    /// From pools and peers, and how often that failed and was computed instead.
    pub fetched_bytes: f64,
    pub failed_fetches: u64,
    /// Why they failed.
    pub failed_fetches_by: FailedFetches,
    /// Where some workers compute prompts that others answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverFigures>,
    /// Blocks that at least one worker holds at the end, and copies of them in all workers.
    pub resident_blocks: u64,
    pub resident_copies: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolFigures>,
    /// What workers lent to each other, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeerFigures>,
    /// What crossed the links of the tiers behind HBM, all workers together.
    pub tiers: Vec<TierFigures>,
    /// Blocks the router believed would be found, where its policy looks.
    pub overlap_blocks: u64,
}

/// KV that went from workers that compute prompts to workers that answer them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HandoverFigures {
    pub tokens: u64,
    /// These tokens' KV; no block is rounded up.
    pub bytes: u64,
    /// Share of the time in which anything was on its way, over all workers that prefill.
    pub link_utilisation: f64,
    /// Seconds that requests waited for it, all together.
    pub wait_s: f64,
    /// Hand-overs that failed, so that the prompts were computed by who answered.
    pub failed: u64,
    /// Prompts that were computed and held, and that nobody came for in time.
    pub expired: u64,
}

/// The same of a live run, over the requests that were answered.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct LiveHandover {
    /// For which KV came; of the others the prompts were computed by who answered, or nobody else was to.
    pub requests: u64,
    pub tokens: u64,
    pub bytes: u64,
}

/// What a shared pool did.
#[derive(Debug, Serialize)]
pub struct PoolFigures {
    pub sent_bytes: f64,
    pub stored_bytes: f64,
    /// Put, and there already.
    pub known_bytes: f64,
    /// Put, and not kept: writes had fallen behind, or there was no room.
    pub refused_bytes: f64,
    /// Share of the time in which it sent anything.
    pub link_utilisation: f64,
}

/// What workers lent to each other, over all of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerFigures {
    pub sent_bytes: f64,
    /// Share of the time in which a worker sent anything to a peer, over all workers.
    pub link_utilisation: f64,
}

/// One tier behind HBM, over all workers.
#[derive(Debug, Default, Serialize)]
pub struct TierFigures {
    pub name: String,
    pub loaded_bytes: f64,
    pub stored_bytes: f64,
    /// What would have been stored, but for writes that had fallen behind.
    pub shed_bytes: f64,
    /// Share of the time in which a load was under way, over all workers.
    pub load_link_utilisation: f64,
}

/// A policy at one rate, over all seeds.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub policy: PolicyConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub baseline: PolicyConfig,
    pub rate_scale: f64,
    pub hit_percent: Estimate,
    pub ttft_mean_s: Estimate,
    pub ttft_p99_s: Estimate,
    pub tpot_mean_s: Estimate,
    pub e2e_mean_s: Estimate,
    pub within_slo_percent: Estimate,
    pub balance_max_over_mean: Estimate,
    /// Against the baseline, seed by seed; None for the baseline itself.
    pub hit_points: Option<Estimate>,
    pub ttft_change_percent: Option<Estimate>,
}

/// The highest rate at which enough of the offered requests meet the SLO.
#[derive(Debug, Serialize)]
pub struct Capacity {
    pub policy: PolicyConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What is enough, as a share.
    pub within_slo: f64,
    /// None where a seed has none, or has no end.
    pub rate_scale: Option<Estimate>,
    pub offered_requests_per_s: Option<Estimate>,
    /// By seed.
    pub found: Vec<Found>,
}

/// What a search ended with.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    At {
        rate_scale: f64,
        offered_requests_per_s: f64,
        /// The workload is too short to say that the rate could be kept up.
        short: bool,
    },
    /// Even the highest rate that is tried is met.
    AtLeast { rate_scale: f64 },
    /// Even the lowest rate that is tried is missed: the SLO can't be met by waiting longer.
    Nowhere { rate_scale: f64, within_slo: f64 },
}
