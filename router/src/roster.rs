//! The workers of this router by number, and the tasks that follow them. Numbers are never given
//! again, so that a number in a record, a metric or a log is one worker for ever.

use crate::config::check_url;
use crate::link::Link;
use crate::shared::Shared;
use crate::subscribe;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use warmpath_core::id::WorkerId;

/// More than anyone has; the index numbers its sources in 16 bits.
const MOST: usize = 4_096;

#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error("url: {0}")]
    Url(String),
    #[error("url: '{url}' is {id} already")]
    Known { url: String, id: WorkerId },
    #[error("{MOST} workers are there already")]
    Full,
}

#[derive(Debug, Default)]
pub struct Roster(RwLock<Members>);

#[derive(Debug, Default)]
struct Members {
    next: u32,
    /// Whether those who come are followed at once.
    following: bool,
    by_number: BTreeMap<WorkerId, Member>,
}

#[derive(Debug)]
struct Member {
    link: Arc<Link>,
    follower: Option<JoinHandle<()>>,
}

impl Roster {
    pub fn get(&self, id: WorkerId) -> Option<Arc<Link>> {
        self.read().by_number.get(&id).map(|member| Arc::clone(&member.link))
    }

    /// Ascending by number.
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.read().by_number.values().map(|member| Arc::clone(&member.link)).collect()
    }

    /// Followed from now on, or from when the router serves.
    pub fn add(&self, shared: &Arc<Shared>, url: &str) -> Result<WorkerId, AddError> {
        check_url(url).map_err(AddError::Url)?;
        let mut members = self.write();
        let known = members.by_number.values().find(|member| member.link.url == url);
        if let Some(member) = known {
            return Err(AddError::Known { url: url.to_owned(), id: member.link.id });
        }
        if members.by_number.len() >= MOST {
            return Err(AddError::Full);
        }
        let id = WorkerId(members.next);
        let link = Link::new(id, url, shared.config.connections_per_worker);
        let expected =
            |error| AddError::Url(format!("'{url}', expected http://host:port: {error}"));
        let link = Arc::new(link.map_err(expected)?);
        members.next += 1;
        let follower = members.following.then(|| follow(shared, &link));
        members.by_number.insert(id, Member { link, follower });
        Ok(id)
    }

    /// When this returns nobody follows the worker any more.
    pub async fn remove(&self, id: WorkerId) {
        let removed = self.write().by_number.remove(&id);
        if let Some(follower) = removed.and_then(|member| member.follower) {
            follower.abort();
            let _ = follower.await;
        }
    }

    /// Follows all workers, and those to come, until the result is dropped.
    pub fn follow_all(shared: &Arc<Shared>) -> Following {
        let mut members = shared.roster.write();
        members.following = true;
        for member in members.by_number.values_mut() {
            member.follower = Some(follow(shared, &member.link));
        }
        Following(Arc::clone(shared))
    }

    fn read(&self) -> RwLockReadGuard<'_, Members> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Members> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(shared: &Arc<Shared>, link: &Arc<Link>) -> JoinHandle<()> {
    tokio::spawn(subscribe::follow(Arc::clone(shared), Arc::clone(link)))
}

/// Followers hold the router that holds them; this parts them, however serving ends.
#[derive(Debug)]
pub struct Following(Arc<Shared>);

impl Following {
    /// When this returns nobody is followed.
    pub async fn end(self) {
        for follower in self.stop() {
            let _ = follower.await;
        }
    }

    fn stop(&self) -> Vec<JoinHandle<()>> {
        let mut members = self.0.roster.write();
        members.following = false;
        let members = members.by_number.values_mut();
        let followers: Vec<_> = members.filter_map(|member| member.follower.take()).collect();
        followers.iter().for_each(JoinHandle::abort);
        followers
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop();
    }
}
