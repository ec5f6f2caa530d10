//! Fleets: workers of one profile, or groups of several profiles in one fleet.

use crate::config::load_profile;
use crate::files::{bad, bad_field};
use crate::results::{HandoverFigures, LiveHandover, RunReport};
use crate::table::{align, plain, trimmed};
use crate::tiers::over_seeds;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmpath_core::engine::EngineStats;
use warmpath_core::engine::handover::{HandoverLink, HandoverStats};
use warmpath_core::engine::physics::Standing;
use warmpath_core::engine::profile::Profile;
use warmpath_core::event::Role;
use warmpath_sim::{Group, check_fleet};

/// What a router can name.
const MOST_WORKERS: u32 = 65_535;

/// A `[[group]]` of a scenario file: workers that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFile {
    /// The profile's name unless given.
    pub name: Option<String>,
    pub workers: u32,
    pub profile: String,
    /// What of a request its workers do; both unless given.
    #[serde(default)]
    pub role: Role,
}

/// Who serves, as it stands in a report's configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Fleet {
    Alike {
        workers: u32,
        profile: Box<Profile>,
    },
    Mixed {
        /// Of all groups.
        workers: u32,
        groups: Vec<Group>,
    },
}

impl Fleet {
    pub fn alike(workers: u32, profile: Profile) -> Self {
        Self::Alike { workers, profile: Box::new(profile) }
    }

    /// The groups of a scenario file. Profiles that are files lie in `folder`.
    pub fn mixed(files: &[GroupFile], folder: &Path) -> Result<Self> {
        let group = |file: &GroupFile| {
            let profile = load_profile(&file.profile, folder)?;
            let name = file.name.clone().unwrap_or_else(|| profile.name.clone());
            Ok(Group { name, workers: file.workers, role: file.role, profile })
        };
        let groups = files.iter().map(group).collect::<Result<Vec<_>>>()?;
        Ok(Self::Mixed { workers: files.iter().map(|file| file.workers).sum(), groups })
    }

    pub const fn workers(&self) -> u32 {
        match self {
            Self::Alike { workers, .. } | Self::Mixed { workers, .. } => *workers,
        }
    }

    /// As many workers of each kind; nothing where there are several.
    pub const fn set_workers(&mut self, count: u32) {
        if let Self::Alike { workers, .. } = self {
            *workers = count;
        }
    }

    pub fn groups(&self) -> Vec<Group> {
        match self {
            Self::Alike { workers, profile } => Group::alone(*workers, (**profile).clone()),
            Self::Mixed { groups, .. } => groups.clone(),
        }
    }

    /// The profile of the first worker. Block size and model are those of all.
    pub fn profile(&self) -> &Profile {
        match self {
            Self::Alike { profile, .. } => profile,
            Self::Mixed { groups, .. } => &groups[0].profile,
        }
    }

    /// Each group's profile, to be changed.
    pub fn profiles_mut(&mut self) -> Vec<&mut Profile> {
        match self {
            Self::Alike { profile, .. } => vec![profile],
            Self::Mixed { groups, .. } => {
                groups.iter_mut().map(|group| &mut group.profile).collect()
            }
        }
    }

    pub fn profiles(&self) -> Vec<&Profile> {
        match self {
            Self::Alike { profile, .. } => vec![profile],
            Self::Mixed { groups, .. } => groups.iter().map(|group| &group.profile).collect(),
        }
    }

    /// The profile of each worker, in order.
    pub fn each_worker(&self) -> Vec<&Profile> {
        match self {
            Self::Alike { workers, profile } => vec![profile; *workers as usize],
            Self::Mixed { groups, .. } => {
                let of = |group: &Group| group.workers as usize;
                groups.iter().flat_map(|group| vec![&group.profile; of(group)]).collect()
            }
        }
    }

    /// The role of each worker, in order.
    pub fn each_role(&self) -> Vec<Role> {
        let groups = self.groups();
        groups.iter().flat_map(|group| vec![group.role; group.workers as usize]).collect()
    }

