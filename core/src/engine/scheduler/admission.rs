//! Admission: blocks for a whole prompt, then its tokens chunk by chunk.

use super::plan::Plan;
use super::queues::Scheduler;
use crate::engine::profile::Profile;
use crate::engine::sequence::{KvTransfer, SeqKey, State};
use crate::engine::store::{Acquired, BlockStore, Hit};
use crate::id::RequestId;
use crate::time::Instant;
use smallvec::SmallVec;

impl Scheduler {
    /// Adds the next chunk of a prompt to the step, up to `budget` tokens.
    pub(super) fn take_chunk(
        &mut self,
        now: Instant,
        key: SeqKey,
        budget: &mut u32,
        store: &mut BlockStore,
        block_size: u32,
        plan: &mut Plan,
    ) {
        let window = self.window;
        let seq = self.get_mut(key);
        let tokens = (seq.target - seq.computed).min(*budget);
        if tokens == 0 {
            return;
        }
        *budget -= tokens;
        if seq.kv_transfer == KvTransfer::Used {
            // All KV has arrived: the last token is computed as a decode step computes one.
            plan.shape.add_decode(seq.target, window);
        } else {
            plan.shape.add_prompt(tokens, seq.computed, window);
            plan.prefill_tokens += tokens;
        }
        plan.chunks.push((key, tokens));
        // Named when scheduled, so a later prompt in the same step can share them.
        let filled = (seq.computed + tokens) / block_size;
        store.commit(now, seq.lease.as_mut().expect("the lease of a running sequence"), filled);
    }

    /// Admits sequences in order of their places, until one has no room.
    pub(super) fn admit(
        &mut self,
        (now, planned): (Instant, Instant),
        budget: &mut u32,
        store: &mut BlockStore,
        profile: &Profile,
        plan: &mut Plan,
        mut admitted: impl FnMut(RequestId, Hit),
    ) {
        let (size, cost) = (profile.block_size, profile.prefill_cost());
        let most = profile.max_num_seqs as usize;
        while *budget > 0 && self.running.len() + self.loading_count < most {
            let first = self.ready.pop_first().or_else(|| self.waiting.pop_first());
            let Some((place, key)) = first else { break };
            let constant = self.constant_blocks;
            let seq = self.get_mut(key);
            if seq.lease.is_none() {
                if seq.came > planned {
                    plan.came_late = Some(seq.came);
                    self.waiting.insert(place, key);
                    break;
                }
                let limit = (seq.target - 1) / size;
                let total = (seq.target + 1).div_ceil(size) + constant;
                let acquired =
                    store.acquire(now, &seq.work.sequence, limit, total, &cost, &seq.offers);
                let (mut lease, hit, transfers) = match acquired {
                    Acquired::Ready { lease, hit } => (lease, hit, SmallVec::new()),
                    Acquired::Waiting { lease, hit, transfers } => (lease, hit, transfers),
                    Acquired::NoRoom => {
                        self.waiting.insert(place, key);
                        break;
                    }
                };
                store.set_owner(&mut lease, seq.work.owner());
                seq.computed = hit.iter().sum::<u32>() * size;
                seq.lease = Some(lease);
                let before = core::mem::replace(&mut seq.admitted_before, true);
                let found_less = core::mem::take(&mut seq.found_less);
                if !before || found_less {
                    (seq.cached_tokens, seq.hit) = (seq.computed, hit);
                } else {
                    plan.recomputed_tokens += u64::from(seq.target - seq.computed);
                }
                if !before {
                    admitted(seq.work.request.id, hit);
                }
                let mut awaited = transfers.len();
                if let KvTransfer::From(worker) = seq.kv_transfer {
                    let lacks = seq.target - seq.computed;
                    seq.kv_transfer = KvTransfer::Pulling;
                    awaited += 1;
                    let pull = (seq.work.request.id, worker, lacks);
                    self.pulls.push(pull);
                }
                if awaited > 0 {
                    self.get_mut(key).state = State::Loading(awaited, now);
                    for transfer in transfers {
                        self.loading.entry(transfer).or_default().push(key);
                    }
                    self.loading_count += 1;
                    continue;
                }
            }
            let seq = self.get_mut(key);
            if !core::mem::replace(&mut seq.has_run, true) {
                plan.joining.requests += 1;
                plan.joining.prompt_tokens += u64::from(seq.target);
            }
            self.use_arrived_kv(now, key, store, size);
            self.admissions += 1;
            let order = self.admissions;
            self.get_mut(key).state = State::Prefilling(order);
            self.running.insert(order, key);
            self.prefilling.insert(order, key);
            self.take_chunk(now, key, budget, store, size, plan);
        }
    }

    /// Names the blocks that arrived from the prefill worker, all but the last token.
    fn use_arrived_kv(&mut self, now: Instant, key: SeqKey, store: &mut BlockStore, size: u32) {
        let seq = self.get_mut(key);
        if seq.kv_transfer == KvTransfer::Arrived {
            seq.kv_transfer = KvTransfer::Used;
            let lease = seq.lease.as_mut().expect("the lease of an admitted sequence");
            store.commit(now, lease, seq.target / size);
            seq.computed = seq.target - 1;
        }
    }
}
