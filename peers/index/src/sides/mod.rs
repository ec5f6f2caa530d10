//! The indexes that are compared, each behind the same few calls.

mod dynamo;
mod kv_index;
mod ours;

pub use dynamo::Dynamo;
pub use kv_index::KvIndex;
pub use ours::{Digests, Ours};

use crate::workload::Event;

/// An index of which worker holds which blocks.
pub trait Index: Sized {
    /// An event in the form that the index takes.
    type Event;
    /// A prompt in that form.
    type Query: 'static;
    /// A prompt as a look-up takes it. Where that is a copy, it is made before the clock starts.
    type Ready<'a>;

    /// Its name and version.
    const NAME: &'static str;
    /// An index that knows its workers and no block.
    fn new(workers: u32) -> Self;
    /// Converts an event.
    fn event(event: &Event) -> Self::Event;
    /// Converts a prompt.
    fn query(contents: &[u64]) -> Self::Query;
    /// Reads all of a prompt, so that it is in the cache. Returns something that depends on all of it.
    fn read(query: &Self::Query) -> u64;
    /// Makes a prompt ready.
    fn ready(query: &Self::Query) -> Self::Ready<'_>;
    /// Takes an event in.
    fn apply(&mut self, event: Self::Event);
    /// Looks a prompt up by the fastest call there is. Returns the number of workers that hold a part.
    fn look_up(&mut self, query: Self::Ready<'_>) -> usize;
    /// Looks a prompt up: each worker that holds a part of it, and how many blocks, in order.
    fn overlap(&mut self, query: Self::Ready<'_>) -> Vec<(u32, u32)>;
}
