//! A text given as segments, and how its block hashes are derived.

use super::hash::BlockHash;
use crate::rng::mix64;

#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentState {
    /// Tokens before this segment.
    pub start: u32,
    high: u64,
    low: u64,
}

/// The length of the first segment in tokens. In a recorded prompt nearly all segments have this length.
pub(super) fn common_length(states: &[SegmentState]) -> u32 {
    states.get(1).map_or(u32::MAX, |second| second.start)
}

/// The segment that holds the last token before `end`. The first guess assumes that all segments are as
/// long as the first; if it is wrong, a binary search follows.
pub(super) fn segment(states: &[SegmentState], length: u32, end: u32) -> SegmentState {
    let guess = ((end - 1) / length) as usize;
    let begun = states.get(guess).filter(|segment| segment.start < end);
    if let Some(segment) = begun
        && states.get(guess + 1).is_none_or(|next| next.start >= end)
    {
        return *segment;
    }
    states[states.partition_point(|segment| segment.start < end) - 1]
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
