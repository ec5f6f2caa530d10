//! Listening, draining, stopping.

use super::config::PoolConfig;
use super::driver::{self, Command};
use super::service::PoolService;
use crate::server::{Process, ServeError, epoch_now};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use warmpath_proto::probes;
use warmpath_proto::transport::{MAX_GENERATE_BYTES, PENDING_RESETS};
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
    let (done, stopped) = oneshot::channel();
    let commands = driver::start(&config, epoch_now(), done)?;
    let service = PoolService {
        agreement: Arc::new(config.agreement()),
        commands,
        draining: Arc::new(AtomicBool::new(false)),
    };
    let pool = PoolServer::new(service.clone()).max_decoding_message_size(MAX_GENERATE_BYTES);
    let (health, server) = probes::server(PENDING_RESETS)?;
    let process = Process { health, draining: &service.draining, name: &config.name };
    let drain = || {
        // Fails only if the pool has stopped, which shows of itself.
        let _ = service.commands.send(Command::Drain(Instant::now() + drain_timeout));
    };
    process.serve(server.add_service(pool), listener, (shutdown, stopped), drain).await
}