    /// `text` is the scenario file's, for a complaint that names a line.
    pub fn check(
        &self,
        pool: bool,
        handover: Option<&HandoverLink>,
        origin: &str,
        text: &str,
    ) -> Result<()> {
        let Self::Mixed { workers, groups } = self else { return Ok(()) };
        if let Some(empty) = groups.iter().find(|group| group.workers == 0) {
            let why = format!("0 in group \"{}\", expected at least 1", empty.name);
            return Err(bad_field(origin, text, "group.workers", &why));
        }
        if *workers > MOST_WORKERS {
            let why = format!("{workers} in all groups, expected at most {MOST_WORKERS}");
            return Err(bad_field(origin, text, "group.workers", &why));
        }
        check_fleet(groups, pool, handover).map_err(|error| bad(format!("{origin}: {error}")))
    }

    /// Names of the tiers, in their order; those that differ between groups side by side.
    pub fn tier_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for profile in self.profiles() {
            for (i, name) in profile.tier_names().into_iter().enumerate() {
                match names.get_mut(i) {
                    None => names.push(name.to_owned()),
                    Some(known) if known.split('/').any(|known| known == name) => {}
                    Some(known) => *known += &format!("/{name}"),
                }
            }
        }
        names
    }

    /// "4 workers of profile a", "4 workers of profile a and 2 of b".
    pub fn title(&self) -> String {
        let groups = self.groups();
        let rest = groups.iter().skip(1);
        let rest = rest.map(|group| format!(" and {} of {}", group.workers, group.profile.name));
        let first = &groups[0];
        let rest: String = rest.collect();
        format!("{} workers of profile {}{rest}", first.workers, first.profile.name)
    }

    /// Whether some workers do only a part of what requests need.
    pub fn shares_requests(&self) -> bool {
        self.groups().iter().any(|group| !group.role.is_both())
    }

    /// How many workers there are, where the work of one can be compared with that of another.
    pub fn comparable_workers(&self) -> Option<u32> {
        (!self.shares_requests()).then(|| self.workers())
    }

    /// What a report says of the profiles, all together: names, and whether all were validated.
    pub fn profile_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for profile in self.profiles() {
            if !names.contains(&profile.name.as_str()) {
                names.push(&profile.name);
            }
        }
        names.join(" + ")
    }

    pub fn validated(&self) -> bool {
        self.profiles().iter().all(|profile| profile.validated)
    }

    /// Where there is one profile; groups have theirs each.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Alike { profile, .. } => Some(profile.standing()),
            Self::Mixed { .. } => None,
        }
    }

    pub fn hbm_tokens_computed(&self) -> Option<u64> {
        match self {
            Self::Alike { profile, .. } => profile.overridden_hbm_tokens(),
            Self::Mixed { .. } => None,
        }
    }

    /// What each group of a mixed fleet is, and did within `seconds` where that is known.
    pub fn figures(&self, did: Option<Did<'_>>) -> Vec<GroupFigures> {
        let Self::Mixed { groups, .. } = self else { return Vec::new() };
        let mut begin = 0;
        let of = |group: &Group| {
            let mine = begin..begin + group.workers as usize;
            begin = mine.end;
            GroupFigures {
                name: group.name.clone(),
                workers: group.workers,
                role: group.role,
                profile: group.profile.name.clone(),
                profile_validated: group.profile.validated,
                profile_standing: group.profile.standing(),
                profile_hbm_tokens_computed: group.profile.overridden_hbm_tokens(),
                work: did.map(|did| GroupWork::of(&did, mine)),
            }
        };
        groups.iter().map(of).collect()
    }
}

/// One group of a mixed fleet.
#[derive(Debug, Serialize)]
pub struct GroupFigures {
    pub name: String,
    pub workers: u32,
    pub role: Role,
    pub profile: String,
    pub profile_validated: bool,
    /// What its times rest on, and how far off they may be.
    pub profile_standing: Standing,
    /// Where the room for KV was given: the tokens that memory and weights would leave.
    pub profile_hbm_tokens_computed: Option<u64>,
    /// Virtual time only.
    #[serde(flatten)]
    pub work: Option<GroupWork>,
}

/// What the workers of a fleet did, in their order, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Did<'a> {
    pub engines: &'a [EngineStats],
    pub handovers: &'a [HandoverStats],
    pub seconds: f64,
}

/// What the workers of a group did, all together.
#[derive(Debug, Serialize)]
pub struct GroupWork {
    /// Share of the time in which a worker computed.
    pub utilisation: f64,
    pub prefill_tokens: u64,
    pub output_tokens: u64,
    /// KV that left for workers that answer, and the share of the time in which any was on its way.
    pub handed_over_bytes: u64,
    pub handover_link_utilisation: f64,
}

