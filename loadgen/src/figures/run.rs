//! What one run reports: one row of the main table, one object of the JSON.

use super::classes::ClassFigures;
use super::devices::DeviceReport;
use super::engine::{EngineFigures, LiveHandover};
use super::groups::GroupFigures;
use super::names::label;
use super::policy::as_keys_if_known;
use crate::economics::Economics;
use serde::Serialize;
use warmpath_core::engine::physics::Standing;
use warmpath_core::report::{Figures, Row, Spread};
use warmpath_core::routing::policy::NamedPolicy;

/// Which run: what it played, and how.
#[derive(Clone, Debug)]
pub struct RunId {
    pub policy: Option<NamedPolicy>,
    pub variant: Option<String>,
    pub mode: Mode,
    pub workload: String,
    pub seed: u64,
    pub rate_scale: f64,
}

/// The profiles of the workers, and what their times rest on. The default is that of a target whose
/// engines are its own.
#[derive(Debug, Default)]
pub struct Profiles {
    pub names: Option<String>,
    pub validated: bool,
    pub tiers: Vec<String>,
    pub standing: Option<Standing>,
    pub hbm_tokens_computed: Option<u64>,
    pub groups: Vec<GroupFigures>,
}

impl RunReport {
    /// A valid run, without what only live or only simulated runs have.
    pub fn new(id: RunId, profiles: Profiles, figures: Figures, wall_s: f64) -> Self {
        let RunId { policy, variant, mode, workload, seed, rate_scale } = id;
        Self {
            policy,
            variant,
            mode,
            workload,
            profile: profiles.names,
            profile_validated: profiles.validated,
            tiers: profiles.tiers,
            profile_standing: profiles.standing,
            profile_hbm_tokens_computed: profiles.hbm_tokens_computed,
            groups: profiles.groups,
            figures,
            router_overhead_s: None,
            speedup: None,
            engine: None,
            devices: None,
            classes: Vec::new(),
            economics: None,
            valid: true,
            invalid_because: None,
            live: None,
            wall_s,
            seed,
            nonce: None,
            rate_scale,
            steady_requests_per_s: 0.0,
            rows: Vec::new(),
        }
    }

    /// The same run with what it measured on the wire. `invalid_because`: why its figures cannot be
    /// used.
    #[must_use]
    pub fn with_live(
        self,
        live: LiveFigures,
        speedup: f64,
        rows: Vec<Row>,
        invalid_because: Option<String>,
    ) -> Self {
        Self {
            router_overhead_s: live.router_overhead_s,
            speedup: Some(speedup),
            valid: invalid_because.is_none(),
            invalid_because,
            live: Some(live),
            rows,
            ..self
        }
    }

    pub fn label(&self) -> String {
        label(self.policy.as_ref(), self.variant.as_deref())
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
    #[serde(flatten, serialize_with = "as_keys_if_known")]
    pub policy: Option<NamedPolicy>,
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
