//! A worker's process: its parts put together, listening, draining, stopping.

use crate::command::Command;
use crate::config::{ConfigError, WorkerConfig};
use crate::driver;
use crate::front::grpc::listener::GrpcFront;
use crate::lifecycle::Lifecycle;
use crate::remote::{self, Puller, Remote};
use crate::serve_error::ServeError;
use crate::surroundings::Surroundings;
use crate::worker::{Address, WorkerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use warmpath_proto::clock::now;
use warmpath_proto::sockets::Listener;
use warmpath_proto::transport::Dialling;

/// Serves until `shutdown`, then drains: new requests are refused and watchers are told. Requests
/// may finish, and blocks and KV may leave, within the configured time.
pub async fn serve(
    listener: impl Into<Listener>,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_in(listener, config, shutdown, Surroundings::default()).await
}

/// The same, in other surroundings than a process has.
pub async fn serve_in(
    listener: impl Into<Listener>,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
    around: Surroundings,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (listener, epoch) = (listener.into(), around.epoch);
    let (done, stopped) = oneshot::channel();
    let (outbox, wanted) = remote::outbox(&config);
    let commands = driver::start(&config, &around, outbox, done)?;
    let tls = config.upstream().map(|files| files.load()).transpose();
    let tls = tls.map_err(ConfigError::UpstreamTls)?;
    let dialling = Dialling { tls, dialler: around.dialler };
    let remote = Remote::new(&config, &dialling)
        .map_err(|why| ServeError::Pool { url: config.pool.clone().unwrap_or_default(), why })?;
    let puller = Puller::new(&config, dialling);
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
        let _ = worker.send(Command::Drain(now() + drain_timeout));
    };
    let lifecycle = Lifecycle { name: &worker.config.name, draining: &worker.draining };
    lifecycle.run((server, close), unhealthy, (shutdown, stopped), drain).await?.ok()
}
