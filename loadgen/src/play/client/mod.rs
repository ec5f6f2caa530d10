//! One request at a router that runs, over vLLM's gRPC, OpenAI's HTTP or SGLang's.

mod ask;
mod events;
mod grpc;
mod openai;
mod sglang;
mod web;

pub use ask::{Ask, Ended, Heard};

use super::http::Site;
use anyhow::Result;
use tonic::Status;
use tonic::transport::Channel;

/// How a router is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `http://HOST:PORT` of vLLM's gRPC.
    Grpc(String),
    /// `http://HOST:PORT` of OpenAI's HTTP, and the name of the model that it serves.
    OpenAi { url: String, model: String },
    /// The same of SGLang's `/generate`.
    Sglang { url: String, model: String },
}

/// A way to a router.
#[derive(Clone, Debug)]
pub enum Connection {
    Grpc(Channel),
    OpenAi { site: Site, model: String },
    Sglang { site: Site, model: String },
}

impl Connection {
    pub async fn open(address: &Address) -> Result<Self> {
        Ok(match address {
            Address::Grpc(url) => Self::Grpc(grpc::connect(url).await?),
            Address::OpenAi { url, model } => {
                Self::OpenAi { site: Site::open(url).await?, model: model.clone() }
            }
            Address::Sglang { url, model } => {
                Self::Sglang { site: Site::open(url).await?, model: model.clone() }
            }
        })
    }

    /// Makes the message, so that sending it takes no more time than it must.
    pub fn prepare(&self, ask: &Ask<'_>) -> Prepared {
        match self {
            Self::Grpc(channel) => {
                Prepared::Grpc(channel.clone(), Box::new(grpc::Prepared::new(ask)))
            }
            Self::OpenAi { site, model } => {
                Prepared::OpenAi(site.clone(), Box::new(openai::Prepared::new(site, model, ask)))
            }
            Self::Sglang { site, model } => {
                Prepared::Sglang(site.clone(), Box::new(sglang::Prepared::new(site, model, ask)))
            }
        }
    }
}

/// A request that is ready to be sent.
pub enum Prepared {
    Grpc(Channel, Box<grpc::Prepared>),
    OpenAi(Site, Box<openai::Prepared>),
    Sglang(Site, Box<sglang::Prepared>),
}

impl Prepared {
    /// Sends it and reads its answer to the end.
    pub async fn send(self, heard: &impl Heard) -> Result<Ended, Status> {
        match self {
            Self::Grpc(channel, prepared) => prepared.send(channel, heard).await,
            Self::OpenAi(site, prepared) => prepared.send(&site, heard).await,
            Self::Sglang(site, prepared) => prepared.send(&site, heard).await,
        }
    }
}
