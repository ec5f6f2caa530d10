//! decoding

use super::queues::Scheduler;
use crate::engine::sequence::{SeqKey, State};

/// How many tokens a decoding sequence takes blocks for at a time, at least; a vLLM worker takes them
/// one block at a time. It lets small blocks cost what large ones do, and holds back at most so many
/// tokens a sequence. Where memory is short it is one block at a time here too.
const LOOK_AHEAD: u32 = 128;

impl Scheduler {
    /// `steps` steps have run.
    pub fn advance(&mut self, steps: u32) {
        self.steps += u64::from(steps);
        self.context += u64::from(steps) * u64::from(self.decoding);
        self.window_context += u64::from(steps) * u64::from(self.filling);
    }

    /// The prompt is computed and the first (next, after a preemption) token is sampled.
    pub fn start_decoding(&mut self, key: SeqKey, block_size: u32) {
        let seq = self.get_mut(key);
        let State::Prefilling(admitted) = seq.state else { unreachable!("it was a prompt") };
        seq.generated += 1;
        self.prefilling.remove(&admitted);
        self.decoding += 1;
        // The next step computes the sampled token, which attends to itself too.
        let reads = self.get(key).computed + 1;
        self.context += u64::from(reads);
        self.window_context += u64::from(reads.min(self.window));
        self.schedule_look(key, admitted, block_size);
    }

    /// A sequence that was looked at goes on decoding.
    pub fn go_on(&mut self, key: SeqKey, block_size: u32) {
        let State::Decoding { admitted, .. } = self.get(key).state else {
            unreachable!("it was decoding")
        };
        self.schedule_look(key, admitted, block_size);
    }

    fn schedule_look(&mut self, key: SeqKey, admitted: u64, block_size: u32) {
        let (since, window, constant) = (self.steps, self.window, self.constant_blocks);
        let seq = self.get_mut(key);
        let stride = LOOK_AHEAD.next_multiple_of(block_size);
        let left = seq.work.output_tokens - seq.generated;
        let mut distance = (stride - seq.computed % stride).min(left);
        let filled_before = core::mem::replace(&mut seq.filling, seq.computed + 1 < window);
        if seq.filling {
            // Looked at again when the window is full, so that each stretch grows evenly.
            distance = distance.min(window - 1 - seq.computed);
        }
        let filling = (u32::from(seq.filling), u32::from(filled_before));
        let due = since + u64::from(distance);
        seq.state = State::Decoding { admitted, since, due };
        let blocks = (seq.computed + distance).div_ceil(block_size) + constant;
        let hungry = seq.lease.as_ref().is_some_and(|lease| lease.blocks() < blocks);
        self.filling = self.filling + filling.0 - filling.1;
        self.due.insert((due, key));
        if hungry {
            self.hungry.insert(admitted, key);
        }
    }

    /// Takes the next sequence that must be looked at now, brought up to date.
    pub fn pop_due(&mut self) -> Option<SeqKey> {
        let &(due, key) = self.due.first().filter(|&&(due, _)| due <= self.steps)?;
        self.due.pop_first();
        self.catch_up(key);
        debug_assert_eq!(due, self.steps);
        Some(key)
    }

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

    /// Takes a sequence off the running, wherever it stands.
    pub(super) fn stop(&mut self, key: SeqKey) {
        self.catch_up(key);
        match self.get(key).state {
            State::Prefilling(admitted) => {
                self.prefilling.remove(&admitted);
                self.running.remove(&admitted);
            }
            State::Decoding { admitted, due, .. } => {
                self.decoding -= 1;
                let reads = self.get(key).computed + 1;
                self.context -= u64::from(reads);
                self.window_context -= u64::from(reads.min(self.window));
                let filled = core::mem::take(&mut self.get_mut(key).filling);
                self.filling -= u32::from(filled);
                self.due.remove(&(due, key));
                self.hungry.remove(&admitted);
                self.running.remove(&admitted);
            }
            State::Waiting | State::Loading(..) => unreachable!("it does not run"),
        }
    }
}
