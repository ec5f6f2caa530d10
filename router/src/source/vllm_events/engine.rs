//! One engine: how to reach its events, and what is known of it before the first one.

use super::blocks::Blocks;
use super::control::Control;
use super::feed::link_lost;
use super::follow::{Follower, Stream};
use super::guess::{Guess, SERVED};
use super::load::{self, Gauges};
use crate::engines::{AUTO, EngineConfig, EngineRank, NONE};
use crate::source::event::{
    Announcement, EventSource, Events, FeedEnd, Opened, Opening, unless_silent,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use warmpath_core::block::TokenBlocks;
use warmpath_core::engine::Engine;
use warmpath_core::id::WorkerId;
use warmpath_kv_events::endpoint_address;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_proto::clock;
use warmpath_proto::sockets::Dialler;

/// The salts of blocks of which an engine does not say it.
#[derive(Clone, Default, Debug)]
pub struct Salts {
    /// The salt of all requests that name none, if all have the same.
    pub only: Option<String>,
}

/// The events of one engine.
#[derive(Debug)]
pub struct EngineEvents {
    /// The router's number of the worker.
    id: WorkerId,
    engine: EngineRank,
    control: Control,
    dialler: Dialler,
    salts: Salts,
    /// One life of the engine. An engine does not number its lives, so this router does.
    epoch: Arc<AtomicU64>,
    /// Where prompts go that it has computed, while it is followed by these.
    served: Mutex<Option<mpsc::Sender<TokenBlocks>>>,
}

impl EngineEvents {
    pub fn new(
        id: WorkerId,
        engine: EngineRank,
        control: Control,
        dialler: Dialler,
        salts: Salts,
    ) -> Self {
        let epoch = Arc::new(AtomicU64::new(clock::life()));
        let served = Mutex::default();
        Self { id, engine, control, dialler, salts, epoch, served }
    }

    /// The endpoints of the events and of their replay, and the topic.
    async fn endpoints(&self) -> Result<(String, Option<String>, String), FeedEnd> {
        let EngineConfig { kv_events, kv_events_replay, kv_events_topic, .. } = &self.engine.config;
        if kv_events != AUTO {
            let replay = kv_events_replay.as_ref().map(|replay| self.engine.endpoint(replay));
            return Ok((self.engine.endpoint(kv_events), replay, kv_events_topic.clone()));
        }
        let source = self.control.source(self.engine.rank).await?;
        let reachable = |endpoint: String| self.reachable(endpoint);
        let replay = Some(source.replay_endpoint).filter(|endpoint| !endpoint.is_empty());
        Ok((reachable(source.endpoint), replay.map(reachable), source.topic))
    }

    /// An engine that listens at all addresses is reached at the host of its URL.
    fn reachable(&self, endpoint: String) -> String {
        let host = self.engine.config.url.split_once("://").map_or("", |(_, authority)| authority);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        for all in ["tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:"] {
            if let Some(port) = endpoint.strip_prefix(all) {
                return format!("tcp://{host}:{port}");
            }
        }
        endpoint
    }

    async fn dial(&self, endpoint: &str) -> Result<Stream, FeedEnd> {
        let address = endpoint_address(endpoint).map_err(FeedEnd::Refused)?;
        let failed = |error: std::io::Error| FeedEnd::Lost(format!("{endpoint}: {error}"));
        let dialled = async {
            match &self.dialler {
                Dialler::Tcp => {
                    let stream = TcpStream::connect(address).await?;
                    let _ = stream.set_nodelay(true);
                    Ok::<Stream, _>(Box::new(stream))
                }
                Dialler::Other(dial) => {
                    let uri = format!("http://{address}").parse().map_err(std::io::Error::other)?;
                    dial.dial(uri).await
                }
            }
        };
        unless_silent(dialled).await?.map_err(failed)
    }

    async fn open_feed(&self) -> Result<Opened, FeedEnd> {
        let EngineRank { config, rank } = &self.engine;
        let facts = self.control.facts(config.model.as_deref()).await?;
        let refused = |why: &str| Err(FeedEnd::Refused(why.to_owned()));
        let told = facts.info.parallelism.map_or(0, |parallelism| parallelism.data_parallel_size);
        if told > 0 && told != config.data_parallel_ranks {
            return Err(FeedEnd::Refused(format!(
                "its data-parallel size is {told}, expected data_parallel_ranks = {told} in its [[worker]]"
            )));
        }
        let page = match &config.metrics {
            Some(url) if config.block_size.is_none() || config.blocks.is_none() => {
                load::cache(url).await.unwrap_or_default()
            }
            _ => load::Cache::default(),
        };
        let told = Some(facts.info.kv_block_size).filter(|&size| size > 0).or(page.block_size);
        let block_size = config.block_size.or(told).unwrap_or(0);
        if !(1..=65_536).contains(&block_size) {
            return refused(
                "it does not say how many tokens its blocks have, expected block_size in its [[worker]]",
            );
        }
        if facts.model.is_empty() {
            return refused("it does not name its model, expected model in its [[worker]]");
        }
        let told = Some(facts.info.total_kv_blocks).filter(|&blocks| blocks > 0).or(page.blocks);
        let total = config.blocks.or(told);
        let mut profile = config.profile.clone();
        profile.set_block_size(block_size);
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut info = Engine::new(self.id, epoch, profile).info();
        info.total_blocks = total;
        if let Some(seqs) = config.max_num_seqs {
            info.max_num_seqs = seqs;
        } else if let Ok(seqs @ 1..) = u32::try_from(facts.info.max_running_requests) {
            info.max_num_seqs = seqs;
        }
        // Blocks of pools and peers are fetched by warmpath's own workers only.
        (info.pool, info.peers) = (None, None);
        let model = facts.model.clone();
        let instance = facts.info.instance_id.clone();
        let announcement = Announcement {
            epoch,
            model: facts.model,
            block_size,
            speedup: facts.speedup,
            name: self.engine.numbered(&config.name),
            instance: self.engine.numbered(&facts.info.instance_id),
            worker: Some(info),
        };
        let events = if config.kv_events == NONE {
            self.guess(instance, total)?
        } else {
            let blocks = Blocks::new(block_size, &model, self.salts.only.clone(), total);
            self.follow(blocks, rank.unwrap_or(0)).await?
        };
        Ok(Opened { announcement, events })
    }

    async fn follow(&self, blocks: Blocks, rank: u32) -> Result<Events, FeedEnd> {
        let (events, replay, topic) = self.endpoints().await?;
        let stream = self.dial(&events).await?;
        let subscription = unless_silent(Subscription::open(stream, &topic)).await?;
        let subscription = subscription.map_err(|error| link_lost(&error))?;
        let replay = match replay {
            None => None,
            Some(endpoint) => {
                let opened = unless_silent(Replay::open(self.dial(&endpoint).await?)).await?;
                Some(opened.map_err(|error| link_lost(&error))?)
            }
        };
        let epoch = Arc::clone(&self.epoch);
        let gauges = self.gauges();
        Ok(Follower::new(self.id, epoch, (blocks, rank), subscription, replay, gauges).start())
    }

    fn guess(&self, instance: String, total: Option<u64>) -> Result<Events, FeedEnd> {
        let Some(room) = total else {
            let why = "it does not say how many blocks it has, expected blocks in its [[worker]]";
            return Err(FeedEnd::Refused(why.to_owned()));
        };
        let (sender, served) = mpsc::channel(SERVED);
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let (epoch, control) = (Arc::clone(&self.epoch), self.control.clone());
        let (id, gauges) = (self.id, self.gauges());
        Ok(Guess { id, epoch, control, instance, room, gauges, served }.start())
    }

    fn gauges(&self) -> Option<Gauges> {
        let url = self.engine.config.metrics.as_deref()?.parse().ok()?;
        Some(Gauges::read(self.id, url, self.engine.rank))
    }
}

impl EventSource for EngineEvents {
    fn open(&self) -> Opening<'_> {
        Box::pin(self.open_feed())
    }

    fn served(&self, prompt: &TokenBlocks) {
        let sender = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            // Where too many wait, this one is not believed.
            let _ = sender.try_send(prompt.clone());
        }
    }
}
