//! The invariants of a store. Tests call them after every step.

use super::block_store::BlockStore;
use super::run::{HBM, tiers_of};
use crate::id::{MAX_TIERS, TenantId};
use std::collections::BTreeMap;

impl BlockStore {
    /// Panics if HBM holds more blocks than its capacity.
    pub fn check_capacity(&self) {
        if let Some(capacity) = self.tiers[HBM].capacity {
            let used = self.tiers[HBM].resident + self.reserved;
            assert!(used <= capacity, "{used} blocks in use, the worker has {capacity}");
        }
    }

    /// Panics if any count differs from what it counts. For tests, and for an idle store.
    pub fn check(&self) {
        self.tree.check();
        self.check_capacity();
        let (mut resident, mut idle) = ([0; MAX_TIERS], [0; MAX_TIERS]);
        let (mut pins, mut loading) = (0, 0);
        let mut below: Vec<[u32; MAX_TIERS]> = Vec::new();
        for (_, node) in self.tree.iter() {
            let (run, len) = (&node.value, u64::from(node.len()));
            let coming = run.loading.is_some();
            assert!(run.tiers != 0 || coming, "a run has no copy and no transfer");
            for tier in tiers_of(run.tiers) {
                resident[tier] += len;
                idle[tier] += if run.pins == 0 { len } else { 0 };
                if let Some(parent) = node.parent {
                    let index = parent.index();
                    below.resize(below.len().max(index + 1), [0; MAX_TIERS]);
                    below[index][tier] += 1;
                }
            }
            assert!(run.pins > 0 || run.loading.is_none(), "a run is loading without a lease");
            loading += if run.loading.is_some() { len } else { 0 };
            pins += run.pins;
            if let Some(parent) = node.parent {
                let parent = &self.tree.get(parent).value;
                assert!(parent.pins >= run.pins, "a run has more pins than its parent");
                assert!(parent.reused || !run.reused, "a run is marked reused, its parent is not");
                let nearer = parent.tiers.trailing_zeros() <= run.tiers.trailing_zeros();
                assert!(
                    nearer || parent.loading.is_some(),
                    "a run is in a nearer tier than its parent"
                );
            }
        }
        for (id, node) in self.tree.iter() {
            let counted = below.get(id.index()).copied().unwrap_or_default();
            assert_eq!(node.value.below, counted, "wrong count of children by tier");
        }
        for (i, tier) in self.tiers.iter().enumerate() {
            assert_eq!(
                (tier.resident, tier.idle),
                (resident[i], idle[i]),
                "wrong count of blocks in tier {i}"
            );
        }
        self.check_quotas();
        if self.leases == 0 {
            assert_eq!(
                (pins, self.reserved, loading),
                (0, 0, 0),
                "blocks are held without a lease"
            );
        }
    }

    /// Panics if a tenant's count or order differs from the runs that it owns.
    fn check_quotas(&self) {
        let Some(quotas) = &self.quotas else { return };
        let mut counted: BTreeMap<TenantId, (u64, usize)> = BTreeMap::new();
        for (_, node) in self.tree.iter() {
            let Some(owner) = node.value.owner else { continue };
            let count = counted.entry(owner.tenant).or_default();
            count.0 += u64::from(node.len());
            count.1 += usize::from(node.value.pins == 0);
        }
        let told = quotas.tenants.iter().map(|(&t, held)| (t, (held.resident, held.idle.len())));
        assert_eq!(counted, told.collect(), "wrong count of tenants' blocks");
    }
}
