//! Following one worker: it joins the fleet with its announcement, and its reports go to the core
//! router.

use super::check;
use super::follow::{self, Followed, Gone};
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::{LEFT, Standing, WorkerLink};
use crate::source::event::{Announcement, EventSource, FeedEnd, Told};
use crate::state::RouterState;
use std::sync::Arc;
use std::time::Duration;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, SourceId, WorkerId};
use warmpath_core::routing::input::Input;

/// How often a worker that drains is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Follows a worker for ever. When the task is dropped, the fleet stays as it is.
pub async fn follow(state: Arc<RouterState>, link: Arc<WorkerLink>) {
    follow::follow(FollowedWorker {
        state,
        link,
        joined: None,
        terms: None,
        instance: String::new(),
    })
    .await;
}

struct FollowedWorker {
    state: Arc<RouterState>,
    link: Arc<WorkerLink>,
    /// The epoch that joined the core router's fleet.
    joined: Option<u64>,
    /// What it announced last.
    terms: Option<FleetTerms>,
    /// The process that it said it is.
    instance: String,
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
    fn admit(&mut self, announcement: Announcement) -> Result<(), FeedEnd> {
        self.link.set_given(announcement.name.clone());
        self.check(&announcement)?;
        let pool = || FeedEnd::Refused("it is a pool, expected a worker".to_owned());
        let info = announcement.worker.ok_or_else(pool)?;
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
        self.link.set_joined(epoch);
        self.state.router.tell(Input::Joined(info));
        let (worker, url, name) = (&self.link.name, &self.link.url, self.link.given());
        tracing::info!(worker, name, url, epoch, "joined");
        self.state.events.worker("joined", &self.link, "");
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

    fn booked(
        &self,
        (epoch, seq): (u64, u64),
        blocks_by_tier: [u64; MAX_TIERS],
        told: Option<Told>,
    ) {
        let worker = self.link.id;
        let booked = self.state.router.fleet(|fleet| {
            let state = fleet.worker(worker)?;
            let waiting = state.queued_requests();
            let size = u64::from(state.info.block_size.max(1));
            let booked = state.booked_tokens().div_ceil(size);
            let used = told.and_then(|told| told.used).zip(state.info.total_blocks);
            let used = used.map(|(share, total)| (share * total as f64) as u64);
            Some(LoadReport {
                worker,
                epoch,
                seq,
                waiting: told.map_or(waiting, |told| told.waiting),
                running: told.map_or(state.active().saturating_sub(waiting), |told| told.running),
                queued_prefill_tokens: state.queued_tokens(),
                blocks_by_tier,
                blocks_in_use: used.unwrap_or(booked),
                digest: None,
            })
        });
        booked.into_iter().for_each(|report| self.load(report));
    }

    fn draining(&self) -> Result<(), FeedEnd> {
        tracing::info!(worker = self.link.title(), url = self.link.url, "draining");
        self.state.events.worker("draining", &self.link, "by itself");
        self.state.router.tell(Input::Draining(self.link.id));
        Ok(())
    }

    fn forget(&mut self, why: Gone<'_>) {
        // First the core router: requests that wait for the standing free room on the worker, and no
        // held request may be sent there.
        let joined = self.joined.take().is_some();
        let id = self.link.id;
        let drained = self
            .state
            .router
            .fleet(|fleet| fleet.worker(id).is_some_and(|worker| worker.is_draining()));
        if joined {
            forget(&self.state, &self.link);
        }
        let standing = match why {
            Gone::Lost(why) if joined && drained => Standing::Away(format!("{LEFT}: {why}")),
            Gone::Lost(_) if self.link.standing().has_left() => self.link.standing(),
            Gone::Lost(why) => Standing::Away(why.to_owned()),
            Gone::Refused(why) => Standing::Refused(why.to_owned()),
            Gone::Same(why) => Standing::Same(why.to_owned()),
        };
        if matches!(why, Gone::Lost(_) | Gone::Same(_)) {
            self.state.instances.release(id);
            self.state.agreement.withdraw(id);
        }
        let before = self.link.standing();
        match &standing {
            Standing::Away(why) if joined => self.state.events.worker("lost", &self.link, why),
            Standing::Refused(why) if before != standing => {
                self.state.events.worker("refused", &self.link, why);
            }
            Standing::Same(why) if before != standing => {
                tracing::warn!(
                    worker = self.link.title(),
                    url = self.link.url,
                    why,
                    "joined to it"
                );
                self.state.events.worker("same", &self.link, why);
                let url = &self.link.url;
                self.state.publish(|status| status.refused.retain(|(refused, _)| refused != url));
            }
            _ => {}
        }
        self.link.set_standing(standing);
    }

    /// The worker drains before it is left, as far as the time for draining goes.
    fn misfit(&self) -> impl Future<Output = FeedEnd> + Send + 'static {
        let (state, link) = (Arc::clone(&self.state), Arc::clone(&self.link));
        let (own, instance) = (self.terms.clone(), self.instance.clone());
        async move {
            let (mut served, mut taken) = (state.agreement.watch(), state.instances.watch());
            let end = loop {
                if let Some(own) = &own
                    && let Err(why) = state.agreement.check_served(own)
                {
                    break FeedEnd::Refused(why);
                }
                let holder = state.instances.holder(&instance);
                if let Some(holder) = holder.filter(|&holder| holder != link.id) {
                    break FeedEnd::Same(same(&state, holder));
                }
                tokio::select! {
                    biased;
                    () = served.changed() => {}
                    () = taken.changed() => {}
                }
            };
            drain(&state, &link, &end).await;
            end
        }
    }
}

