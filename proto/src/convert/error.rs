//! The error of a message with an invalid field.

use warmpath_core::id::MAX_TIERS;

/// Bytes of one block hash.
pub(super) const HASH_BYTES: usize = 16;

/// A message with an invalid field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The worker's role is unknown.
    #[error("role: {0}, expected 0 to 2")]
    Role(i32),
    /// A tier's number is too high.
    #[error("tier: {tier}, expected 0 to {}", MAX_TIERS - 1)]
    Tier {
        /// The number that was sent.
        tier: u32,
    },
    /// A list of hashes has a wrong length.
    #[error("hashes: {bytes} bytes, expected a multiple of {HASH_BYTES} above 0")]
    Hashes {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The hashes of a run do not start at its anchor.
    #[error("base: {base} for a run from block {start}, expected {expected}")]
    Base {
        /// The first block of the run.
        start: u32,
        /// The first block with a hash.
        base: u32,
        /// The anchor of the run.
        expected: u32,
    },
    /// The hashes of a run end before its first block.
    #[error("start: {start} with hashes up to block {end}, expected a smaller start")]
    Start {
        /// The first block of the run.
        start: u32,
        /// The block after the last hash.
        end: u64,
    },
    /// A run ends after 2^32 tokens.
    #[error("run of {end} blocks of {block_size} tokens, expected at most {} tokens", u32::MAX)]
    TooLong {
        /// The block after the last one.
        end: u64,
        /// Tokens a block.
        block_size: u32,
    },
    /// A prompt is longer than any.
    #[error("prompt_tokens: {tokens}, expected at most {most}")]
    PromptTooLong {
        /// Its tokens.
        tokens: u32,
        /// How many it may have.
        most: u32,
    },
    /// A load report has a wrong number of tiers.
    #[error("blocks_by_tier: {got} tiers, expected {MAX_TIERS}")]
    Tiers {
        /// The number that was sent.
        got: usize,
    },
    /// A list that has one length has another.
    #[error("{field}: {got} numbers, expected {expected} or none")]
    Length {
        /// The field.
        field: &'static str,
        /// How many numbers were sent.
        got: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A field is missing.
    #[error("{field}: missing, expected a value")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The block size is out of range.
    #[error("block_size: {0}, expected 1 to 65536 tokens")]
    BlockSize(u32),
    /// A chunk does not belong to the chunks before it.
    #[error(
        "snapshot chunk of epoch {got_epoch}, batch {got}, expected epoch {epoch}, batch {seq} as \
         in the chunk before"
    )]
    TornSnapshot {
        /// The epoch of the chunks before.
        epoch: u64,
        /// The batch of the chunks before.
        seq: u64,
        /// The epoch that was sent.
        got_epoch: u64,
        /// The batch that was sent.
        got: u64,
    },
}
