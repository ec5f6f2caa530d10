//! Which steps are timed.

/// Tokens that each sequence of a batch makes while it is timed.
pub const DECODED: u32 = 40;
/// The fewest prompt tokens that an engine computes in a step, beside those that decode.
const CHUNK: u32 = 2048;

/// How long an answer must be, so that all of a batch still decode when the last has begun and is timed.
pub const fn answer(batch: u32, context: u32, steps: u32) -> u32 {
    // The first goes on for one token with each step that computes the prompts of the others.
    batch + batch.saturating_mul(context) / CHUNK + 4 * steps + 64
}

/// Lengths, prefixes, batches and contexts, each with each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grid {
    /// New tokens of a prompt.
    pub lengths: Vec<u32>,
    /// Cached tokens before them.
    pub prefixes: Vec<u32>,
    /// Sequences that decode at once.
    pub batches: Vec<u32>,
    /// Tokens that each of them has.
    pub contexts: Vec<u32>,
    /// Room for KV in tokens: what needs more is left out.
    pub room: u32,
}

impl Grid {
    /// Prefix and new tokens, prefix by prefix.
    pub fn prompts(&self) -> Vec<(u32, u32)> {
        let all = self
            .prefixes
            .iter()
            .flat_map(|&prefix| self.lengths.iter().map(move |&new| (prefix, new)));
        all.filter(|(prefix, new)| prefix.saturating_add(*new) < self.room).collect()
    }

    /// Sequences and their contexts.
    pub fn batches(&self) -> Vec<(u32, u32)> {
        let all = self
            .contexts
            .iter()
            .flat_map(|&context| self.batches.iter().map(move |&batch| (batch, context)));
        let fits = |&(batch, context): &(u32, u32)| {
            let each = u64::from(context) + u64::from(answer(batch, context, DECODED));
            u64::from(batch) * each < u64::from(self.room)
        };
        all.filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let grid = Grid {
            lengths: vec![64, 1024],
            prefixes: vec![0, 4096],
            batches: vec![1, 8],
            contexts: vec![1024],
            room: 5000,
        };
        assert_eq!(grid.prompts(), [(0, 64), (0, 1024), (4096, 64)]);
        assert_eq!(grid.batches(), [(1, 1024)]);
        assert_eq!(answer(8, 1024, 40), 8 + 4 + 160 + 64);
    }
}
