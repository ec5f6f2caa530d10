//! Sequences that decode: where they stand, and when they must be updated.

use super::queues::Scheduler;
use crate::engine::sequence::{SeqKey, State};

/// The fewest tokens for which a decoding sequence takes blocks at a time; vLLM takes one block at
/// a time. With it, small blocks cost no more simulation time than large ones, and each sequence
/// holds at most this many tokens too early. If memory is short, it takes one block at a time too.
const LOOK_AHEAD: u32 = 128;

impl Scheduler {
    /// Records that `steps` steps have run.
    pub fn advance(&mut self, steps: u32) {
        self.steps += u64::from(steps);
        self.context += u64::from(steps) * u64::from(self.decoding);
        self.window_context += u64::from(steps) * u64::from(self.filling);
    }

    /// Starts to decode: the prompt is computed, and one token is sampled.
    pub fn start_decoding(&mut self, key: SeqKey, block_size: u32) {
        let seq = self.get_mut(key);
        let State::Prefilling(admitted) = seq.state else {
            unreachable!("a sequence that prefills")
        };
        seq.generated += 1;
        self.prefilling.remove(admitted);
        self.decoding += 1;
        // The next step computes the sampled token, which attends to itself too.
        let reads = self.get(key).computed + 1;
        self.context += u64::from(reads);
        self.window_context += u64::from(reads.min(self.window));
        self.unevenness = None;
        self.schedule_update(key, admitted, block_size);
    }

    /// Lets an updated sequence decode further.
    pub fn continue_decoding(&mut self, key: SeqKey, block_size: u32) {
        let State::Decoding { admitted, .. } = self.get(key).state else {
            unreachable!("a sequence that decodes")
        };
        self.schedule_update(key, admitted, block_size);
    }

    /// Sets when a sequence must be updated next.
    fn schedule_update(&mut self, key: SeqKey, admitted: u64, block_size: u32) {
        let (since, window, constant) = (self.steps, self.window, self.constant_blocks);
        let seq = self.get_mut(key);
        let stride = LOOK_AHEAD.next_multiple_of(block_size);
        let left = seq.output_tokens - seq.generated;
        let mut distance = (stride - seq.computed % stride).min(left);
        let filled_before = core::mem::replace(&mut seq.filling, seq.computed + 1 < window);
        if seq.filling {
            // An update when the window is full makes every stretch grow by a constant.
            distance = distance.min(window - 1 - seq.computed);
        }
        let filling = (u32::from(seq.filling), u32::from(filled_before));
        let due = since + u64::from(distance);
        seq.state = State::Decoding { admitted, since, due };
        let blocks = (seq.computed + distance).div_ceil(block_size) + constant;
        let needs_blocks = seq.lease.as_ref().is_some_and(|lease| lease.blocks() < blocks);
        self.filling = self.filling + filling.0 - filling.1;
        self.due.insert((due, key), ());
        if needs_blocks {
            self.needs_blocks.insert(admitted, key);
        }
    }

    /// Removes the next sequence that must be updated now, and updates it.
    pub fn pop_due(&mut self) -> Option<SeqKey> {
        let ((due, key), ()) = self.due.first().filter(|&((due, _), ())| due <= self.steps)?;
        self.due.pop_first();
        self.catch_up(key);
        debug_assert_eq!(due, self.steps);
        Some(key)
    }

    /// Updates a sequence to the current step.
    fn catch_up(&mut self, key: SeqKey) {
        let steps = self.steps;
        let seq = self.get_mut(key);
        if let State::Decoding { since, admitted, due } = seq.state {
            let made = (steps - since) as u32;
            seq.generated += made;
            seq.computed += made;
            seq.state = State::Decoding { since: steps, admitted, due };
        }
    }

    /// Removes a sequence from the running ones.
    pub(super) fn stop(&mut self, key: SeqKey) {
        self.catch_up(key);
        match self.get(key).state {
            State::Prefilling(admitted) => {
                self.prefilling.remove(admitted);
                self.running.remove(admitted);
            }
            State::Decoding { admitted, due, .. } => {
                self.decoding -= 1;
                self.unevenness = None;
                let reads = self.get(key).computed + 1;
                self.context -= u64::from(reads);
                self.window_context -= u64::from(reads.min(self.window));
                let filled = core::mem::take(&mut self.get_mut(key).filling);
                self.filling -= u32::from(filled);
                self.due.remove((due, key));
                self.needs_blocks.remove(admitted);
                self.running.remove(admitted);
            }
            State::Waiting | State::Loading(..) => unreachable!("a running sequence"),
        }
    }
}
