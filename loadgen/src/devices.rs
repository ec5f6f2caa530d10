//! Devices of the users in a scenario, and what they and the workers each did.

use crate::config::{Setup, load_profile};
use crate::files::{bad, bad_field};
use crate::results::{Mode, RunReport};
use crate::table::{align, plain, trimmed};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::physics::Standing;
use warmpath_core::engine::profile::Profile;
use warmpath_core::report::{Figures, Recorder};
use warmpath_sim::{DeviceFleet, DeviceOutcome};

/// `[devices]` of a scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesFile {
    pub profile: String,
    /// Whose sessions they are. None: each session is a user of its own.
    pub users: Option<u32>,
    /// Prompts of up to so many tokens stay on the device of their user; None: all.
    pub up_to_tokens: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DevicesSetup {
    pub profile: Profile,
    pub users: Option<u32>,
    pub up_to_tokens: Option<u32>,
}

impl DevicesFile {
    /// `block_size`: that of the workload.
    pub fn resolve(
        &self,
        block_size: u32,
        origin: &str,
        text: &str,
        folder: &Path,
    ) -> Result<DevicesSetup> {
        let err = |field: &str, why: &str| Err(bad_field(origin, text, field, why));
        if self.users == Some(0) {
            return err("devices.users", "0, expected at least 1");
        }
        if self.up_to_tokens == Some(0) {
            return err("devices.up_to_tokens", "0, expected at least 1");
        }
        let profile = load_profile(&self.profile, folder)?;
        let Self { users, up_to_tokens, .. } = *self;
        DevicesSetup::new(profile, block_size, users, up_to_tokens)
    }
}

impl DevicesSetup {
    pub fn new(
        mut profile: Profile,
        block_size: u32,
        users: Option<u32>,
        up_to_tokens: Option<u32>,
    ) -> Result<Self> {
        profile.set_block_size(block_size);
        let name = &profile.name;
        profile.check().map_err(|error| bad(format!("profile {name}: {error}")))?;
        Ok(Self { profile, users, up_to_tokens })
    }

    pub fn fleet(&self) -> DeviceFleet {
        let Self { users, up_to_tokens, .. } = *self;
        DeviceFleet { profile: self.profile.clone(), users, up_to_tokens }
    }

    /// Also those whose users never asked for anything; `used`: the others.
    pub fn count(&self, used: usize) -> u32 {
        self.users.unwrap_or(used as u32)
    }

    /// The sides apart; `workers` has both together from then on.
    pub fn report(
        &self,
        setup: &Setup,
        workers: &mut Recorder,
        did: DeviceOutcome,
    ) -> DeviceReport {
        let (size, slo) = (self.profile.block_size, &setup.slo);
        let count = self.count(did.engines.len());
        let cluster = setup.fleet.workers();
        let cluster = self.up_to_tokens.map(|_| workers.figures(size, cluster, slo));
        let devices = did.recorder.figures(size, count, slo);
        let busy: f64 = did.engines.iter().map(|stats| stats.busy.as_secs_f64()).sum();
        workers.absorb(did.recorder);
        let offered_s = workers.span().as_secs_f64() * f64::from(count);
        DeviceReport {
            profile: self.profile.name.clone(),
            profile_standing: self.profile.standing(),
            count,
            used: did.engines.len() as u32,
            utilisation: if offered_s > 0.0 { busy / offered_s } else { 0.0 },
            devices,
            cluster,
        }
    }
}

/// The sides of a run in which users' own devices served.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    pub profile: String,
    pub profile_standing: Standing,
    pub count: u32,
    /// Devices whose users asked for anything.
    pub used: u32,
    /// Share of the time in which a device computed, mean over all.
    pub utilisation: f64,
    pub devices: Figures,
    /// None where nothing goes to the workers.
    pub cluster: Option<Figures>,
}

/// A row a side of each run; nothing where users have no devices.
pub fn render(runs: &[RunReport]) -> String {
    let mut table = plain(&[
        "side",
        "policy",
        "mode",
        "rate",
        "requests",
        "failed",
        "hit %",
        "TTFT s mean",
        "p90",
        "TPOT ms",
        "in SLO %",
        "busy %",
    ]);
    let mut last = None;
    for run in runs {
        let Some(report) = &run.devices else { continue };
        let workers_busy = run.engine.as_ref().map_or(0.0, |engine| engine.utilisation);
        let sides = [
            ("devices", Some(&report.devices), report.utilisation),
            ("workers", report.cluster.as_ref(), workers_busy),
        ];
        for (name, figures, busy) in sides {
            let Some(figures) = figures else { continue };
            table.add_row(row(name, run, figures, busy));
        }
        last = Some(report);
    }
    let Some(report) = last else { return String::new() };
    align(&mut table, 3);
    let (count, used, name) = (report.count, report.used, &report.profile);
    let because = &report.profile_standing.because;
    let standing = if report.profile_standing.validated { "validated" } else { "unvalidated" };
    format!(
        "{}{count} devices of profile {name}, {used} of them used; {standing} ({because}). Their model is \
         another than the workers': what it costs is comparable, what its answers are worth is not. \
         Token counts are the workload's on either side.\n",
        trimmed(&table)
    )
}

fn row(name: &str, run: &RunReport, figures: &Figures, busy: f64) -> [String; 12] {
    let mode: Mode = run.mode;
    [
        name.to_owned(),
        run.label(),
        mode.name().to_owned(),
        run.rate_scale.to_string(),
        figures.requests.to_string(),
        figures.errors.to_string(),
        format!("{:.1}", figures.hit_rate * 100.0),
        format!("{:.3}", figures.ttft_s.mean),
        format!("{:.3}", figures.ttft_s.p90),
        format!("{:.1}", figures.tpot_s.mean * 1e3),
        format!("{:.1}", figures.within_slo * 100.0),
        format!("{:.1}", busy * 100.0),
    ]
}
