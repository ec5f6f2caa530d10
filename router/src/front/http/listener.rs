//! The routes on a listener.

use super::served::Fleet;
use crate::front::grpc::FrontError;
use crate::http_config::HttpConfig;
use crate::metrics;
use crate::state::RouterState;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tonic::codegen::http::HeaderName;
use tonic::service::Routes;
use warmpath_openai::http::{Shared, routes};
use warmpath_openai::served::header_names;
use warmpath_openai::tokenizer::Tokenizer;
use warmpath_proto::listening::{self, Listening, Protocol};
use warmpath_proto::sockets::Listener as Sockets;

/// The tokenizer, and the headers that name a session.
pub fn loaded(config: &HttpConfig) -> Result<(Tokenizer, Vec<HeaderName>), FrontError> {
    let tokenizer = match &config.tokenizer {
        None => Tokenizer::default(),
        Some(path) => Tokenizer::load(path)
            .map_err(|error| FrontError::Http(format!("tokenizer: {error}")))?,
    };
    let sessions = header_names(&config.session_headers)
        .map_err(|why| FrontError::Http(format!("session_headers: {why}")))?;
    Ok((tokenizer, sessions))
}

/// OpenAI's routes for clients, by HTTP/1.1 and HTTP/2.
pub struct HttpFront(Listening);

impl HttpFront {
    /// `metrics`: what `/metrics` says.
    pub fn new(
        state: &Arc<RouterState>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, FrontError> {
        let config = &state.config;
        let (tokenizer, sessions) = loaded(&config.http)?;
        let fleet = Fleet { state: Arc::clone(state), sessions, metrics };
        let routes = routes(Arc::new(Shared::new(fleet, tokenizer)));
        Ok(Self(Listening {
            protocol: Protocol::Http,
            routes: Routes::from(routes).prepare(),
            limits: config.listener.limits(),
            tls: config.tls.as_ref().map(|files| files.load_for_http()).transpose()?,
            note: Arc::new(metrics::connection_ended),
        }))
    }

    /// Serves until `closed`. Then waits for the open connections.
    pub async fn serve(self, listener: Sockets, closed: impl Future<Output = ()>) {
        listening::serve(listener, self.0, closed).await;
    }
}
