//! Listening, draining, stopping.

use crate::config::{ConfigError, WorkerConfig};

use crate::driver::{self, Command};
use crate::handover::{self, Address, HandoverService, Puller};
use crate::inference::{InferenceService, Shared};
use crate::lender::Lender;
use crate::remote::{self, Remote};
use crate::state::StateService;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic_health::ServingStatus;
use warmpath_proto::control::ControlService;
use warmpath_proto::transport::{self, MAX_GENERATE_BYTES, PENDING_RESETS};
use warmpath_proto::v1::handover_server::HandoverServer;
use warmpath_proto::v1::pool_server::PoolServer;
use warmpath_proto::v1::worker_state_server::WorkerStateServer;
use warmpath_proto::vllm::control_server::ControlServer;
use warmpath_proto::vllm::inference_server::InferenceServer;

/// How long connections may take to close once the engine has stopped.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

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
    let (done, mut stopped) = oneshot::channel();
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

    let (close, closed) = oneshot::channel::<()>();
    let (health, server) = services(&shared, listener, closed).await?;
    let mut server = std::pin::pin!(server);
    let ended = tokio::select! {
        result = &mut server => return Ok(result?),
        ended = &mut stopped => Some(ended),
        () = shutdown => None,
    };
    shared.draining.store(true, Ordering::Release);
    health.set_service_status("", ServingStatus::NotServing).await;
    let ended = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!(worker = shared.config.name, "draining");
            // Fails only if the engine has stopped, which shows below.
            let _ = shared.send(Command::Drain(Instant::now() + drain_timeout));
            tokio::select! {
                result = &mut server => return Ok(result?),
                ended = &mut stopped => ended,
            }
        }
    };
    let _ = close.send(());
    match tokio::time::timeout(CLOSE_TIMEOUT, server).await {
        Ok(result) => result?,
        Err(_) => tracing::warn!(worker = shared.config.name, "connections were cut off"),
    }
    ended.map_err(|_| ServeError::Engine)
}

async fn services(
    shared: &Arc<Shared>,
    listener: TcpListener,
    closed: oneshot::Receiver<()>,
) -> Result<
    (
        tonic_health::server::HealthReporter,
        impl Future<Output = Result<(), tonic::transport::Error>>,
    ),
    ServeError,
> {
    let inference = InferenceServer::new(InferenceService { shared: Arc::clone(shared) })
        .max_decoding_message_size(MAX_GENERATE_BYTES);
    let control = ControlServer::new(ControlService(Arc::clone(shared)));
    let lender =
        PoolServer::new(Lender(Arc::clone(shared))).max_decoding_message_size(MAX_GENERATE_BYTES);
    let handover = HandoverServer::new(HandoverService(Arc::clone(shared)));
    let state = WorkerStateServer::new(StateService { shared: Arc::clone(shared) });
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<InferenceServer<InferenceService>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(warmpath_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let server = transport::server(PENDING_RESETS)
        .add_service(inference)
        .add_service(control)
        .add_service(state)
        .add_service(lender)
        .add_service(handover)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(transport::accept(listener), async {
            // Dropped or sent, the time to close has come.
            let _ = closed.await;
        });
    Ok((reporter, server))
}
