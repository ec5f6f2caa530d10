//! The workers of this router by number, and the tasks that follow them. A number is never given
//! again, so a number in a record, a metric or a log always means the same worker.

use crate::fleet::connect::{self, Connecting};
use crate::fleet::worker::WorkerLink;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use warmpath_core::id::WorkerId;

/// The index numbers its sources with 16 bits; pools need some of them.
const MOST: usize = 4_096;

/// Why a worker cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error("url: {0}")]
    Url(String),
    #[error("url: '{url}' is in the fleet already, as {id}")]
    Known { url: String, id: WorkerId },
    #[error("the fleet is full, expected at most {MOST} workers")]
    Full,
}

/// The workers by number.
#[derive(Debug, Default)]
pub struct Roster(RwLock<Members>);

#[derive(Debug, Default)]
struct Members {
    next: u32,
    /// Whether a new worker is followed at once.
    following: bool,
    by_number: BTreeMap<WorkerId, Member>,
}

#[derive(Debug)]
struct Member {
    link: Arc<WorkerLink>,
    follower: Option<JoinHandle<()>>,
}

impl Roster {
    pub fn get(&self, id: WorkerId) -> Option<Arc<WorkerLink>> {
        self.read().by_number.get(&id).map(|member| Arc::clone(&member.link))
    }

    /// All workers, in the order of their numbers.
    pub fn links(&self) -> Vec<Arc<WorkerLink>> {
        self.read().by_number.values().map(|member| Arc::clone(&member.link)).collect()
    }

    /// Adds a worker. `follow` starts the task that follows it; it is called now if the router serves, and
    /// otherwise when it begins to serve.
    pub fn add(
        &self,
        url: &str,
        how: &Connecting,
        follow: impl FnOnce(&Arc<WorkerLink>) -> JoinHandle<()>,
    ) -> Result<WorkerId, AddError> {
        let url = &*connect::spelled(url, how).map_err(AddError::Url)?;
        let mut members = self.write();
        let known = members.by_number.values().find(|member| member.link.url == url);
        if let Some(member) = known {
            return Err(AddError::Known { url: url.to_owned(), id: member.link.id });
        }
        if members.by_number.len() >= MOST {
            return Err(AddError::Full);
        }
        let id = WorkerId(members.next);
        let link = connect::worker(id, url, how)
            .map_err(|why| AddError::Url(format!("'{url}': {why}")))?;
        let link = Arc::new(link);
        members.next += 1;
        let follower = members.following.then(|| follow(&link));
        members.by_number.insert(id, Member { link, follower });
        Ok(id)
    }

    /// Removes a worker. When this returns, no task follows it.
    pub async fn remove(&self, id: WorkerId) {
        let removed = self.write().by_number.remove(&id);
        if let Some(follower) = removed.and_then(|member| member.follower) {
            follower.abort();
            let _ = follower.await;
        }
    }

    /// Starts to follow all workers. Workers that are added later are followed at once.
    pub fn follow_all(&self, follow: impl Fn(&Arc<WorkerLink>) -> JoinHandle<()>) {
        let mut members = self.write();
        members.following = true;
        for member in members.by_number.values_mut() {
            member.follower = Some(follow(&member.link));
        }
    }

    /// Stops to follow the workers. Returns the tasks, which end soon.
    pub fn follow_none(&self) -> Vec<JoinHandle<()>> {
        let mut members = self.write();
        members.following = false;
        let members = members.by_number.values_mut();
        let followers: Vec<_> = members.filter_map(|member| member.follower.take()).collect();
        followers.iter().for_each(JoinHandle::abort);
        followers
    }

    fn read(&self) -> RwLockReadGuard<'_, Members> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Members> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
