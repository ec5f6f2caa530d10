//! The routes on a listener.

use super::served::Worker;
use crate::front::grpc::listener::FrontError;
use crate::worker::WorkerState;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tonic::service::Routes;
use warmpath_openai::http::{Shared, routes};
use warmpath_openai::served::header_names;
use warmpath_openai::tokenizer::Tokenizer;
use warmpath_proto::listening::{self, Limits, Listening, Protocol};
use warmpath_proto::sockets::Listener as Sockets;

/// Load tools open a connection for each request that is under way.
const CONNECTIONS: usize = 16_384;

/// OpenAI's routes for clients, by HTTP/1.1 and HTTP/2.
pub struct HttpFront(Listening);

impl HttpFront {
    /// `metrics`: what `/metrics` says.
    pub fn new(
        state: &Arc<WorkerState>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, FrontError> {
        let config = &state.config;
        let tokenizer = match &config.http.tokenizer {
            None => Tokenizer::default(),
            Some(path) => Tokenizer::load(path)
                .map_err(|error| FrontError::Http(format!("tokenizer: {error}")))?,
        };
        let sessions = header_names(&config.http.session_headers)
            .map_err(|why| FrontError::Http(format!("session_headers: {why}")))?;
        let worker = Worker { state: Arc::clone(state), sessions, metrics };
        let routes = routes(Arc::new(Shared::new(worker, tokenizer)));
        // Its clients are no processes of the fleet, so they may not take their time.
        let limits = Limits {
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS,
            ..Limits::PUBLIC
        };
        Ok(Self(Listening {
            protocol: Protocol::Http,
            routes: Routes::from(routes).prepare(),
            limits,
            tls: config.tls.as_ref().map(|files| files.load_for_http()).transpose()?,
            note: Arc::new(|_| ()),
        }))
    }

    /// Serves until `closed`. Then waits for the open connections.
    pub async fn serve(self, listener: Sockets, closed: impl Future<Output = ()>) {
        listening::serve(listener, self.0, closed).await;
    }
}
