//! Who runs in the next step: first those that decode, then prompts under way, then the waiting in
//! the order they came, within `max_num_seqs` sequences and `max_num_batched_tokens` tokens.
//!
//! A request is admitted when its whole prompt has room; its answer takes blocks as it grows. When
//! none can be freed, the sequence admitted last gives up its blocks and computes again later
//! (preemption by recompute), as vLLM does it.
//!
//! A decoding sequence makes one token in every step, so where it stands is counted from the step
//! it began to decode in, and it is looked at only when its blocks are full or its answer is.

mod admission;
mod decoding;
mod loading;
mod plan;
mod queues;

pub(super) use queues::Scheduler;
