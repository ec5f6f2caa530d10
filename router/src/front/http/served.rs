//! The fleet as the server behind OpenAI's routes.

use super::answer::Parts;
use crate::fleet::worker::Standing;
use crate::front::grpc::{incoming, metadata, of_error, place, tenant_of};
use crate::metrics;
use crate::relay;
use crate::state::RouterState;
use crate::tenants::Tenant;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tonic::codegen::http::{HeaderMap, HeaderName};
use tonic::{Code, Status};
use warmpath_openai::served::{Asked, Served, Started};
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::raw::Bytes;

/// How long a worker may take to empty its cache.
const RESET: Duration = Duration::from_secs(10);

/// The fleet.
#[derive(Debug)]
pub struct Fleet {
    pub state: Arc<RouterState>,
    pub sessions: Vec<HeaderName>,
    pub metrics: Option<PrometheusHandle>,
}

impl Served for Fleet {
    type Caller = Arc<Tenant>;
    type Place = OwnedSemaphorePermit;
    type Answer = Parts;

    fn caller(&self, headers: &HeaderMap) -> Result<Arc<Tenant>, Status> {
        tenant_of(&self.state.tenants, headers)
    }

    fn place(&self, caller: &Arc<Tenant>) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.state, caller)
    }

    fn body_bytes(&self) -> usize {
        self.state.config.listener.generate_bytes
    }

    fn model(&self) -> Result<String, Status> {
        let terms = self.state.terms().map_err(|error| of_error(&error))?;
        Ok(terms.model.clone())
    }

    fn max_model_len(&self) -> u32 {
        let largest = self.state.router.fleet(|fleet| fleet.largest_request());
        largest.unwrap_or(u64::MAX).min(u64::from(MAX_MODEL_LEN)) as u32
    }

    fn speedup(&self) -> f64 {
        self.state.config.speedup
    }

    fn health(&self) -> Result<(), Status> {
        self.state.open().map(drop).map_err(|error| of_error(&error))?;
        match self.state.status.borrow().joined.is_empty() {
            true => Err(Status::unavailable("no worker has joined")),
            false => Ok(()),
        }
    }

    fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(PrometheusHandle::render)
    }

    fn session_headers(&self) -> &[HeaderName] {
        &self.sessions
    }

    fn refused(&self, code: Code) {
        metrics::refused(&self.state.router.policy(), format!("{code:?}"));
    }

    async fn generate(&self, caller: Arc<Tenant>, asked: Asked) -> Result<Started<Parts>, Status> {
        let terms = self.state.open().map_err(|error| of_error(&error))?;
        let Asked { request, deadline, received, trace } = asked;
        let mut incoming = incoming(request, Bytes::new(), &terms.model, caller, received)?;
        (incoming.deadline, incoming.trace) = (deadline, trace);
        let started = relay::start(&self.state, &terms, incoming).await;
        let started = started.map_err(|error| of_error(&error))?;
        let headers = metadata(&started).into_headers();
        Ok(Started { answer: Parts::new(started.answer), headers })
    }

    /// By the tenants that the operator names. Workers that cannot be reached are named in the error.
    async fn reset(&self, caller: Arc<Tenant>, external: bool) -> Result<(), Status> {
        let state = &self.state;
        if !state.config.http.reset_by.contains(&caller.name) {
            let why = format!("tenant '{}' may not, expected one of http.reset_by", caller.name);
            return Err(Status::permission_denied(format!("reset_prefix_cache: {why}")));
        }
        let mut resets = JoinSet::new();
        for link in state.roster.links() {
            if link.standing() == Standing::Joined {
                resets.spawn(async move {
                    let reset = tokio::time::timeout(RESET, link.upstream.reset(external)).await;
                    let why = match reset {
                        Ok(Ok(())) => return None,
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "it did not answer in time".to_owned(),
                    };
                    Some(format!("{}: {why}", link.name))
                });
            }
        }
        let mut failed: Vec<String> = resets.join_all().await.into_iter().flatten().collect();
        failed.sort_unstable();
        tracing::info!(tenant = caller.name, external, ?failed, "the workers' caches were reset");
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Status::unavailable(format!("reset_prefix_cache: {}", failed.join("; ")))),
        }
    }
}
