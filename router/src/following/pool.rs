//! Following one pool: its blocks go into the prefix index, by the same rules as a worker's. A pool
//! takes no requests, so the core router hears of it only when it is lost.

use super::check;
use super::follow::{self, Followed, Gone};
use crate::fleet::pool::PoolLink;
use crate::fleet::status::FleetTerms;
use crate::source::event::{Announcement, EventSource, FeedEnd, Told};
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, SourceId};
use warmpath_core::routing::input::Input;

/// Follows the pool at this place of the configuration, for ever.
pub async fn follow(state: Arc<RouterState>, place: usize) {
    follow::follow(FollowedPool { state, place, epoch: None, terms: None }).await;
}

struct FollowedPool {
    state: Arc<RouterState>,
    place: usize,
    /// The epoch that is followed.
    epoch: Option<u64>,
    /// What it announced last.
    terms: Option<FleetTerms>,
}

impl Followed for FollowedPool {
    fn state(&self) -> &RouterState {
        &self.state
    }

    fn id(&self) -> SourceId {
        self.pool().id.into()
    }

    fn name(&self) -> &str {
        &self.pool().name
    }

    fn url(&self) -> &str {
        &self.pool().url
    }

    fn source(&self) -> &dyn EventSource {
        &*self.pool().source
    }

    fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Waits for the first worker: the workers decide the model and the block size. A pool has no
    /// vote.
    async fn ready(&self) {
        let mut served = self.state.agreement.watch();
        drop(served.wait_for(Option::is_some).await);
    }

    /// Starts to follow the pool, unless it does not match.
    fn admit(&mut self, announcement: Announcement) -> Result<(), FeedEnd> {
        let terms = check::terms(&announcement);
        check::check_speedup(&announcement, self.state.config.speedup)
            .and_then(|()| self.state.agreement.check_served(&terms))
            .map_err(FeedEnd::Refused)?;
        self.terms = Some(terms);
        let epoch = announcement.epoch;
        if self.epoch.is_some_and(|followed| followed != epoch) {
            self.forget(Gone::Lost("it began a new epoch"));
        }
        if self.epoch.replace(epoch) == Some(epoch) {
            return Ok(());
        }
        let PoolLink { name: pool, url, .. } = self.pool();
        tracing::info!(pool, url, epoch, "followed");
        self.state.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            status.pools.push(url.clone());
            status.pools.sort();
        });
        Ok(())
    }

    /// No policy asks how busy a pool is.
    fn load(&self, _: LoadReport) {}

    fn booked(&self, _: (u64, u64), _: [u64; MAX_TIERS], _: Option<Told>) {}

    fn draining(&self) -> Result<(), FeedEnd> {
        Err(FeedEnd::Lost("it is draining".to_owned()))
    }

    fn misfit(&self) -> impl Future<Output = FeedEnd> + Send + 'static {
        let (state, own) = (Arc::clone(&self.state), self.terms.clone());
        async move {
            let mut served = state.agreement.watch();
            loop {
                let checked = own.as_ref().map(|own| state.agreement.check_served(own));
                if let Some(Err(why)) = checked {
                    return FeedEnd::Refused(why);
                }
                served.changed().await;
            }
        }
    }

    fn forget(&mut self, _: Gone<'_>) {
        if self.epoch.take().is_none() {
            return;
        }
        let PoolLink { id, url, .. } = self.pool();
        self.state.router.tell(Input::Lost(SourceId::from(*id)));
        self.state.index.write().forget(SourceId::from(*id));
        self.state.publish(|status| status.pools.retain(|followed| followed != url));
    }
}

impl FollowedPool {
    fn pool(&self) -> &PoolLink {
        &self.state.pools[self.place]
    }
}
