//! Following one worker: it joins the fleet with its announcement, and its reports go to the core
//! router.

use super::check;
use super::follow::{self, Followed, Gone};
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::{Standing, WorkerLink};
use crate::source::event::{Announcement, EventSource, FeedEnd};
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::event::LoadReport;
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Input;

/// Follows a worker for ever. When the task is dropped, the fleet stays as it is.
pub async fn follow(state: Arc<RouterState>, link: Arc<WorkerLink>) {
    follow::follow(FollowedWorker { state, link, joined: None }).await;
}

struct FollowedWorker {
    state: Arc<RouterState>,
    link: Arc<WorkerLink>,
    /// The epoch that joined the core router's fleet.
    joined: Option<u64>,
}

impl Followed for FollowedWorker {
    fn state(&self) -> &RouterState {
        &self.state
    }

    fn id(&self) -> SourceId {
        self.link.id.into()
    }

    fn name(&self) -> &str {
        &self.link.name
    }

    fn url(&self) -> &str {
        &self.link.url
    }

    fn source(&self) -> &dyn EventSource {
        &*self.link.source
    }

    fn epoch(&self) -> Option<u64> {
        self.joined
    }

    async fn ready(&self) {}

    /// Joins the worker, unless it does not match.
    fn admit(&mut self, announcement: Announcement) -> Result<(), String> {
        self.check(&announcement)?;
        let info = announcement.worker.ok_or("it is a pool, expected a worker")?;
        if self.joined == Some(info.epoch) {
            return Ok(());
        }
        let (worker, url, epoch) = (&self.link.name, &self.link.url, info.epoch);
        if self.joined.is_some() {
            let why = "it began a new epoch";
            tracing::warn!(worker, url, why, "lost");
            self.forget(Gone::Lost(why));
        }
        self.joined = Some(epoch);
        // First the standing: a request that is sent to a worker without it counts as lost.
        self.link.set_standing(Standing::Joined);
        self.state.router.tell(Input::Joined(info));
        let (worker, url) = (&self.link.name, &self.link.url);
        tracing::info!(worker, url, epoch, "joined");
        let before = self.urls_before();
        self.state.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            let at = status.joined.iter().take_while(|joined| before.contains(joined)).count();
            status.joined.insert(at, url.clone());
        });
        Ok(())
    }

    fn load(&self, report: LoadReport) {
        self.state.router.tell(Input::Load(report));
    }

    fn draining(&self) -> Result<(), FeedEnd> {
        tracing::info!(worker = self.link.name, url = self.link.url, "draining");
        self.state.router.tell(Input::Draining(self.link.id));
        Ok(())
    }

    fn forget(&mut self, why: Gone<'_>) {
        // First the core router: requests that wait for the standing free room on the worker, and no
        // held request may be sent there.
        if self.joined.take().is_some() {
            forget(&self.state, &self.link);
        }
        self.link.set_standing(match why {
            Gone::Lost(why) => Standing::Away(why.to_owned()),
            Gone::Refused(why) => Standing::Refused(why.to_owned()),
        });
    }
}

impl FollowedWorker {
    /// The URLs of workers with lower numbers.
    fn urls_before(&self) -> Vec<String> {
        let links = self.state.roster.links().into_iter();
        links.take_while(|link| link.id < self.link.id).map(|link| link.url.clone()).collect()
    }

    fn check(&self, announcement: &Announcement) -> Result<(), String> {
        let config = &self.state.config;
        check::check_speedup(announcement, config.speedup)?;
        let ours = FleetTerms {
            model: config.model.clone().unwrap_or_else(|| announcement.model.clone()),
            block_size: config.block_size.unwrap_or(announcement.block_size),
        };
        let terms = self.state.terms.get().unwrap_or(&ours);
        check::check_terms(announcement, terms)?;
        // Two workers may join as the first at the same time. One of them sets the terms; the other
        // one is compared with them here.
        let agreed = self.state.terms.get_or_init(|| ours.clone());
        if *agreed == ours { Ok(()) } else { Err(format!("{ours:?}, the fleet has {agreed:?}")) }
    }
}

/// Takes the worker out of the fleet and its blocks out of the index.
fn forget(state: &RouterState, link: &WorkerLink) {
    let source = SourceId::Worker(link.id);
    state.router.tell(Input::Lost(source));
    state.index.write().forget(source);
    state.publish(|status| status.joined.retain(|joined| *joined != link.url));
}

/// Removes every trace of a worker that is not followed any more and never will be.
pub fn strike_out(state: &RouterState, link: &WorkerLink) {
    forget(state, link);
    state.router.tell(Input::Undrained(link.id));
    state.publish(|status| status.refused.retain(|(refused, _)| *refused != link.url));
    tracing::info!(worker = link.name, url = link.url, "removed");
}
