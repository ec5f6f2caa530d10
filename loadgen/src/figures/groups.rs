//! Figures per group of a mixed fleet.

use serde::Serialize;
use warmpath_core::engine::EngineStats;
use warmpath_core::engine::physics::Validation;
use warmpath_core::engine::transfers::KvTransferStats;
use warmpath_core::event::Role;
use warmpath_sim::Group;

/// One group of a mixed fleet.
#[derive(Debug, Serialize)]
pub struct GroupFigures {
    pub name: String,
    pub workers: u32,
    pub role: Role,
    pub profile: String,
    pub profile_validated: bool,
    /// The basis of the profile's times, and their error band.
    pub profile_standing: Validation,
    /// If the scenario gives the room for KV: the tokens that device memory minus weights would
    /// leave.
    pub profile_hbm_tokens_computed: Option<u64>,
    /// In virtual time only.
    #[serde(flatten)]
    pub work: Option<GroupWork>,
}

/// What the workers of a fleet did, in the order of the fleet, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    pub engines: &'a [EngineStats],
    pub kv_transfers: &'a [KvTransferStats],
    pub seconds: f64,
}

/// What the workers of a group did, summed.
#[derive(Debug, Serialize)]
pub struct GroupWork {
    /// Share of the time in which a worker computed.
    pub utilisation: f64,
    pub prefill_tokens: u64,
    pub output_tokens: u64,
    /// KV that was sent to decode workers, and the share of the time in which a transfer was under
    /// way.
    pub kv_transfer_bytes: u64,
    pub kv_transfer_link_utilisation: f64,
}

impl GroupWork {
    fn of(did: &Work<'_>, workers: core::ops::Range<usize>) -> Self {
        let (engines, kv_transfers) = (&did.engines[workers.clone()], &did.kv_transfers[workers]);
        let offered = did.seconds * engines.len() as f64;
        let share = |sum: f64| if offered > 0.0 { sum / offered } else { 0.0 };
        let sending = kv_transfers.iter().map(|stats| stats.sending.as_secs_f64());
        Self {
            utilisation: share(engines.iter().map(|stats| stats.busy.as_secs_f64()).sum()),
            kv_transfer_bytes: kv_transfers.iter().map(|stats| stats.bytes).sum(),
            kv_transfer_link_utilisation: share(sending.sum()),
            prefill_tokens: engines.iter().map(|stats| stats.prefill_tokens).sum(),
            output_tokens: engines.iter().map(|stats| stats.output_tokens).sum(),
        }
    }
}

impl GroupFigures {
    /// The figures of each group. `work`: what its workers did, if that is known.
    pub fn of(groups: &[Group], work: Option<Work<'_>>) -> Vec<Self> {
        let mut begin = 0;
        let of = |group: &Group| {
            let mine = begin..begin + group.workers as usize;
            begin = mine.end;
            Self {
                name: group.name.clone(),
                workers: group.workers,
                role: group.role,
                profile: group.profile.name.clone(),
                profile_validated: group.profile.validated,
                profile_standing: group.profile.standing(),
                profile_hbm_tokens_computed: group.profile.overridden_hbm_tokens(),
                work: work.map(|work| GroupWork::of(&work, mine)),
            }
        };
        groups.iter().map(of).collect()
    }
}
