//! A worker as the server behind OpenAI's routes.

use super::answer::Parts;
use crate::front::grpc::of_refusal;
use crate::submit::submit;
use crate::worker::WorkerState;
use metrics_exporter_prometheus::PrometheusHandle;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until, timeout_at};
use tokio_stream::Stream;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};
use warmpath_openai::served::{Asked, Part, Served, Started};
use warmpath_proto::generate::{self, MAX_MODEL_LEN};
use warmpath_proto::transport::MAX_GENERATE_BYTES;

/// Response header: the worker's name.
const WORKER: HeaderName = HeaderName::from_static("x-warmpath-worker");

/// A worker.
#[derive(Debug)]
pub struct Worker {
    pub state: Arc<WorkerState>,
    pub sessions: Vec<HeaderName>,
    pub metrics: Option<PrometheusHandle>,
}

impl Served for Worker {
    /// A worker knows no tenants: its router does.
    type Caller = ();
    type Place = ();
    type Answer = Until;

    fn caller(&self, _: &HeaderMap) -> Result<(), Status> {
        Ok(())
    }

    fn place(&self, (): &()) -> Result<(), Status> {
        Ok(())
    }

    fn body_bytes(&self) -> usize {
        MAX_GENERATE_BYTES
    }

    fn model(&self) -> Result<String, Status> {
        Ok(self.state.config.model.clone())
    }

    fn max_model_len(&self) -> u32 {
        let room = self.state.config.profile.hbm_tokens.unwrap_or(u64::MAX);
        room.min(u64::from(MAX_MODEL_LEN)) as u32
    }

    fn speedup(&self) -> f64 {
        self.state.config.speedup
    }

    fn health(&self) -> Result<(), Status> {
        self.state.refuse_if_draining().map_err(of_refusal)
    }

    fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(PrometheusHandle::render)
    }

    fn session_headers(&self) -> &[HeaderName] {
        &self.sessions
    }

    fn refused(&self, _: Code) {}

    async fn generate(&self, (): (), asked: Asked) -> Result<Started<Until>, Status> {
        let worker = &self.state;
        worker.refuse_if_draining().map_err(of_refusal)?;
        let Asked { mut request, deadline, trace, .. } = asked;
        let mut accepted = generate::accept(&mut request, &worker.config.model)?;
        accepted.trace = trace;
        let submitted = submit(worker, accepted);
        let answer = match deadline {
            None => submitted.await,
            Some(at) => timeout_at(at.into(), submitted).await.map_err(|_| late())?,
        };
        let answer = Parts(answer.map_err(of_refusal)?);
        let mut headers = HeaderMap::new();
        if let Ok(name) = HeaderValue::try_from(worker.config.name.as_str()) {
            headers.insert(WORKER, name);
        }
        Ok(Started { answer: Until::new(answer, deadline), headers })
    }

    /// By anybody who reaches this listener, as in vLLM's development mode: it needs loopback or TLS.
    async fn reset(&self, (): (), external: bool) -> Result<(), Status> {
        self.state.reset(external).await.map(drop).map_err(of_refusal)
    }
}

fn late() -> Status {
    Status::deadline_exceeded("the deadline passed")
}

/// An answer that is waited for until its deadline.
#[derive(Debug)]
pub struct Until {
    answer: Parts,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Until {
    fn new(answer: Parts, deadline: Option<Instant>) -> Self {
        Self { answer, deadline: deadline.map(|at| Box::pin(sleep_until(at.into()))) }
    }
}

impl Stream for Until {
    type Item = Result<Part, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = Pin::new(&mut self.answer).poll_next(cx) {
            return Poll::Ready(next);
        }
        match &mut self.deadline {
            None => Poll::Pending,
            Some(deadline) => {
                ready!(deadline.as_mut().poll(cx));
                self.deadline = None;
                Poll::Ready(Some(Err(late())))
            }
        }
    }
}
