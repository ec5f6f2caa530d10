//! Which protocols a worker or a pool at a URL speaks. This is the one place that decides it: a
//! worker with another engine contract, or another feed, is made here. An error says what is wrong
//! with the URL.

use crate::engines::EngineConfig;
use crate::fleet::pool::PoolLink;
use crate::fleet::worker::WorkerLink;
use crate::source::event::EventSource;
use crate::source::vllm_events::{EngineEvents, Salts};
use crate::source::watch::{PoolWatch, WorkerWatch};
use crate::upstream;
use crate::upstream::grpc::Connections;
use std::collections::BTreeMap;
use tonic::transport::Channel;
use warmpath_core::id::{PoolId, WorkerId};
use warmpath_proto::transport::{self, Dialling};

/// How workers and pools are reached.
#[derive(Clone, Debug)]
pub struct Connecting {
    /// Connections to each worker for requests.
    pub connections: usize,
    pub dialling: Dialling,
    /// Workers that are real engines, by their URLs in one spelling.
    pub engines: BTreeMap<String, EngineConfig>,
    pub salts: Salts,
}

/// A worker. Nothing connects before the first use.
pub fn worker(id: WorkerId, url: &str, how: &Connecting) -> Result<WorkerLink, String> {
    let channels = Connections::new(url, how.connections, || channel(url, how))?;
    let source: Box<dyn EventSource> = match how.engines.get(url) {
        None => Box::new(WorkerWatch::new(id, channels.control())),
        Some(engine) => {
            let (dialler, salts) = (how.dialling.dialler.clone(), how.salts.clone());
            let control = channels.control();
            Box::new(EngineEvents::new(id, engine.clone(), control, dialler, salts))
        }
    };
    Ok(WorkerLink::new(id, url, upstream::Upstream::Grpc(channels), source))
}

/// A pool. Nothing connects before it is followed.
pub fn pool(id: PoolId, url: &str, how: &Connecting) -> Result<PoolLink, String> {
    let source = Box::new(PoolWatch::new(id, channel(url, how)?));
    Ok(PoolLink { id, url: url.to_owned(), name: id.to_string(), source })
}

fn channel(url: &str, how: &Connecting) -> Result<Channel, String> {
    if url.starts_with("https:") && how.dialling.tls.is_none() {
        return Err("there is no [upstream_tls]".to_owned());
    }
    transport::channel_with(url, &how.dialling).map_err(|error| error.to_string())
}
