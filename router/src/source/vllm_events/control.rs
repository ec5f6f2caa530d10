//! What an engine says of itself, by what it speaks.

use crate::site::{NoPage, Site};
use crate::source::event::{FeedEnd, unless_silent};
use tonic::codegen::http::Method;
use tonic::transport::Channel;
use tonic::{Code, Status};
use warmpath_openai::engine::models;
use warmpath_proto::control::SPEEDUP;
use warmpath_proto::vllm;
use warmpath_proto::vllm::control_client::ControlClient;

const MODELS: &str = "/v1/models";
const HEALTH: &str = "/health";

/// The way to ask an engine.
#[derive(Clone, Debug)]
pub enum Control {
    /// `vllm.Control`. An engine that does not speak it is described by its configuration.
    Grpc(Channel),
    Http(Site),
}

/// What an engine says of itself. What it does not say is empty or 0.
#[derive(Debug)]
pub struct Facts {
    pub info: vllm::ServerInfo,
    pub model: String,
    pub speedup: f64,
}

impl Control {
    /// `model`: the one that the configuration names, if it names one.
    pub async fn facts(&self, model: Option<&str>) -> Result<Facts, FeedEnd> {
        match self {
            Self::Grpc(channel) => by_grpc(channel, model).await,
            Self::Http(site) => by_http(site, model).await,
        }
    }

    /// Whether the engine answers, and is the one that it was. `instance`: as it said then.
    pub async fn is_there(&self, instance: &str) -> Result<(), FeedEnd> {
        let channel = match self {
            Self::Grpc(channel) => channel,
            Self::Http(site) => {
                let health = site.page(Method::GET, HEALTH).await;
                return health.map(drop).map_err(lost_page);
            }
        };
        let mut control = ControlClient::new(channel.clone());
        match unless_silent(control.get_server_info(vllm::GetServerInfoRequest {})).await? {
            Ok(told) if told.get_ref().instance_id == instance => Ok(()),
            Ok(_) => Err(FeedEnd::Lost("it has another instance id: it has restarted".to_owned())),
            // Whatever it says, it answers.
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(lost(&status)),
        }
    }

    /// Where this rank publishes KV events. By HTTP no engine says it.
    pub async fn source(&self, rank: Option<u32>) -> Result<vllm::KvEventSource, FeedEnd> {
        let why =
            "it does not name one source of KV events, expected kv_events = \"tcp://host:port\"";
        let unknown = || FeedEnd::Refused(why.to_owned());
        let Self::Grpc(channel) = self else { return Err(unknown()) };
        let mut control = ControlClient::new(channel.clone());
        let told = control.get_kv_event_sources(vllm::GetKvEventSourcesRequest {});
        let told = unless_silent(told).await?.map_err(|status| lost(&status))?;
        let mut sources = told.into_inner().sources;
        if rank.is_some() {
            sources.retain(|source| source.data_parallel_rank == rank);
        }
        sources.pop().filter(|_| sources.is_empty()).ok_or_else(unknown)
    }
}

async fn by_grpc(channel: &Channel, model: Option<&str>) -> Result<Facts, FeedEnd> {
    let mut control = ControlClient::new(channel.clone());
    let told = unless_silent(control.get_server_info(vllm::GetServerInfoRequest {})).await?;
    let (info, speedup) = match told {
        Ok(told) => {
            let speedup = told.metadata().get(SPEEDUP);
            let speedup = speedup.and_then(|speedup| speedup.to_str().ok()?.parse().ok());
            (told.into_inner(), speedup.unwrap_or(1.0))
        }
        Err(status) if status.code() == Code::Unimplemented => (vllm::ServerInfo::default(), 1.0),
        Err(status) => return Err(lost(&status)),
    };
    let model = match model {
        Some(model) => model.to_owned(),
        None => {
            let told = control.get_model_info(vllm::GetModelInfoRequest {});
            match unless_silent(told).await? {
                Ok(told) => told.into_inner().served_model_name,
                Err(status) if status.code() == Code::Unimplemented => String::new(),
                Err(status) => return Err(lost(&status)),
            }
        }
    };
    Ok(Facts { info, model, speedup })
}

async fn by_http(site: &Site, model: Option<&str>) -> Result<Facts, FeedEnd> {
    let page = site.page(Method::GET, MODELS).await.map_err(|no_page| match no_page {
        // Without the right key it is asked again later, and not at once.
        NoPage::Refused(problem) if matches!(problem.status, 401 | 403 | 404) => {
            FeedEnd::Refused(format!("{MODELS}: {}", NoPage::Refused(problem).why()))
        }
        no_page => lost_page(no_page),
    })?;
    let refused = |why: String| FeedEnd::Refused(format!("{MODELS}: {why}"));
    let models = models::read(&page.text).map_err(refused)?;
    let served = models.iter().find(|served| model.is_none_or(|model| *served == model));
    let Some(served) = served else {
        let (first, model) = (&models[0], model.unwrap_or_default());
        return Err(FeedEnd::Refused(format!("its model is '{first}', expected '{model}'")));
    };
    let speedup = page.headers.get(SPEEDUP).and_then(|speedup| speedup.to_str().ok()?.parse().ok());
    Ok(Facts {
        info: vllm::ServerInfo::default(),
        model: served.clone(),
        speedup: speedup.unwrap_or(1.0),
    })
}

fn lost(status: &Status) -> FeedEnd {
    FeedEnd::Lost(status.message().to_owned())
}

fn lost_page(no_page: NoPage) -> FeedEnd {
    FeedEnd::Lost(no_page.why())
}
