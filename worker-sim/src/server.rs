//! Listening, draining, stopping.

use crate::config::{ConfigError, WorkerConfig};
use crate::driver::{self, Command};
use crate::handover::{self, Address, HandoverService, Puller};
use crate::inference::{InferenceService, Shared};
use crate::lender::Lender;
use crate::remote::{self, Remote};
use crate::state::StateService;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use warmpath_proto::control::ControlService;
use warmpath_proto::probes;
use warmpath_proto::transport::{self, MAX_GENERATE_BYTES, PENDING_RESETS};
use warmpath_proto::v1::handover_server::HandoverServer;
use warmpath_proto::v1::pool_server::PoolServer;
use warmpath_proto::v1::worker_state_server::WorkerStateServer;
use warmpath_proto::vllm::control_server::ControlServer;
use warmpath_proto::vllm::inference_server::InferenceServer;

/// How long connections may take to close once the engine has stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the engine's thread did not start: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the engine has stopped: an invariant broke")]
    Engine,
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Tells this life of a process from the ones before it.
pub(crate) fn epoch_now() -> u64 {
    let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    epoch.map_or(1, |since| since.as_nanos() as u64)
}

/// Serves until `shutdown`, then drains: new requests are refused, watchers are told, and what runs,
/// is lent or is held for who answers may finish within the configured time.
pub async fn serve(
    listener: TcpListener,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let epoch = epoch_now();
    let (done, stopped) = oneshot::channel();
    let (outbox, wanted) = remote::outbox(&config);
    let (pulls, wanted_pulls) = mpsc::unbounded_channel();
    let commands = driver::start(&config, epoch, outbox, pulls, done)?;
    let remote = Remote::new(&config)?;
    let mut calls = remote::serve(&remote, wanted, commands.clone());
    let puller = Puller::new(&config);
    calls.spawn(handover::pull_all(Arc::clone(&puller), wanted_pulls, commands.clone()));
    let address = Address::new(&config, epoch, listener.local_addr()?);
    let shared = Shared::new(config, epoch, commands, (remote, puller), address);
    let shared = Arc::new(shared);
    let (health, server) = services(&shared)?;
    health.set_serving::<InferenceServer<InferenceService>>().await;
    let process = Process { health, draining: &shared.draining, name: &shared.config.name };
    let drain = || {
        // Fails only if the engine has stopped, which shows of itself.
        let _ = shared.send(Command::Drain(Instant::now() + drain_timeout));
    };
    process.serve(server, listener, (shutdown, stopped), drain).await
}

fn services(shared: &Arc<Shared>) -> Result<(HealthReporter, Router), ServeError> {
    let inference = InferenceServer::new(InferenceService { shared: Arc::clone(shared) })
        .max_decoding_message_size(MAX_GENERATE_BYTES);
    let lender =
        PoolServer::new(Lender(Arc::clone(shared))).max_decoding_message_size(MAX_GENERATE_BYTES);
    let (health, server) = probes::server(PENDING_RESETS)?;
    let server = server
        .add_service(inference)
        .add_service(ControlServer::new(ControlService(Arc::clone(shared))))
        .add_service(WorkerStateServer::new(StateService { shared: Arc::clone(shared) }))
        .add_service(lender)
        .add_service(HandoverServer::new(HandoverService(Arc::clone(shared))));
    Ok((health, server))
}

/// A heart behind a listener.
pub(crate) struct Process<'a> {
    pub health: HealthReporter,
    /// Its services look here.
    pub draining: &'a AtomicBool,
    pub name: &'a str,
}

impl Process<'_> {
    /// Serves until `shutdown`, or until the heart has `stopped` of itself. On `shutdown` the heart is
    /// told to drain, and goes on until it stops.
    pub async fn serve(
        &self,
        server: Router,
        listener: TcpListener,
        (shutdown, mut stopped): (impl Future<Output = ()>, oneshot::Receiver<()>),
        drain: impl FnOnce(),
    ) -> Result<(), ServeError> {
        let (close, closed) = oneshot::channel::<()>();
        let server = server.serve_with_incoming_shutdown(transport::accept(listener), async {
            // Dropped or sent, the time to close has come.
            let _ = closed.await;
        });
        let mut server = std::pin::pin!(server);
        let ended = tokio::select! {
            result = &mut server => return Ok(result?),
            ended = &mut stopped => Some(ended),
            () = shutdown => None,
        };
        self.draining.store(true, Ordering::Release);
        self.health.set_service_status("", ServingStatus::NotServing).await;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                tracing::info!(name = self.name, "draining");
                drain();
                tokio::select! {
                    result = &mut server => return Ok(result?),
                    ended = &mut stopped => ended,
                }
            }
        };
        let _ = close.send(());
        match tokio::time::timeout(CLOSE_TIMEOUT, server).await {
            Ok(result) => result?,
            Err(_) => tracing::warn!(name = self.name, "connections were cut off"),
        }
        ended.map_err(|_| ServeError::Engine)
    }
}
