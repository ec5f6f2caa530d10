//! The state of a block store, and what it reports about itself.

use super::eviction::EvictionRule;
use super::quota::Quotas;
use super::run::{HBM, Run, tiers_of};
use super::tier::{Tier, Traffic};
use super::transfer::{Fetch, Transfers};
use crate::block::BlockRun;
use crate::engine::profile::{Fill, Profile};
use crate::event::{Digest, KvEvent};
use crate::id::{MAX_TIERS, TenantId, TierId};
use crate::request::Owner;
use crate::runs::{NodeId, RunTree, Tally};
use std::collections::BTreeMap;

/// The KV blocks of one memory and of the tiers behind it.
#[derive(Debug)]
pub struct BlockStore {
    pub(super) tree: RunTree<Run>,
    /// HBM first.
    pub(super) tiers: Vec<Tier>,
    /// HBM blocks without a name: reserved by leases, or waited for by transfers.
    pub(super) reserved: u64,
    pub(super) transfers: Transfers,
    /// Leases that are held now.
    pub(super) leases: u64,
    /// Leases released since the start. Serves as the clock of "last used".
    pub(super) releases: u64,
    /// Blocks that left HBM to make room, since the start.
    pub(super) evicted: u64,
    /// Changes since the last call of [`BlockStore::take_events`].
    pub(super) events: Vec<KvEvent>,
    /// Requested since the last call of [`BlockStore::take_fetches`].
    pub(super) fetches: Vec<Fetch>,
    /// When blocks are sent to the pool; None without a pool.
    pub(super) pool: Option<Fill>,
    /// Blocks for the pool and their owner, since the last call of [`BlockStore::take_puts`].
    pub(super) puts: Vec<(BlockRun, Option<Owner>)>,
    /// Blocks of each tenant; None without quotas.
    pub(super) quotas: Option<Quotas>,
}

impl BlockStore {
    /// The store of a worker: HBM and the tiers of its profile, all empty.
    pub fn new(profile: &Profile) -> Self {
        let hbm = Tier::room(profile.hbm_blocks(), profile.eviction, profile.block_size);
        let behind = profile.tiers.iter().map(|spec| Tier::behind(spec, profile));
        Self { pool: profile.pool.map(|pool| pool.fill), ..Self::of(hbm, behind) }
    }

    /// One memory of `blocks` blocks of `block_size` tokens, with no tier behind it.
    pub fn flat(blocks: u64, eviction: EvictionRule, block_size: u32) -> Self {
        let room = Tier::room(Some(blocks), eviction, block_size);
        Self { tree: RunTree::with_ends(), ..Self::of(room, core::iter::empty()) }
    }

    /// Guarantees each tenant `share` blocks. For a store without tiers behind its memory.
    #[must_use]
    pub fn with_quota(mut self, share: u64) -> Self {
        self.quotas = Some(Quotas { share, tenants: BTreeMap::new() });
        self
    }

    fn of(first: Tier, behind: impl Iterator<Item = Tier>) -> Self {
        Self {
            tree: RunTree::default(),
            tiers: core::iter::once(first).chain(behind).collect(),
            pool: None,
            puts: Vec::new(),
            quotas: None,
            reserved: 0,
            transfers: Transfers::default(),
            leases: 0,
            releases: 0,
            evicted: 0,
            events: Vec::new(),
            fetches: Vec::new(),
        }
    }

    /// Takes the changes since the last call, in order.
    pub fn take_events(&mut self) -> Vec<KvEvent> {
        core::mem::take(&mut self.events)
    }

    /// Whether [`BlockStore::take_events`] would return anything.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Takes the fetches requested since the last call. A pool or a peer must serve them.
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        core::mem::take(&mut self.fetches)
    }

    /// Takes the blocks to put into the pool, each run with its owner.
    pub fn take_puts(&mut self) -> Vec<(BlockRun, Option<Owner>)> {
        core::mem::take(&mut self.puts)
    }

    /// All named runs, one entry for each tier that has a copy; parents come before children.
    pub fn contents(&self) -> Vec<(TierId, BlockRun)> {
        let mut nodes: Vec<(u32, NodeId)> =
            self.tree.iter().map(|(id, node)| (node.start, id)).collect();
        nodes.sort_unstable();
        let copies = |&(_, id): &(u32, NodeId)| {
            let node = self.tree.get(id);
            let run = node.run(node.start, node.end);
            tiers_of(node.value.tiers).map(move |tier| (TierId(tier as u8), run.clone()))
        };
        nodes.iter().flat_map(copies).collect()
    }

    /// A digest of [`BlockStore::contents`] that does not depend on the order.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (_, node) in self.tree.iter() {
            for tier in tiers_of(node.value.tiers) {
                digest.add(TierId(tier as u8), &node.run(node.start, node.end));
            }
        }
        digest
    }

    /// A summary of each tier's contents, to compare with a router's index.
    pub fn tallies(&self) -> [Tally; MAX_TIERS] {
        let mut tallies = [Tally::default(); MAX_TIERS];
        for (id, node) in self.tree.iter() {
            let tally = self.tree.tally(id);
            tiers_of(node.value.tiers).for_each(|tier| tallies[tier] += tally);
        }
        tallies
    }

    /// Named blocks in each tier, HBM first.
    pub fn blocks_by_tier(&self) -> [u64; MAX_TIERS] {
        let mut blocks = [0; MAX_TIERS];
        for (blocks, tier) in blocks.iter_mut().zip(&self.tiers) {
            *blocks = tier.resident;
        }
        blocks
    }

    /// Blocks of each tenant that has any; empty without quotas.
    pub fn blocks_by_tenant(&self) -> BTreeMap<TenantId, u64> {
        let tenants = self.quotas.iter().flat_map(|quotas| &quotas.tenants);
        tenants.map(|(&tenant, holding)| (tenant, holding.resident)).collect()
    }

    /// Blocks that left HBM to make room, since the start.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Traffic of each tier behind HBM, nearest first.
    pub fn traffic(&self) -> impl Iterator<Item = Traffic> {
        let of = |tier: &Tier| Traffic { loading: tier.link.busy(), ..tier.traffic };
        self.tiers[1..].iter().map(of)
    }

    /// HBM blocks that a lease or a transfer holds. All others are free or can be evicted.
    pub fn held_blocks(&self) -> u64 {
        self.tiers[HBM].resident - self.tiers[HBM].idle + self.reserved
    }

    /// Leases that are held now.
    pub const fn leases(&self) -> u64 {
        self.leases
    }

    /// HBM blocks that are free or can be evicted; `u64::MAX` without a limit.
    pub(super) fn available(&self) -> u64 {
        let hbm = &self.tiers[HBM];
        hbm.capacity.map_or(u64::MAX, |all| all - self.reserved - (hbm.resident - hbm.idle))
    }

    /// Whether runs carry their owner. Quotas need it, and a pool that is filled by eviction.
    pub(super) fn records_owners(&self) -> bool {
        self.quotas.is_some() || self.pool == Some(Fill::Spill)
    }
}
