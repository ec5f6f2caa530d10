//! What the pool's thread is told.

use crate::feed::FeedItem;
use crate::sending::{Holds, Reply};
use std::time::Instant as WallInstant;
use tokio::sync::{mpsc, oneshot};
use warmpath_core::block::BlockRun;
use warmpath_core::request::Owner;

/// One message to the pool's thread.
#[derive(Debug)]
pub enum Command {
    Put(BlockRun, Option<Owner>),
    Get {
        run: BlockRun,
        reply: Reply,
    },
    /// How much of a prompt is there.
    Lookup {
        prompt: BlockRun,
        reply: oneshot::Sender<Holds>,
    },
    /// A watcher of what is held here.
    Watch(mpsc::Sender<FeedItem>),
    /// Send nothing new. Stop when all that was begun has left, or at this instant.
    Drain(WallInstant),
}
