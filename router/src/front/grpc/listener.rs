//! The services on a listener, with health and reflection.

use super::control::FleetControl;
use super::identify::identified;
use super::inference::InferenceService;
use super::places::placed;
use crate::fleet::status::FleetStatus;
use crate::metrics;
use crate::state::RouterState;
use std::sync::Arc;
use tokio::sync::watch;
use tonic_health::server::HealthReporter;
use warmpath_proto::control::ControlService;
use warmpath_proto::listening::{self, Listening, Protocol};
use warmpath_proto::probes::{self, Listener};
use warmpath_proto::raw::inference_server::InferenceServer;
use warmpath_proto::sockets::Listener as Sockets;
use warmpath_proto::tls::TlsError;
use warmpath_proto::vllm::control_server::ControlServer;

/// Why a listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("tls.{0}")]
    Tls(#[from] TlsError),
    #[error("admin_tls.{0}")]
    AdminTls(TlsError),
    #[error("siblings.tls.{0}")]
    SiblingsTls(TlsError),
    #[error("http.{0}")]
    Http(String),
}

/// vLLM's services for clients. Health and reflection need no tenant: probes use them.
pub struct GrpcFront {
    listening: Listening,
    health: HealthReporter,
}

impl GrpcFront {
    pub fn new(state: &Arc<RouterState>) -> Result<Self, FrontError> {
        let (health, routes) = probes::routes(Listener::Router)?;
        let config = &state.config;
        // The listener refuses what is larger before it is decoded.
        let inference = InferenceServer::new(InferenceService(Arc::clone(state)))
            .max_decoding_message_size(config.listener.generate_bytes);
        let control = FleetControl(Arc::clone(state));
        let control = ControlServer::new(ControlService(Arc::new(control)))
            .max_decoding_message_size(config.listener.message_bytes);
        let inference = identified(state, placed(state, inference));
        let control = identified(state, control);
        let listening = Listening {
            protocol: Protocol::Grpc,
            routes: routes.add_service(inference).add_service(control).prepare(),
            limits: config.listener.limits(),
            tls: config.tls.as_ref().map(|files| files.load()).transpose()?,
            note: Arc::new(metrics::connection_ended),
        };
        Ok(Self { listening, health })
    }

    /// The health that probes ask for.
    pub fn health(&self) -> Health {
        Health::new(self.health.clone(), Listener::Router)
    }

    /// Serves until `closed`. Then waits for the open connections.
    pub async fn serve(self, listener: Sockets, closed: impl Future<Output = ()>) {
        listening::serve(listener, self.listening, closed).await;
    }
}

/// The health that probes ask for.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    listener: Listener,
}

impl Health {
    pub const fn new(reporter: HealthReporter, listener: Listener) -> Self {
        Self { reporter, listener }
    }

    /// A router is healthy while it has a worker and does not drain. Runs as long as the router lives.
    pub async fn follow(self, mut status: watch::Receiver<FleetStatus>) {
        loop {
            let ready = {
                let status = status.borrow_and_update();
                !status.joined.is_empty() && !status.draining
            };
            probes::set_ready(&self.reporter, self.listener, ready).await;
            if status.changed().await.is_err() {
                return;
            }
        }
    }
}
