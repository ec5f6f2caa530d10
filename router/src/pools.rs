//! Following the pools: what each holds into the index, by the same rules as a worker's. A pool takes no
//! requests, so the heart hears of it only when it is lost.

use crate::feed::{self, End, FIRST_BACKOFF, MAX_BACKOFF, REFUSED_BACKOFF, SILENCE};
use crate::metrics;
use crate::shared::Shared;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Error};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::routing::input::Input;
use warmpath_proto::convert::{self, SnapshotReader};
use warmpath_proto::transport::{self, MAX_FEED_BYTES};
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{Hello, WatchRequest};

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
    let mut follower = Follower { pool: &shared.pools[place], shared: &shared, epoch: None };
    let mut backoff = FIRST_BACKOFF;
    let mut last = String::new();
    loop {
        follower.wait_for_terms().await;
        let before = follower.epoch;
        let Err(end) = follower.watch().await;
        if follower.epoch.is_some() && follower.epoch != before {
            backoff = FIRST_BACKOFF;
            last.clear();
        }
        let wait = match end {
            End::Resync { why, kind } => {
                follower.count_resync(&why, kind);
                FIRST_BACKOFF
            }
            End::Refused(why) => {
                follower.refuse(why);
                REFUSED_BACKOFF
            }
            End::Lost(why) => {
                follower.lose(&why, &mut last);
                let wait = backoff;
                backoff = (backoff * 2).min(MAX_BACKOFF);
                wait
            }
        };
        sleep(wait).await;
    }
}

struct Follower<'a> {
    shared: &'a Shared,
    pool: &'a Pool,
    /// Of the life of it that is followed.
    epoch: Option<u64>,
}

impl Follower<'_> {
    /// What a block is the workers say: a pool that came first could make a router refuse them all.
    async fn wait_for_terms(&self) {
        let mut status = self.shared.status.subscribe();
        // Its sender is held by what this router shares.
        let _ = status.wait_for(|_| self.shared.terms.get().is_some()).await;
    }

    async fn watch(&mut self) -> Result<Infallible, End> {
        let mut client =
            PoolClient::new(self.pool.channel.clone()).max_decoding_message_size(MAX_FEED_BYTES);
        let opened = timeout(SILENCE, client.watch(WatchRequest {})).await;
        let opened = opened.map_err(|_| feed::silent())?.map_err(|status| feed::lost(&status))?;
        let mut messages = opened.into_inner();
        let hello = feed::hello(&mut messages).await?;
        self.admit(&hello)?;
        let (block_size, source) = (hello.block_size, SourceId::from(self.pool.id));
        let mut reader = SnapshotReader::new(source, block_size);
        loop {
            match feed::next(&mut messages).await? {
                Message::Hello(_) => return Err(End::Lost("it said hello twice".to_owned())),
                Message::Snapshot(chunk) => {
                    if let Some(snapshot) = reader.push(&chunk)? {
                        self.shared.index_mut().replace(&snapshot)?;
                    }
                }
                Message::Batch(batch) => {
                    let batch = convert::batch_from_wire(source, block_size, &batch)?;
                    metrics::kv_batch(&self.pool.name);
                    self.shared.index_mut().apply(&batch)?;
                }
                Message::Load(report) => {
                    let digest = report.digest.as_ref().map(convert::digest_from_wire);
                    let of = (report.epoch, report.seq);
                    feed::check_digest(self.shared, source, of, digest)?;
                }
                Message::Heartbeat(beat) => feed::check_heartbeat(self.shared, source, &beat)?,
                Message::Draining(_) => return Err(End::Lost("it is draining".to_owned())),
            }
        }
    }

    /// Takes the pool up, unless it does not match.
    fn admit(&mut self, hello: &Hello) -> Result<(), End> {
        self.check(hello).map_err(End::Refused)?;
        if self.epoch.is_some_and(|epoch| epoch != hello.epoch) {
            self.forget();
        }
        if self.epoch.replace(hello.epoch) == Some(hello.epoch) {
            return Ok(());
        }
        let (pool, url) = (&self.pool.name, &self.pool.url);
        tracing::info!(pool, url, epoch = hello.epoch, "followed");
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            status.pools.push(url.clone());
            status.pools.sort();
        });
        Ok(())
    }

    fn check(&self, hello: &Hello) -> Result<(), String> {
        convert::check_block_size(hello).map_err(|error| error.to_string())?;
        if hello.prefill.is_some() {
            return Err("it is a worker, expected a pool".to_owned());
        }
        feed::check_common(self.shared, hello)?;
        let terms = self.shared.terms.get().ok_or("no worker has joined yet")?;
        if hello.block_size != terms.block_size {
            let (theirs, ours) = (hello.block_size, terms.block_size);
            return Err(format!("block size is {theirs} tokens, this router's is {ours}"));
        }
        if hello.model != terms.model {
            let (theirs, ours) = (&hello.model, &terms.model);
            return Err(format!("model is '{theirs}', this router's is '{ours}'"));
        }
        Ok(())
    }

    fn count_resync(&self, why: &str, kind: &'static str) {
        self.shared.resyncs.fetch_add(1, Ordering::Relaxed);
        metrics::resync(&self.pool.name, kind);
        tracing::warn!(pool = self.pool.name, why, "feed is watched anew from a snapshot");
    }

    /// `last`: what was said of it before, so that it is said once.
    fn lose(&mut self, why: &str, last: &mut String) {
        let (pool, url) = (&self.pool.name, &self.pool.url);
        if self.epoch.is_some() {
            self.forget();
            tracing::warn!(pool, url, why, "lost");
        } else if last != why {
            tracing::info!(pool, url, why, "not reached yet");
            why.clone_into(last);
        }
    }

    fn refuse(&mut self, why: String) {
        self.forget();
        let (pool, url) = (&self.pool.name, &self.pool.url);
        let told = self.shared.status.borrow().refused.contains(&(url.clone(), why.clone()));
        if !told {
            tracing::error!(pool, url, why, "refused");
        }
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            status.refused.push((url.clone(), why));
            status.refused.sort();
        });
    }

    /// Nothing is known of what it holds any more.
    fn forget(&mut self) {
        if self.epoch.take().is_none() {
            return;
        }
        let (source, url) = (SourceId::from(self.pool.id), &self.pool.url);
        self.shared.heart.tell(Input::Lost(source));
        self.shared.index_mut().forget(source);
        self.shared.publish(|status| status.pools.retain(|followed| followed != url));
    }
}
