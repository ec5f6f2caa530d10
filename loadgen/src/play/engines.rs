//! What the engines, the pool and the links did, from their statistics.

use crate::figures::{KvTransferFigures, PeerFigures, Places, PoolFigures, TierFigures};
use crate::setup::{Fleet, Setup};
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::store::Traffic;
use warmpath_core::engine::transfers::KvTransferStats;
use warmpath_core::engine::{EngineStats, PeerSendStats};
use warmpath_core::event::Role;
use warmpath_core::pool::PoolStats;
use warmpath_core::time::Duration;

/// How long a block stays in HBM: the workers' room over the rate of evictions.
pub fn kv_life_s(fleet: &Fleet, evicted: u64, duration_s: f64) -> Option<f64> {
    let room: Option<u64> = fleet.each_worker().into_iter().map(Profile::hbm_blocks).sum();
    (evicted > 0 && duration_s > 0.0)
        .then(|| room.map(|blocks| blocks as f64 * duration_s / evicted as f64))
        .flatten()
}

/// The memories and links that a run is watched at.
pub fn places(setup: &Setup) -> Places {
    if setup.is_device_only() {
        return Places::default();
    }
    let fleet = &setup.fleet;
    let each = fleet.each_worker();
    let room = |tier: usize| -> Option<u64> {
        let of = |profile: &&Profile| match tier {
            0 => profile.hbm_blocks(),
            behind => {
                let tokens = profile.tiers.get(behind - 1).map_or(0, |tier| tier.tokens);
                Some(tokens / u64::from(profile.block_size))
            }
        };
        each.iter().map(of).sum()
    };
    let size = u64::from(fleet.profile().block_size);
    let groups = fleet.groups();
    let senders = groups.iter().filter(|group| group.role == Role::Prefill);
    let peers = each.iter().filter(|profile| profile.peers.is_some()).count();
    Places {
        tiers: fleet
            .tier_names()
            .into_iter()
            .enumerate()
            .map(|(i, name)| (name, room(i)))
            .collect(),
        workers: fleet.workers(),
        pool: setup.pool.as_ref().map(|pool| pool.tokens / size),
        peers: peers as u32,
        senders: setup.kv_transfer.map_or(0, |_| senders.map(|group| group.workers).sum()),
    }
}

/// KV transfers from prefill workers to decode workers. None: each worker does both.
pub fn kv_transfer_figures(
    setup: &Setup,
    workers: &[KvTransferStats],
    duration_s: f64,
) -> Option<KvTransferFigures> {
    setup.kv_transfer?;
    let sum = |of: fn(&KvTransferStats) -> u64| workers.iter().map(of).sum();
    let seconds = |of: fn(&KvTransferStats) -> Duration| -> f64 {
        workers.iter().map(|stats| of(stats).as_secs_f64()).sum()
    };
    let groups = setup.fleet.groups();
    let senders = groups.iter().filter(|group| group.role == Role::Prefill);
    let offered_s = duration_s * f64::from(senders.map(|group| group.workers).sum::<u32>());
    Some(KvTransferFigures {
        tokens: sum(|stats| stats.tokens),
        bytes: sum(|stats| stats.bytes),
        link_utilisation: if offered_s > 0.0 {
            seconds(|stats| stats.sending) / offered_s
        } else {
            0.0
        },
        wait_s: seconds(|stats| stats.wait),
        failed: sum(|stats| stats.failed),
        expired: sum(|stats| stats.expired),
    })
}

pub fn pool_figures(profile: &Profile, pool: &PoolStats, duration_s: f64) -> PoolFigures {
    let bytes = |blocks: u64| blocks as f64 * profile.block_bytes();
    PoolFigures {
        sent_bytes: bytes(pool.sent_blocks),
        stored_bytes: bytes(pool.stored_blocks),
        known_bytes: bytes(pool.known_blocks),
        refused_bytes: bytes(pool.refused_blocks),
        link_utilisation: if duration_s > 0.0 {
            pool.sending.as_secs_f64() / duration_s
        } else {
            0.0
        },
    }
}

/// None: no worker fetches from a peer.
pub fn peer_figures(fleet: &Fleet, sends: &[PeerSendStats], offered_s: f64) -> Option<PeerFigures> {
    let serves_fetches = fleet.profiles().into_iter().any(|profile| profile.peers.is_some());
    if !serves_fetches || offered_s <= 0.0 {
        return None;
    }
    // In a fleet with peer fetches, a block has the same bytes everywhere.
    let blocks: u64 = sends.iter().map(|of| of.blocks).sum();
    let sending: f64 = sends.iter().map(|of| of.sending.as_secs_f64()).sum();
    Some(PeerFigures {
        sent_bytes: blocks as f64 * fleet.profile().block_bytes(),
        link_utilisation: sending / offered_s,
    })
}

pub fn tier_figures(fleet: &Fleet, engines: &[EngineStats], offered_s: f64) -> Vec<TierFigures> {
    let profiles: Vec<&Profile> = fleet.each_worker();
    let of = |(i, name): (usize, String)| {
        let sum = |of: fn(&Traffic) -> u64| -> f64 {
            let bytes = |(profile, engine): (&&Profile, &EngineStats)| {
                engine.traffic.get(i).map_or(0.0, |tier| of(tier) as f64 * profile.block_bytes())
            };
            profiles.iter().zip(engines).map(bytes).sum()
        };
        let traffic = engines.iter().filter_map(|engine| engine.traffic.get(i));
        let loading: f64 = traffic.map(|tier| tier.loading.as_secs_f64()).sum();
        TierFigures {
            name,
            loaded_bytes: sum(|tier| tier.loaded_blocks),
            stored_bytes: sum(|tier| tier.stored_blocks),
            shed_bytes: sum(|tier| tier.shed_blocks),
            load_link_utilisation: if offered_s > 0.0 { loading / offered_s } else { 0.0 },
        }
    };
    fleet.tier_names().into_iter().skip(1).enumerate().map(of).collect()
}
