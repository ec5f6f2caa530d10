//! The store under all conditions at once: any eviction rule, tiers that are too small or too slow,
//! fetches that arrive or fail, resets at any time. No model says which blocks stay, but the store must stay sound.

use crate::common::follower::Follower;
use crate::common::{Behind, Form, Texts, between, chance, for_seeds, tiered};
use warmpath_core::block::TokenBlocks;
use warmpath_core::engine::profile::{Fill, Loads, Profile};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::store::{Acquired, BlockStore, Lease, Offer};
use warmpath_core::id::{SourceId, TransferId, WorkerId};
use warmpath_core::time::Instant;

/// A store, and a router's index that follows its events.
struct Pair {
    store: BlockStore,
    profile: Profile,
    follower: Follower,
    now: Instant,
}

impl Pair {
    fn new(profile: Profile) -> Self {
        let store = BlockStore::new(&profile);
        Self { store, profile, follower: Follower::default(), now: Instant::START }
    }
}

/// For any rule and any size or speed of the tiers, the store is sound, no tier stays over its
/// capacity, and an index that follows the events has the same contents.
#[test]
fn any_rule_keeps_the_store_sound() {
    for_seeds(9_000..11_000, |rng| {
        let texts = Texts::random(rng, Form::Described, 6, 12);
        let behind: Behind = (0..between(rng, 0, 3))
            .map(|_| {
                let fill = if chance(rng, 50) { Fill::WriteThrough } else { Fill::Spill };
                (u64::from(between(rng, 1, 15)), fill)
            })
            .collect();
        let hbm = u64::from(between(rng, 14, 30));
        let mut profile = tiered(texts.block_size, hbm, &behind, Loads::Always);
        profile.eviction = EvictionRule::Arc;
        for tier in &mut profile.tiers {
            tier.eviction = if chance(rng, 70) { EvictionRule::Arc } else { EvictionRule::Lru };
            // One second of writes is one or two blocks.
            tier.store_gb_s = if chance(rng, 30) { 3e-5 } else { 1e12 };
        }
        let mut pair = Pair::new(profile);
        for _ in 0..100 {
            let prompt = texts.prompt(rng);
            let (size, cost) = (prompt.block_size(), pair.profile.prefill_cost());
            let total = (prompt.tokens() + 1).div_ceil(size);
            let limit = prompt.reusable_blocks();
            let acquired = pair.store.acquire(pair.now, &prompt, limit, total, &cost, &[]);
            let mut lease = match acquired {
                Acquired::Ready { lease, .. } => lease,
                Acquired::Waiting { lease, .. } => lease,
                Acquired::NoRoom => panic!("no room in a store without leases"),
            };
            while let Some(ready) = pair.store.next_ready() {
                pair.now = ready;
                while pair.store.finish_load(ready).is_some() {}
                pair.store.check();
            }
            let filled = between(rng, lease.named(), prompt.blocks());
            pair.store.commit(pair.now, &mut lease, filled);
            pair.store.check();
            pair.store.release(lease);
            pair.store.check();
            pair.follower.follow(&mut pair.store);
            if chance(rng, 8) {
                let external = chance(rng, 50);
                let before: u64 = pair.store.blocks_by_tier().iter().sum();
                let dropped = pair.store.reset(external);
                pair.store.check();
                pair.follower.follow(&mut pair.store);
                let left = pair.store.blocks_by_tier();
                assert_eq!(before - dropped, left.iter().sum::<u64>());
                assert_eq!(left[0], 0, "no lease holds a block");
                assert!(!external || left.iter().all(|&blocks| blocks == 0), "{left:?}");
            }
            pair.now = Instant::from_nanos(pair.now.as_nanos() + rng.below(200_000_000));
        }
        let room = core::iter::once(hbm).chain(behind.iter().map(|&(blocks, _)| blocks));
        for (held, room) in pair.store.blocks_by_tier().iter().zip(room) {
            assert!(*held <= room, "{held} blocks in a tier of {room}");
        }
    });
}

