//! The scheduler: it chooses the sequences of each step. Decoding sequences come first, then
//! prompts under way, then waiting requests in order of arrival, within `max_num_seqs` sequences
//! and `max_num_batched_tokens` tokens.
//!
//! A request is admitted when its whole prompt has room; its answer takes blocks as it grows. If no
//! block can be freed, the sequence admitted last gives up its blocks and is computed again later,
//! as in vLLM (preemption by recompute).
//!
//! A decoding sequence makes one token in each step. So its progress follows from the step at which
//! it started to decode, and it is updated only when its blocks are full or its answer ends.
mod admission;
mod decoding;
mod loading;
mod ordered;
mod plan;
mod queues;

pub(super) use queues::Scheduler;
