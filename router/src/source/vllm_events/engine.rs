//! One engine: how to reach its events, and what is known of it before the first one.

use super::blocks::Blocks;
use super::feed::link_lost;
use super::follow::{Follower, Stream};
use super::guess::{Guess, SERVED};
use super::load::Gauges;
use crate::engines::{AUTO, EngineConfig, NONE};
use crate::source::event::{
    Announcement, EventSource, Events, FeedEnd, Opened, Opening, unless_silent,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status};
use warmpath_core::block::TokenBlocks;
use warmpath_core::engine::Engine;
use warmpath_core::id::WorkerId;
use warmpath_kv_events::endpoint_address;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_proto::clock;
use warmpath_proto::control::SPEEDUP;
use warmpath_proto::sockets::Dialler;
use warmpath_proto::vllm;
use warmpath_proto::vllm::control_client::ControlClient;

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
    config: EngineConfig,
    channel: Channel,
    dialler: Dialler,
    salts: Salts,
    /// One life of the engine. An engine does not number its lives, so this router does.
    epoch: Arc<AtomicU64>,
    /// Where prompts go that it has computed, while it is followed by these.
    served: Mutex<Option<mpsc::Sender<TokenBlocks>>>,
}

/// What the engine and its configuration say.
struct Facts {
    info: vllm::ServerInfo,
    model: String,
    speedup: f64,
}

impl EngineEvents {
    pub fn new(
        id: WorkerId,
        config: EngineConfig,
        channel: Channel,
        dialler: Dialler,
        salts: Salts,
    ) -> Self {
        let epoch = Arc::new(AtomicU64::new(clock::life()));
        let served = Mutex::default();
        Self { id, config, channel, dialler, salts, epoch, served }
    }

    /// Asks the engine what it is. One that does not speak `vllm.Control` is described by its configuration.
    async fn facts(&self) -> Result<Facts, FeedEnd> {
        let mut control = ControlClient::new(self.channel.clone());
        let told = unless_silent(control.get_server_info(vllm::GetServerInfoRequest {})).await?;
        let mut facts = match told {
            Ok(told) => {
                let speedup = told.metadata().get(SPEEDUP);
                let speedup = speedup.and_then(|speedup| speedup.to_str().ok()?.parse().ok());
                let info = told.into_inner();
                Facts { info, model: String::new(), speedup: speedup.unwrap_or(1.0) }
            }
            Err(status) if status.code() == Code::Unimplemented => {
                Facts { info: vllm::ServerInfo::default(), model: String::new(), speedup: 1.0 }
            }
            Err(status) => return Err(lost(&status)),
        };
        facts.model = match &self.config.model {
            Some(model) => model.clone(),
            None => {
                let told = control.get_model_info(vllm::GetModelInfoRequest {});
                match unless_silent(told).await? {
                    Ok(told) => told.into_inner().served_model_name,
                    Err(status) if status.code() == Code::Unimplemented => String::new(),
                    Err(status) => return Err(lost(&status)),
                }
            }
        };
        Ok(facts)
    }

    /// The endpoints of the events and of their replay, and the topic.
    async fn endpoints(&self) -> Result<(String, Option<String>, String), FeedEnd> {
        let EngineConfig { kv_events, kv_events_replay, kv_events_topic, .. } = &self.config;
        if kv_events != AUTO {
            return Ok((kv_events.clone(), kv_events_replay.clone(), kv_events_topic.clone()));
        }
        let mut control = ControlClient::new(self.channel.clone());
        let told = control.get_kv_event_sources(vllm::GetKvEventSourcesRequest {});
        let told = unless_silent(told).await?.map_err(|status| lost(&status))?;
        let mut sources = told.into_inner().sources;
        let Some(source) = sources.pop().filter(|_| sources.is_empty()) else {
            let why = "it does not name one source of KV events, expected kv_events = \"tcp://host:port\"";
            return Err(FeedEnd::Refused(why.to_owned()));
        };
        let reachable = |endpoint: String| self.reachable(endpoint);
        let replay = Some(source.replay_endpoint).filter(|endpoint| !endpoint.is_empty());
        Ok((reachable(source.endpoint), replay.map(reachable), source.topic))
    }

    /// An engine that listens at all addresses is reached at the host of its URL.
    fn reachable(&self, endpoint: String) -> String {
        let host = self.config.url.split_once("://").map_or("", |(_, authority)| authority);
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
        let facts = self.facts().await?;
        let refused = |why: String| Err(FeedEnd::Refused(why));
        let ranks = facts.info.parallelism.map_or(1, |parallelism| parallelism.data_parallel_size);
        if ranks > 1 {
            return refused(format!(
                "it has {ranks} data-parallel ranks, expected an engine with one"
            ));
        }
        let told = facts.info.kv_block_size;
        let block_size = self.config.block_size.unwrap_or(told);
        if !(1..=65_536).contains(&block_size) {
            let why = "it does not say how many tokens its blocks have, expected block_size in its [[worker]]";
            return refused(why.to_owned());
        }
        if facts.model.is_empty() {
            return refused(
                "it does not name its model, expected model in its [[worker]]".to_owned(),
            );
        }
        let total = self.config.blocks.or(Some(facts.info.total_kv_blocks).filter(|&n| n > 0));
        let mut profile = self.config.profile.clone();
        profile.set_block_size(block_size);
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut info = Engine::new(self.id, epoch, profile).info();
        info.total_blocks = total;
        if let Some(seqs) = self.config.max_num_seqs {
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
            name: self.config.name.clone(),
            instance: facts.info.instance_id,
            worker: Some(info),
        };
        let events = if self.config.kv_events == NONE {
            self.guess(instance, total)?
        } else {
            self.follow(Blocks::new(block_size, &model, self.salts.only.clone(), total)).await?
        };
        Ok(Opened { announcement, events })
    }

    async fn follow(&self, blocks: Blocks) -> Result<Events, FeedEnd> {
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
        Ok(Follower::new(self.id, epoch, blocks, subscription, replay, gauges).start())
    }

    fn guess(&self, instance: String, total: Option<u64>) -> Result<Events, FeedEnd> {
        let Some(room) = total else {
            let why = "it does not say how many blocks it has, expected blocks in its [[worker]]";
            return Err(FeedEnd::Refused(why.to_owned()));
        };
        let (sender, served) = mpsc::channel(SERVED);
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let (epoch, channel) = (Arc::clone(&self.epoch), self.channel.clone());
        let (id, gauges) = (self.id, self.gauges());
        Ok(Guess { id, epoch, channel, instance, room, gauges, served }.start())
    }

    fn gauges(&self) -> Option<Gauges> {
        let url = self.config.metrics.as_deref()?.parse().ok()?;
        Some(Gauges::read(self.id, url))
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

fn lost(status: &Status) -> FeedEnd {
    FeedEnd::Lost(status.message().to_owned())
}
