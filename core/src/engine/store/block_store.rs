//! block store

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

#[derive(Debug)]
pub struct BlockStore {
    pub(super) tree: RunTree<Run>,
    /// HBM first.
    pub(super) tiers: Vec<Tier>,
    /// HBM blocks that have no name yet: of leases, and of transfers under way.
    pub(super) reserved: u64,
    pub(super) transfers: Transfers,
    pub(super) leases: u64,
    pub(super) releases: u64,
    pub(super) events: Vec<KvEvent>,
    /// Asked for since the last call of [`BlockStore::take_fetches`].
    pub(super) fetches: Vec<Fetch>,
    /// When a shared pool gets blocks, if there is one.
    pub(super) pool: Option<Fill>,
    /// For the pool, since the last call of [`BlockStore::take_puts`].
    pub(super) puts: Vec<(BlockRun, Option<Owner>)>,
    /// What each tenant has, if each has a right to a share.
    pub(super) quotas: Option<Quotas>,
}

impl BlockStore {
    pub fn new(profile: &Profile) -> Self {
        let hbm = Tier::room(profile.hbm_blocks(), profile.eviction, profile.block_size);
        let behind = profile.tiers.iter().map(|spec| Tier::behind(spec, profile));
        Self { pool: profile.pool.map(|pool| pool.fill), ..Self::of(hbm, behind) }
    }

    /// One memory with nothing behind it.
    pub fn flat(blocks: u64, eviction: EvictionRule, block_size: u32) -> Self {
        let room = Tier::room(Some(blocks), eviction, block_size);
        Self { tree: RunTree::with_ends(), ..Self::of(room, core::iter::empty()) }
    }

    /// Each tenant has a right to so many blocks of a memory with nothing behind it.
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
            events: Vec::new(),
            fetches: Vec::new(),
        }
    }

    /// Takes what changed since the last call.
    pub fn take_events(&mut self) -> Vec<KvEvent> {
        core::mem::take(&mut self.events)
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Transfers that others must make, since the last call.
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        core::mem::take(&mut self.fetches)
    }

    /// Takes what a shared pool is to get, and whose it is.
    pub fn take_puts(&mut self) -> Vec<(BlockRun, Option<Owner>)> {
        core::mem::take(&mut self.puts)
    }

    /// Everything with a name, by tier, parents before children.
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

    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (_, node) in self.tree.iter() {
            for tier in tiers_of(node.value.tiers) {
                digest.add(TierId(tier as u8), &node.run(node.start, node.end));
            }
        }
        digest
    }

    /// What is in each tier, to be compared with what others believe.
    pub fn tallies(&self) -> [Tally; MAX_TIERS] {
        let mut tallies = [Tally::default(); MAX_TIERS];
        for (id, node) in self.tree.iter() {
            let tally = self.tree.tally(id);
            tiers_of(node.value.tiers).for_each(|tier| tallies[tier] += tally);
        }
        tallies
    }

    pub fn blocks_by_tier(&self) -> [u64; MAX_TIERS] {
        let mut blocks = [0; MAX_TIERS];
        for (blocks, tier) in blocks.iter_mut().zip(&self.tiers) {
            *blocks = tier.resident;
        }
        blocks
    }

    /// Blocks of each tenant that has any, where tenants have shares.
    pub fn blocks_by_tenant(&self) -> BTreeMap<TenantId, u64> {
        let tenants = self.quotas.iter().flat_map(|quotas| &quotas.tenants);
        tenants.map(|(&tenant, holding)| (tenant, holding.resident)).collect()
    }

    /// What has crossed the links of each tier behind HBM.
    pub fn traffic(&self) -> impl Iterator<Item = Traffic> {
        let of = |tier: &Tier| Traffic { loading: tier.link.busy(), ..tier.traffic };
        self.tiers[1..].iter().map(of)
    }

    /// HBM blocks that somebody holds; the others are free or can be freed.
    pub fn held_blocks(&self) -> u64 {
        self.tiers[HBM].resident - self.tiers[HBM].idle + self.reserved
    }

    pub const fn leases(&self) -> u64 {
        self.leases
    }

    /// HBM blocks that are free or can be freed.
    pub(super) fn available(&self) -> u64 {
        let hbm = &self.tiers[HBM];
        hbm.capacity.map_or(u64::MAX, |all| all - self.reserved - (hbm.resident - hbm.idle))
    }

    /// Whether runs say whose they are: a share needs it, and a pool that gets them later.
    pub(super) fn marks_owners(&self) -> bool {
        self.quotas.is_some() || self.pool == Some(Fill::Spill)
    }
}
