//! Following the pools: what each holds into the index, by the same rules as a worker's. A pool takes no
//! requests, so the heart hears of it only when it is lost.

use crate::feed::{self, End};
use crate::follow::{self, Gone, Source};
use crate::shared::Shared;
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Error};
use tonic::{Response, Status, Streaming};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::routing::input::Input;
use warmpath_proto::convert;
use warmpath_proto::transport::{self, MAX_FEED_BYTES};
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::{Hello, LoadReport, WatchRequest, WatchResponse};

/// A pool of this router's configuration. Its number is its place there.
#[derive(Debug)]
pub struct Pool {
    pub id: PoolId,
    pub url: String,
    name: String,
    channel: Channel,
}

impl Pool {
    /// Connects when it is followed.
    pub fn new(id: PoolId, url: &str) -> Result<Self, Error> {
        let channel = transport::channel(url)?;
        Ok(Self { id, url: url.to_owned(), name: id.to_string(), channel })
    }
}

/// Follows every pool until the result is dropped.
pub fn follow_all(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for place in 0..shared.pools.len() {
        tasks.spawn(follow(Arc::clone(shared), place));
    }
    tasks
}

async fn follow(shared: Arc<Shared>, place: usize) {
    follow::follow(Follower { shared, place, epoch: None }).await;
}

struct Follower {
    shared: Arc<Shared>,
    place: usize,
    /// Of the life of it that is followed.
    epoch: Option<u64>,
}

impl Source for Follower {
    fn shared(&self) -> &Shared {
        &self.shared
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

    fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// What a block is the workers say: a pool that came first could make a router refuse them all.
    async fn ready(&self) {
        let mut status = self.shared.status.subscribe();
        // Its sender is held by what this router shares.
        let _ = status.wait_for(|_| self.shared.terms.get().is_some()).await;
    }

    async fn watch(&self) -> Result<Response<Streaming<WatchResponse>>, Status> {
        let client = PoolClient::new(self.pool().channel.clone());
        client.max_decoding_message_size(MAX_FEED_BYTES).watch(WatchRequest {}).await
    }

    /// Takes the pool up, unless it does not match.
    fn admit(&mut self, hello: &Hello) -> Result<(), String> {
        self.check(hello)?;
        if self.epoch.is_some_and(|epoch| epoch != hello.epoch) {
            self.forget(Gone::Lost("it began a new epoch"));
        }
        if self.epoch.replace(hello.epoch) == Some(hello.epoch) {
            return Ok(());
        }
        let Pool { name: pool, url, .. } = self.pool();
        tracing::info!(pool, url, epoch = hello.epoch, "followed");
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            status.pools.push(url.clone());
            status.pools.sort();
        });
        Ok(())
    }

    /// How busy it is nobody asks.
    fn load(&self, _: &LoadReport) -> Result<(), End> {
        Ok(())
    }

    fn draining(&self) -> Result<(), End> {
        Err(End::Lost("it is draining".to_owned()))
    }

    fn forget(&mut self, _: Gone<'_>) {
        if self.epoch.take().is_none() {
            return;
        }
        let Pool { id, url, .. } = self.pool();
        self.shared.heart.tell(Input::Lost(SourceId::from(*id)));
        self.shared.index_mut().forget(SourceId::from(*id));
        self.shared.publish(|status| status.pools.retain(|followed| followed != url));
    }
}

impl Follower {
    fn pool(&self) -> &Pool {
        &self.shared.pools[self.place]
    }

    fn check(&self, hello: &Hello) -> Result<(), String> {
        convert::check_block_size(hello).map_err(|error| error.to_string())?;
        if hello.prefill.is_some() {
            return Err("it is a worker, expected a pool".to_owned());
        }
        feed::check_common(&self.shared, hello)?;
        feed::check_terms(hello, self.shared.terms.get().ok_or("no worker has joined yet")?)
    }
}
