//! What this worker gets from others: blocks from its pool and its peers, and KV from prefill
//! workers.
//!
//! The engine's thread says what it wants and goes on. The calls are made here, and their results
//! go back to it as commands. An error here never fails a request: what does not come is computed.
//!
//! - `outbox`: what the engine's thread wants.
//! - `fetching`: blocks. `peers`: the peers by number.
//! - `pulling`: KV.
//! - `grpc`: the calls themselves.

mod fetching;
mod grpc;
mod outbox;
mod peers;
mod pulling;

use crate::command::Command;
use crate::turns::Commands;
use std::sync::Arc;
use tokio::task::JoinSet;

pub use fetching::Remote;
pub use outbox::{Outbox, Wanted, outbox};
pub use pulling::Puller;

/// Makes the calls that the engine wants, until the result is dropped.
pub fn serve(
    (remote, puller): (&Arc<Remote>, &Arc<Puller>),
    wanted: Wanted,
    commands: &Commands<Command>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(fetching::fetch_all(Arc::clone(remote), wanted.fetches, commands.clone()));
    tasks.spawn(fetching::put_all(Arc::clone(remote), wanted.puts));
    tasks.spawn(pulling::pull_all(Arc::clone(puller), wanted.pulls, commands.clone()));
    tasks
}
