//! Following the workers and the pools: what their feeds say goes into the prefix index, the core
//! router and the fleet's status.
//!
//! - `follow`: the loop that all followers share.
//! - `worker`, `pool`: what is special about each.
//! - `check`: whether a source matches this router, and the index matches a source.

mod check;
mod follow;
mod pool;
mod worker;

use crate::fleet::roster::AddError;
use crate::fleet::worker::WorkerLink;
use crate::state::RouterState;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use warmpath_core::id::WorkerId;
use warmpath_core::routing::input::Input;
use warmpath_proto::clock::now;

/// How often a removal looks whether the worker's requests have ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Adds a worker. It is followed from now on, or from when the router begins to serve.
pub fn add_worker(state: &Arc<RouterState>, url: &str) -> Result<WorkerId, AddError> {
    state.roster.add(url, &state.connecting, |link| follow_worker(state, link))
}

/// Drains a worker, waits for its requests at most until `until`, and removes it. Returns how many
/// requests had not ended.
pub async fn remove_worker(state: &RouterState, link: &WorkerLink, until: Instant) -> u32 {
    state.router.tell(Input::Drained(link.id));
    while state.busy_with(link.id) > 0 && now() < until {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    let left = state.busy_with(link.id);
    state.roster.remove(link.id).await;
    worker::strike_out(state, link);
    left
}

fn follow_worker(state: &Arc<RouterState>, link: &Arc<WorkerLink>) -> JoinHandle<()> {
    tokio::spawn(worker::follow(Arc::clone(state), Arc::clone(link)))
}

/// The tasks that follow workers and pools. A task holds the router that holds the task; dropping
/// this breaks that circle.
#[derive(Debug)]
pub struct Following {
    state: Arc<RouterState>,
    pools: JoinSet<()>,
}

impl Following {
    /// Follows all workers and pools, and the workers that are added later.
    pub fn start(state: &Arc<RouterState>) -> Self {
        state.roster.follow_all(|link| follow_worker(state, link));
        let mut pools = JoinSet::new();
        for place in 0..state.pools.len() {
            pools.spawn(pool::follow(Arc::clone(state), place));
        }
        Self { state: Arc::clone(state), pools }
    }

    /// When this returns, no worker and no pool is followed.
    pub async fn end(mut self) {
        for follower in self.state.roster.follow_none() {
            let _ = follower.await;
        }
        self.pools.shutdown().await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.state.roster.follow_none();
    }
}
