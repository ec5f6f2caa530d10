//! Listening, draining, stopping.

use super::config::PoolConfig;
use super::driver::{self, Command};
use super::service::PoolService;
use crate::server::{CLOSE_TIMEOUT, ServeError, epoch_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic_health::ServingStatus;
use warmpath_proto::transport::{self, MAX_GENERATE_BYTES, PENDING_RESETS};
use warmpath_proto::v1::pool_server::PoolServer;

/// Serves until `shutdown`, then drains: nothing new is taken or sent, and what is being sent may leave
/// within the configured time. A pool that comes back has forgotten everything.
pub async fn serve(
    listener: TcpListener,
    config: PoolConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (done, mut stopped) = oneshot::channel();
    let commands = driver::start(&config, epoch_now(), done)?;
    let service = PoolService {
        agreement: Arc::new(config.agreement()),
        commands,
        draining: Arc::new(AtomicBool::new(false)),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    let pool = PoolServer::new(service.clone()).max_decoding_message_size(MAX_GENERATE_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(warmpath_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (close, closed) = oneshot::channel::<()>();
    let server = transport::server(PENDING_RESETS)
        .add_service(pool)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(transport::accept(listener), async {
            // Dropped or sent, the time to close has come.
            let _ = closed.await;
        });
    let mut server = std::pin::pin!(server);
    let ended = tokio::select! {
        result = &mut server => return Ok(result?),
        ended = &mut stopped => Some(ended),
        () = shutdown => None,
    };
    service.draining.store(true, Ordering::Release);
    health.set_service_status("", ServingStatus::NotServing).await;
    let ended = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!(pool = config.name, "draining");
            // Fails only if the pool has stopped, which shows below.
            let _ = service.commands.send(Command::Drain(Instant::now() + drain_timeout));
            tokio::select! {
                result = &mut server => return Ok(result?),
                ended = &mut stopped => ended,
            }
        }
    };
    let _ = close.send(());
    match tokio::time::timeout(CLOSE_TIMEOUT, server).await {
        Ok(result) => result?,
        Err(_) => tracing::warn!(pool = config.name, "connections were cut off"),
    }
    ended.map_err(|_| ServeError::Engine)
}
