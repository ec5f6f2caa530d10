//! A worker's process: its parts put together, listening, draining, stopping.

use crate::command::Command;
use crate::config::{ConfigError, WorkerConfig};
use crate::driver;
use crate::epoch::epoch_now;
use crate::front::grpc::listener::GrpcFront;
use crate::lateness::Lateness;
use crate::lifecycle::Lifecycle;
use crate::remote::{self, Puller, Remote};
use crate::serve_error::ServeError;
use crate::worker::{Address, WorkerState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves until `shutdown`, then drains: new requests are refused and watchers are told. Requests
/// may finish, and blocks and KV may leave, within the configured time.
pub async fn serve(
    listener: TcpListener,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_measured(listener, config, shutdown, Lateness::default()).await
}

/// The same, and adds how late the engine's thread is to `lateness`.
pub async fn serve_measured(
    listener: TcpListener,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
    lateness: Lateness,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let epoch = epoch_now();
    let (done, stopped) = oneshot::channel();
    let (outbox, wanted) = remote::outbox(&config);
    let commands = driver::start(&config, epoch, outbox, done, lateness)?;
    let tls = config.upstream().map(|files| files.load()).transpose();
    let tls = tls.map_err(ConfigError::UpstreamTls)?;
    let remote = Remote::new(&config, tls.as_ref())
        .map_err(|why| ServeError::Pool { url: config.pool.clone().unwrap_or_default(), why })?;
    let puller = Puller::new(&config, tls);
    // Dropping the tasks ends them.
    let _calls = remote::serve((&remote, &puller), wanted, &commands);
    let address = Address::new(&config, epoch, listener.local_addr()?);
    let worker = WorkerState::new(config, epoch, commands, (remote, puller), address);
    let worker = Arc::new(worker);
    let front = GrpcFront::worker(&worker).await?;
    let unhealthy = front.unhealthy();
    let (close, closed) = oneshot::channel();
    let server = front.serve(listener, worker.config.tls.as_ref(), closed);
    let drain = || {
        // Fails only if the engine has stopped, and that ends the process anyway.
        let _ = worker.send(Command::Drain(Instant::now() + drain_timeout));
    };
    let lifecycle = Lifecycle { name: &worker.config.name, draining: &worker.draining };
    lifecycle.run((server, close), unhealthy, (shutdown, stopped), drain).await?.ok()
}
