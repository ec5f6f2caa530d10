//! A pool's process: its parts put together, listening, draining, stopping.

use super::command::Command;
use super::config::PoolConfig;
use super::driver;
use super::front::grpc::PoolService;
use crate::epoch::epoch_now;
use crate::front::grpc::listener::GrpcFront;
use crate::lateness::Lateness;
use crate::lifecycle::Lifecycle;
use crate::serve_error::ServeError;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves until `shutdown`, then drains: it accepts and sends nothing new, and blocks that are
/// being sent may leave within the configured time. A pool forgets everything when it restarts.
pub async fn serve(
    listener: TcpListener,
    config: PoolConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_measured(listener, config, shutdown, Lateness::default()).await
}

/// The same, and adds how late the pool's thread is to `lateness`.
pub async fn serve_measured(
    listener: TcpListener,
    config: PoolConfig,
    shutdown: impl Future<Output = ()>,
    lateness: Lateness,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (done, stopped) = oneshot::channel();
    let service = PoolService {
        agreement: Arc::new(config.agreement()),
        commands: driver::start(&config, epoch_now(), done, lateness)?,
        draining: Arc::new(AtomicBool::new(false)),
    };
    let front = GrpcFront::pool(service.clone())?;
    let unhealthy = front.unhealthy();
    let (close, closed) = oneshot::channel();
    let server = front.serve(listener, config.tls.as_ref(), closed);
    let drain = || {
        // Fails only if the pool has stopped, and that ends the process anyway.
        let _ = service.commands.send(Command::Drain(Instant::now() + drain_timeout));
    };
    let lifecycle = Lifecycle { name: &config.name, draining: &service.draining };
    lifecycle.run((server, close), unhealthy, (shutdown, stopped), drain).await?.ok()
}