impl GroupWork {
    fn of(did: &Did<'_>, workers: core::ops::Range<usize>) -> Self {
        let (engines, handovers) = (&did.engines[workers.clone()], &did.handovers[workers]);
        let offered = did.seconds * engines.len() as f64;
        let share = |sum: f64| if offered > 0.0 { sum / offered } else { 0.0 };
        let sending = handovers.iter().map(|stats| stats.sending.as_secs_f64());
        Self {
            utilisation: share(engines.iter().map(|stats| stats.busy.as_secs_f64()).sum()),
            handed_over_bytes: handovers.iter().map(|stats| stats.bytes).sum(),
            handover_link_utilisation: share(sending.sum()),
            prefill_tokens: engines.iter().map(|stats| stats.prefill_tokens).sum(),
            output_tokens: engines.iter().map(|stats| stats.output_tokens).sum(),
        }
    }
}

/// What was handed over in live runs, a line each.
fn live(runs: &[RunReport]) -> String {
    let line = |run: &RunReport| {
        let LiveHandover { requests, tokens, bytes } = run.live.as_ref()?.handover?;
        let (who, gb) = (run.label(), bytes as f64 / 1e9);
        Some(format!(
            "{who}, live: {gb:.1} GB of KV handed over for {requests} requests, {tokens} tokens.\n"
        ))
    };
    runs.iter().filter_map(line).collect()
}

/// A row a policy, mode, rate and group, means over all seeds; nothing where the fleet is of one kind.
pub fn render(runs: &[RunReport]) -> String {
    let live = live(runs);
    let told = |run: &&RunReport| run.groups.iter().any(|group| group.work.is_some());
    let runs: Vec<&RunReport> = runs.iter().filter(told).collect();
    let mut header = vec![
        "group",
        "policy",
        "mode",
        "rate",
        "workers",
        "busy %",
        "prefill tokens",
        "output tokens",
    ];
    let hands_over = runs.iter().any(|run| hand_over(run).is_some());
    header.extend(if hands_over { &["handed GB", "link %", "waited s/req"][..] } else { &[] });
    let mut table = plain(&header);
    if runs.is_empty() {
        return live;
    }
    for alike in over_seeds(runs) {
        for i in 0..alike[0].groups.len() {
            table.add_row(row(&alike, i, hands_over));
        }
    }
    align(&mut table, 4);
    let legend =
        "Handed: KV to workers that answer, over links that were busy so long; waited: for it.\n";
    format!("{}{}{live}", trimmed(&table), if hands_over { legend } else { "" })
}

fn hand_over(run: &RunReport) -> Option<&HandoverFigures> {
    run.engine.as_ref()?.handover.as_ref()
}

/// One group, over runs that differ in their seed.
fn row(runs: &[&RunReport], i: usize, hands_over: bool) -> Vec<String> {
    let (run, group) = (runs[0], &runs[0].groups[i]);
    let mean = |of: &dyn Fn(&GroupWork) -> f64| {
        let each = runs.iter().filter_map(|run| run.groups[i].work.as_ref().map(of));
        each.sum::<f64>() / runs.len() as f64
    };
    let name = match group.role {
        Role::Both => group.name.clone(),
        role => format!("{} ({})", group.name, role.name()),
    };
    let mut cells = vec![name, run.label(), run.mode.name().to_owned(), run.rate_scale.to_string()];
    cells.extend([
        group.workers.to_string(),
        format!("{:.1}", mean(&|work| work.utilisation * 100.0)),
        format!("{:.0}", mean(&|work| work.prefill_tokens as f64)),
        format!("{:.0}", mean(&|work| work.output_tokens as f64)),
    ]);
    if hands_over && group.role == Role::Decode {
        let waited = |run: &&RunReport| {
            hand_over(run).map_or(0.0, |h| h.wait_s) / run.figures.requests.max(1) as f64
        };
        let mean = runs.iter().map(waited).sum::<f64>() / runs.len() as f64;
        cells.extend([String::new(), String::new(), format!("{mean:.3}")]);
    } else if hands_over {
        cells.push(format!("{:.1}", mean(&|work| work.handed_over_bytes as f64 / 1e9)));
        cells.push(format!("{:.1}", mean(&|work| work.handover_link_utilisation * 100.0)));
    }
    cells
}