/// Several requests at once, with blocks from tiers, from fetches that arrive, and from fetches
/// that fail. As in the scheduler, a request whose fetch fails releases its lease.
#[test]
fn fetches_that_fail_leave_the_store_sound() {
    for_seeds(12_000..17_000, |rng| {
        let texts = Texts::random(rng, Form::Described, 4, 12);
        let behind: Behind = (0..between(rng, 0, 2))
            .map(|_| {
                let fill = if chance(rng, 30) { Fill::WriteThrough } else { Fill::Spill };
                (u64::from(between(rng, 4, 20)), fill)
            })
            .collect();
        let loads = if chance(rng, 30) { Loads::Always } else { Loads::WhenCheaper };
        let hbm = u64::from(between(rng, 14, 30));
        let mut pair = Pair::new(tiered(texts.block_size, hbm, &behind, loads));
        let mut users: Vec<(Lease, Vec<TransferId>, TokenBlocks)> = Vec::new();
        let mut under_way: Vec<TransferId> = Vec::new();
        for _ in 0..80 {
            let user = (!users.is_empty()).then(|| rng.below(users.len() as u64) as usize);
            match (rng.below(100), user) {
                (0..35, _) => {
                    let prompt = texts.prompt(rng);
                    let (size, cost) = (prompt.block_size(), pair.profile.prefill_cost());
                    let total = (prompt.tokens() + 1).div_ceil(size);
                    let limit = prompt.reusable_blocks();
                    let offers: Vec<Offer> = (0..rng.below(3))
                        .map(|source| Offer {
                            from: SourceId::Worker(WorkerId(source as u32 + 1)),
                            blocks: between(rng, 0, 14),
                            ns_per_block: [10.0, 1e5][rng.below(2) as usize],
                            latency_ns: 100.0,
                            always: chance(rng, 20),
                        })
                        .collect();
                    let got = pair.store.acquire(pair.now, &prompt, limit, total, &cost, &offers);
                    under_way.extend(pair.store.take_fetches().iter().map(|fetch| fetch.id));
                    match got {
                        Acquired::Ready { lease, .. } => users.push((lease, Vec::new(), prompt)),
                        Acquired::Waiting { lease, transfers, .. } => {
                            users.push((lease, transfers.to_vec(), prompt));
                        }
                        Acquired::NoRoom => {}
                    }
                }
                (35..55, _) if !under_way.is_empty() => {
                    let id = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
                    if chance(rng, 50) {
                        pair.store.fetched(pair.now, id);
                        users.iter_mut().for_each(|(_, waits, _)| waits.retain(|&x| x != id));
                    } else {
                        let (gone, left) =
                            users.into_iter().partition(|(_, waits, _)| waits.contains(&id));
                        users = left;
                        let gone: Vec<(Lease, Vec<TransferId>, TokenBlocks)> = gone;
                        gone.into_iter().for_each(|(lease, ..)| pair.store.release(lease));
                        pair.store.not_fetched(id);
                    }
                }
                (55..75, Some(user)) if users[user].1.is_empty() => {
                    let (lease, _, prompt) = &mut users[user];
                    let filled = between(rng, lease.named(), prompt.blocks());
                    pair.store.commit(pair.now, lease, filled);
                }
                (75..90, Some(user)) => {
                    let (lease, ..) = users.swap_remove(user);
                    pair.store.release(lease);
                }
                (90..93, _) => {
                    let held = pair.store.held_blocks();
                    pair.store.reset(chance(rng, 50));
                    assert_eq!(pair.store.held_blocks(), held, "requests keep their blocks");
                }
                _ => {
                    pair.now = Instant::from_nanos(pair.now.as_nanos() + rng.below(300_000));
                    while let Some(id) = pair.store.finish_load(pair.now) {
                        users.iter_mut().for_each(|(_, waits, _)| waits.retain(|&x| x != id));
                    }
                }
            }
            pair.store.check();
            pair.follower.follow(&mut pair.store);
        }
    });
}