/// Sends no more requests to a worker, and waits for those that it has.
async fn drain(state: &RouterState, link: &WorkerLink, end: &FeedEnd) {
    let (FeedEnd::Refused(why) | FeedEnd::Same(why)) = end else { return };
    let limit = Duration::from_millis(state.config.drain_timeout_ms);
    state.router.tell(Input::Draining(link.id));
    state.events.worker("draining", link, why);
    tracing::warn!(worker = link.title(), url = link.url, why, "draining");
    let idle = async {
        while state.busy_with(link.id) > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    let _ = tokio::time::timeout(limit, idle).await;
}

/// Which number a worker has already.
fn same(state: &RouterState, holder: WorkerId) -> String {
    let at = state.roster.get(holder).map_or_else(String::new, |link| link.url.clone());
    format!("the same worker as {holder} at {at}")
}

impl FollowedWorker {
    /// The URLs of workers with lower numbers.
    fn urls_before(&self) -> Vec<String> {
        let links = self.state.roster.links().into_iter();
        links.take_while(|link| link.id < self.link.id).map(|link| link.url.clone()).collect()
    }

    fn check(&mut self, announcement: &Announcement) -> Result<(), FeedEnd> {
        let (state, id) = (&self.state, self.link.id);
        let claimed = state.instances.claim(&announcement.instance, id);
        claimed.map_err(|holder| FeedEnd::Same(same(state, holder)))?;
        self.instance.clone_from(&announcement.instance);
        let checked = check::check_speedup(announcement, state.config.speedup);
        if checked.is_err() || announcement.worker.is_none() {
            state.agreement.withdraw(id);
        }
        checked.map_err(FeedEnd::Refused)?;
        if announcement.worker.is_some() {
            let terms = check::terms(announcement);
            state.agreement.vote(id, &terms).map_err(FeedEnd::Refused)?;
            self.terms = Some(terms);
        }
        Ok(())
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
    state.instances.release(link.id);
    state.agreement.withdraw(link.id);
    state.events.worker("removed", link, "by the operator");
    state.router.tell(Input::Undrained(link.id));
    state.publish(|status| status.refused.retain(|(refused, _)| *refused != link.url));
    tracing::info!(worker = link.name, url = link.url, "removed");
}
