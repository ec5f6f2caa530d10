//! Services on a listener, with health and reflection.

use super::cache::CacheService;
use super::control::WorkerControl;
use super::inference::InferenceService;
use super::kv_transfer::KvTransferService;
use super::peer_fetch::PeerFetchService;
use super::smg::EngineService;
use super::watch::WatchService;
use crate::worker::WorkerState;
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use warmpath_proto::control::ControlService;
use warmpath_proto::engine::vllm_engine_server::VllmEngineServer;
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::probes::{self, Listener};
use warmpath_proto::sockets::Listener as Sockets;
use warmpath_proto::tls::{ListenerFiles, TlsError};
use warmpath_proto::transport::MAX_GENERATE_BYTES;
use warmpath_proto::v1::kv_transfer_server::KvTransferServer;
use warmpath_proto::v1::pool_server::{Pool, PoolServer};
use warmpath_proto::v1::worker_cache_server::WorkerCacheServer;
use warmpath_proto::v1::worker_state_server::WorkerStateServer;
use warmpath_proto::vllm::control_server::ControlServer;
use warmpath_proto::vllm::inference_server::InferenceServer;

/// Why a listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("tls.{0}")]
    Tls(#[from] TlsError),
    #[error("http.{0}")]
    Http(String),
}

/// The services of a worker or a pool.
pub struct GrpcFront {
    routes: Routes,
    health: HealthReporter,
    listener: Listener,
}

impl GrpcFront {
    /// All services of a worker.
    pub async fn worker(worker: &Arc<WorkerState>) -> Result<Self, FrontError> {
        let inference = InferenceServer::new(InferenceService(Arc::clone(worker)))
            .max_decoding_message_size(MAX_GENERATE_BYTES);
        let control = WorkerControl(Arc::clone(worker));
        let peer_fetch = PoolServer::new(PeerFetchService(Arc::clone(worker)))
            .max_decoding_message_size(MAX_GENERATE_BYTES);
        let engine = VllmEngineServer::new(EngineService::new(worker))
            .max_decoding_message_size(MAX_GENERATE_BYTES);
        let (health, routes) = probes::routes(Listener::Worker)?;
        probes::set_ready(&health, Listener::Worker, true).await;
        let routes = routes
            .add_service(inference)
            .add_service(engine)
            .add_service(ControlServer::new(ControlService(Arc::new(control))))
            .add_service(WorkerStateServer::new(WatchService(Arc::clone(worker))))
            .add_service(WorkerCacheServer::new(CacheService(Arc::clone(worker))))
            .add_service(peer_fetch)
            .add_service(KvTransferServer::new(KvTransferService(Arc::clone(worker))));
        Ok(Self { routes, health, listener: Listener::Worker })
    }

    /// The one service of a pool.
    pub async fn pool(pool: impl Pool) -> Result<Self, FrontError> {
        let pool = PoolServer::new(pool).max_decoding_message_size(MAX_GENERATE_BYTES);
        let (health, routes) = probes::routes(Listener::Pool)?;
        probes::set_ready(&health, Listener::Pool, true).await;
        Ok(Self { routes: routes.add_service(pool), health, listener: Listener::Pool })
    }

    /// Tells probes, when it is awaited, that the process ends.
    pub fn unhealthy(&self) -> impl Future<Output = ()> + use<> {
        let (health, listener) = (self.health.clone(), self.listener);
        async move { probes::set_ready(&health, listener, false).await }
    }

    /// Serves until `closed` is sent or dropped. Then waits for the open connections. `tls`: None is
    /// plain text.
    pub async fn serve(
        self,
        listener: Sockets,
        tls: Option<&ListenerFiles>,
        closed: oneshot::Receiver<()>,
    ) -> Result<(), FrontError> {
        let closed = async {
            let _ = closed.await;
        };
        let tls = tls.map(ListenerFiles::load).transpose()?;
        let listening = Listening::fleet(self.routes.prepare(), tls);
        listening::serve(listener, listening, closed).await;
        Ok(())
    }
}
