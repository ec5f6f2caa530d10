//! A text given as segments, and how its block hashes are derived.

use super::hash::BlockHash;
use crate::rng::mix64;

/// A text in segments.
#[derive(Clone, Debug)]
pub(super) struct Described {
    states: Box<[SegmentState]>,
    /// Tokens of the first segment. In a recorded prompt nearly all segments have this length.
    length: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentState {
    /// Tokens before this segment.
    pub start: u32,
    high: u64,
    low: u64,
}

impl Described {
    pub fn new(states: Vec<SegmentState>) -> Self {
        let length = states.get(1).map_or(u32::MAX, |second| second.start);
        Self { states: states.into_boxed_slice(), length }
    }

    /// The segment that holds the last token before `end`. The first guess assumes that all
    /// segments are as long as the first; if it is wrong, a binary search follows.
    pub fn segment(&self, end: u32) -> SegmentState {
        let states = &self.states;
        let guess = ((end - 1) / self.length) as usize;
        let begun = states.get(guess).filter(|segment| segment.start < end);
        if let Some(segment) = begun
            && states.get(guess + 1).is_none_or(|next| next.start >= end)
        {
            return *segment;
        }
        states[states.partition_point(|segment| segment.start < end) - 1]
    }
}

impl SegmentState {
    pub const fn new(start: u32, state: BlockHash) -> Self {
        Self { start, high: state.high, low: state.low }
    }

    /// The hash of a block that ends after `covered` tokens of this segment. For one state it maps
    /// counts to hashes one to one, and the state is a keyed hash already.
    pub fn name(self, covered: u32) -> BlockHash {
        let low = mix64(self.low ^ u64::from(covered));
        BlockHash { high: mix64(self.high.wrapping_add(low)), low }
    }
}
