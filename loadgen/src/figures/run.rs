//! The figures of one run: one row of the main table, one object of the JSON.

use super::bounds::Bounds;
use super::classes::ClassFigures;
use super::course::CourseFigures;
use super::devices::DeviceReport;
use super::engine::{EngineFigures, LiveKvTransfer};
use super::groups::GroupFigures;
use super::names::label;
use super::parts::Part;
use super::policy::as_keys_if_known;
use super::sign::Sign;
use super::sketch::Sketch;
use super::stages::Stages;
use super::target::TargetFigures;
use crate::economics::Economics;
use serde::Serialize;
use std::collections::BTreeMap;
use warmpath_core::engine::physics::Validation;
use warmpath_core::report::{Figures, Row, Spread};
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_sim::{Group, Routing};

/// Which run it is: what it played, and how.
#[derive(Clone, Debug)]
pub struct RunId {
    pub policy: Option<NamedPolicy>,
    pub variant: Option<String>,
    pub mode: Mode,
    pub workload: String,
    pub seed: u64,
    pub rate_scale: f64,
}

/// The profiles of the workers, and the basis of their times. The default is for a router that runs
/// elsewhere: its profiles are unknown.
#[derive(Debug, Default)]
pub struct Profiles {
    pub names: Option<String>,
    pub validated: bool,
    pub tiers: Vec<String>,
    pub standing: Option<Validation>,
    pub hbm_tokens_computed: Option<u64>,
    pub groups: Vec<GroupFigures>,
    pub fleet: Vec<Group>,
}

impl RunReport {
    /// A valid run. What only live or only simulated runs have is empty.
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
            fleet: profiles.fleet,
            figures,
            router_overhead_s: None,
            speedup: None,
            engine: None,
            bounds: None,
            signs: Vec::new(),
            devices: None,
            routers: None,
            classes: Vec::new(),
            stages: None,
            course: None,
            economics: None,
            valid: true,
            invalid_because: None,
            live: None,
            against_sim: None,
            target: None,
            wall_s,
            seed,
            nonce: None,
            rate_scale,
            steady_requests_per_s: 0.0,
            parts: Vec::new(),
            rows: Vec::new(),
            sketch: None,
        }
    }

    /// Adds what was measured on the wire. `invalid_because`: why the figures cannot be used.
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
        match &self.target {
            Some(target) => target.name.clone(),
            None => label(self.policy.as_ref(), self.variant.as_deref()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Mode {
    /// The real router and workers in this process, on real sockets and the wall clock.
    #[serde(rename = "live")]
    Live,
    /// The requests of the live run in virtual time.
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

/// One policy in one mode. Times are seconds of model time unless the name says wall.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// None: the target has its own policy.
    #[serde(flatten, serialize_with = "as_keys_if_known")]
    pub policy: Option<NamedPolicy>,
    /// The variant of the scenario, if it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub mode: Mode,
    pub workload: String,
    /// Names of all profiles. None: the target has its own engines.
    pub profile: Option<String>,
    /// Whether the profile's times were compared with measurements.
    pub profile_validated: bool,
    /// Names of the tiers that `hit_rate_by_tier` counts. Empty if no worker reports them.
    pub tiers: Vec<String>,
    /// The basis of the profile's times, and their error band.
    pub profile_standing: Option<Validation>,
    /// If the scenario gives the room for KV: the tokens that device memory minus weights would
    /// leave.
    pub profile_hbm_tokens_computed: Option<u64>,
    /// The groups of a mixed fleet, each with the basis of its profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupFigures>,
    /// The workers by group, one of them if all are alike. Empty: they are the target's.
    #[serde(skip)]
    pub fleet: Vec<Group>,
    #[serde(flatten)]
    pub figures: Figures,
    /// Wall seconds that the router itself took per request, from the decoded request to the call of
    /// the worker. None: no live router, or it does not report them.
    pub router_overhead_s: Option<Spread>,
    pub speedup: Option<f64>,
    /// In virtual time only.
    pub engine: Option<EngineFigures>,
    /// What no rule could beat. In virtual time, if each request was answered by a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Signs of trouble.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<Sign>,
    /// The devices and the workers apart. The figures above cover both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<DeviceReport>,
    /// The routers of a simulation with several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routers: Option<Routing>,
    /// In virtual time, for a mixed workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassFigures>,
    /// The stages of the workload, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// Its phases and intervals, if any were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseFigures>,
    /// In virtual time, if prices are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub economics: Option<Economics>,
    pub valid: bool,
    pub invalid_because: Option<String>,
    /// For live runs only.
    pub live: Option<LiveFigures>,
    /// How far a live run is from the simulation of the same requests, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_sim: Option<AgainstSim>,
    /// The router that ran elsewhere, in a comparison of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetFigures>,
    pub wall_s: f64,
    pub seed: u64,
    /// The number that was mixed into its texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u32>,
    /// Factor for the workload's arrival rate.
    pub rate_scale: f64,
    /// Requests per second during the steady part of the arrivals. 0: not computed.
    #[serde(skip)]
    pub steady_requests_per_s: f64,
    /// The answers in parts, to say how sure one run is.
    #[serde(skip)]
    pub parts: Vec<Part>,
    /// One row per request, if a file of them is written.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// Its shape, if plots are drawn of it.
    #[serde(skip)]
    pub sketch: Option<Sketch>,
}

/// Figures that only a live run has.
#[derive(Clone, Debug, Serialize)]
pub struct LiveFigures {
    /// Wall seconds by which requests were sent late.
    pub send_lateness_s: Option<Spread>,
    /// Wall seconds by which a turn of an engine and of the pool was late, means over all turns.
    /// None: there was no such turn, or the fleet is not in this process.
    pub worker_lateness_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_lateness_s: Option<f64>,
    #[serde(skip)]
    pub router_overhead_s: Option<Spread>,
    /// KV transfers from prefill workers to decode workers, as the workers report them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_transfer: Option<LiveKvTransfer>,
    /// Workers that served at least one request.
    pub workers: u32,
    /// The first few failures, with their messages.
    pub failures: Vec<String>,
    /// The first failure of each reason, by the reason.
    #[serde(skip)]
    pub first_failures: BTreeMap<String, String>,
    #[serde(skip)]
    pub tier_names: Vec<String>,
    /// Whether the user stopped the run before all requests had ended.
    pub interrupted: bool,
    /// The answer with the longest TTFT.
    pub slowest: Option<Slowest>,
}

/// A live run less the simulation of the same requests. None: one of them has no such figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct AgainstSim {
    pub ttft_change_percent: Option<f64>,
    pub hit_points: Option<f64>,
    /// Model seconds by which all processes were late, for a request.
    pub lateness_s: f64,
}

/// A request that is worth a closer look.
#[derive(Clone, Debug, Serialize)]
pub struct Slowest {
    /// Its id on the wire.
    pub request_id: String,
    pub ttft_s: f64,
}
