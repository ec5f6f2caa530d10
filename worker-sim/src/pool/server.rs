//! A pool's process: its parts put together, listening, draining, stopping.

use super::command::Command;
use super::config::PoolConfig;
use super::driver;
use super::front::grpc::PoolService;
use crate::front::grpc::listener::GrpcFront;
use crate::lifecycle::Lifecycle;
use crate::serve_error::ServeError;
use crate::surroundings::Surroundings;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::oneshot;
use warmpath_proto::clock::now;
use warmpath_proto::sockets::Listener;

/// Serves until `shutdown`, then drains: it accepts and sends nothing new, and blocks that are
/// being sent may leave within the configured time. A pool forgets everything when it restarts.
pub async fn serve(
    listener: impl Into<Listener>,
    config: PoolConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_in(listener, config, shutdown, Surroundings::default()).await
}

/// The same, in other surroundings than a process has.
pub async fn serve_in(
    listener: impl Into<Listener>,
    config: PoolConfig,
    shutdown: impl Future<Output = ()>,
    around: Surroundings,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (done, stopped) = oneshot::channel();
    let service = PoolService {
        agreement: Arc::new(config.agreement()),
        commands: driver::start(&config, &around, done)?,
        draining: Arc::new(AtomicBool::new(false)),
    };
    let front = GrpcFront::pool(service.clone()).await?;
    let unhealthy = front.unhealthy();
    let (close, closed) = oneshot::channel();
    let server = front.serve(listener.into(), config.tls.as_ref(), closed);
    let drain = || {
        // Fails only if the pool has stopped, and that ends the process anyway.
        let _ = service.commands.send(Command::Drain(now() + drain_timeout));
    };
    let lifecycle = Lifecycle { name: &config.name, draining: &service.draining };
    lifecycle.run((server, close), unhealthy, (shutdown, stopped), drain).await?.ok()
}
