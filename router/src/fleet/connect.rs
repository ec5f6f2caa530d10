//! Which protocols a worker or a pool at a URL speaks. This is the one place that decides it: a
//! worker with another engine contract, or another feed, is made here. An error says what is wrong
//! with the URL.

use crate::engines::{Api, EngineRank};
use crate::fleet::pool::PoolLink;
use crate::fleet::worker::WorkerLink;
use crate::site::Site;
use crate::source::vllm_events::{Control, EngineEvents, Salts};
use crate::source::watch::{PoolWatch, WorkerWatch};
use crate::upstream::Upstream;
use crate::upstream::grpc::Connections;
use crate::upstream::openai::Engine;
use crate::urls::normal_url;
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
    pub engines: BTreeMap<String, EngineRank>,
    pub salts: Salts,
}

/// The URL of a worker in one spelling. That of an engine's rank ends in its number: `http://host:port#1`.
pub fn spelled(url: &str, how: &Connecting) -> Result<String, String> {
    let normal = normal_url(url)?;
    let is_engine = |url: &String| how.engines.contains_key(url);
    if let Some((_, rank)) = url.split_once('#') {
        let numbered = format!("{normal}#{rank}");
        let no_rank = || format!("'{url}', expected a rank of an engine that [[worker]] names");
        return Some(numbered).filter(is_engine).ok_or_else(no_rank);
    }
    match is_engine(&format!("{normal}#0")) {
        true => Err(format!("'{url}' has several ranks, expected one of them, such as {normal}#0")),
        false => Ok(normal),
    }
}

/// A worker. `url` is in the one spelling. Nothing connects before the first use.
pub fn worker(id: WorkerId, url: &str, how: &Connecting) -> Result<WorkerLink, String> {
    let Some(engine) = how.engines.get(url) else {
        let channels = Connections::new(url, None, how.connections, || channel(url, how))?;
        let source = Box::new(WorkerWatch::new(id, channels.control()));
        return Ok(WorkerLink::new(id, url, Upstream::Grpc(channels), source));
    };
    let (at, rank) = (&*normal_url(&engine.config.url)?, engine.rank);
    let (upstream, control) = match engine.config.api {
        Api::Grpc => {
            let channels = Connections::new(at, rank, how.connections, || channel(at, how))?;
            let control = Control::Grpc(channels.control());
            (Upstream::Grpc(channels), control)
        }
        Api::OpenAi => {
            check_tls(at, how)?;
            let site = Site::new(at, engine.config.api_key.as_ref(), rank, &how.dialling)?;
            (Upstream::OpenAi(Engine::new(site.clone())), Control::Http(site))
        }
    };
    let (dialler, salts) = (how.dialling.dialler.clone(), how.salts.clone());
    let source = Box::new(EngineEvents::new(id, engine.clone(), control, dialler, salts));
    Ok(WorkerLink::new(id, url, upstream, source))
}

/// A pool. Nothing connects before it is followed.
pub fn pool(id: PoolId, url: &str, how: &Connecting) -> Result<PoolLink, String> {
    let source = Box::new(PoolWatch::new(id, channel(url, how)?));
    Ok(PoolLink { id, url: url.to_owned(), name: id.to_string(), source })
}

fn channel(url: &str, how: &Connecting) -> Result<Channel, String> {
    check_tls(url, how)?;
    transport::channel_with(url, &how.dialling).map_err(|error| error.to_string())
}

fn check_tls(url: &str, how: &Connecting) -> Result<(), String> {
    match url.starts_with("https:") && how.dialling.tls.is_none() {
        true => Err("there is no [upstream_tls]".to_owned()),
        false => Ok(()),
    }
}
