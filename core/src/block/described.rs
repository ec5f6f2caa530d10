//! A text that is described instead of written out: what its names are mixed from.

use super::BlockHash;
use crate::rng::mix64;

/// A text in segments.
#[derive(Clone, Debug)]
pub(super) struct Described {
    states: Box<[SegmentState]>,
    /// Of the first segment, in tokens; of a recorded prompt nearly all are alike.
    length: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentState {
    /// In tokens since the text began.
    pub start: u32,
    high: u64,
    low: u64,
}

impl Described {
    pub fn new(states: Vec<SegmentState>) -> Self {
        let length = states.get(1).map_or(u32::MAX, |second| second.start);
        Self { states: states.into_boxed_slice(), length }
    }

    /// The segment that holds the last token before `end`. It stands where it would if all were as
    /// long as the first, or is searched for.
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

    /// 128 bits from a segment's state and how many of its tokens are covered. A bijection of the
    /// count for each state, and the state is a keyed hash already.
    pub fn name(self, covered: u32) -> BlockHash {
        let low = mix64(self.low ^ u64::from(covered));
        BlockHash { high: mix64(self.high.wrapping_add(low)), low }
    }
}
