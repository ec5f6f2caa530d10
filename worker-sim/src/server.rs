//! A worker's process: its parts put together, listening, draining, stopping.

use crate::command::Command;
use crate::config::{ConfigError, WorkerConfig};
use crate::driver;
use crate::front::grpc::listener::GrpcFront;
use crate::front::http::HttpFront;
use crate::kv_events::KvEvents;
use crate::lifecycle::Lifecycle;
use crate::remote::{self, Puller, Remote};
use crate::serve_error::ServeError;
use crate::surroundings::Surroundings;
use crate::worker::{Address, WorkerState};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use warmpath_proto::clock::now;
use warmpath_proto::sockets::Listener;
use warmpath_proto::traces::Tracer;
use warmpath_proto::transport::Dialling;

/// Its name in traces.
const SERVICE: &str = "warmpath-worker";

/// The listener for OpenAI's HTTP.
#[derive(Debug)]
pub struct Http {
    pub listener: TcpListener,
    /// What `/metrics` says. None: this process measures nothing.
    pub metrics: Option<PrometheusHandle>,
}

/// The listeners of a worker.
pub struct Listeners {
    pub grpc: Listener,
    pub http: Option<Http>,
}

impl From<TcpListener> for Listeners {
    fn from(listener: TcpListener) -> Self {
        Self { grpc: listener.into(), http: None }
    }
}

impl From<Listener> for Listeners {
    fn from(grpc: Listener) -> Self {
        Self { grpc, http: None }
    }
}

/// Serves until `shutdown`, then drains: new requests are refused and watchers are told. Requests
/// may finish, and blocks and KV may leave, within the configured time.
pub async fn serve(
    listener: impl Into<Listeners>,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_in(listener, config, shutdown, Surroundings::default()).await
}

/// The same, in other surroundings than a process has.
pub async fn serve_in(
    listener: impl Into<Listeners>,
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
    around: Surroundings,
) -> Result<(), ServeError> {
    config.check()?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (Listeners { grpc, http }, epoch) = (listener.into(), around.epoch);
    let (done, stopped) = oneshot::channel();
    let (outbox, wanted) = remote::outbox(&config);
    let kv_events = match &config.kv_events {
        Some(how) => Some(KvEvents::start(how, config.profile.block_size).await?),
        None => None,
    };
    let commands = driver::start(&config, &around, (outbox, kv_events.clone()), done)?;
    let otlp = config.otlp.as_ref().map(|how| Tracer::start(how, SERVICE, &config.name));
    let otlp = otlp.transpose().map_err(|why| ConfigError::Field { field: "otlp.endpoint", why });
    let tracer = otlp?.unwrap_or_default();
    let tls = config.upstream().map(|files| files.load()).transpose();
    let tls = tls.map_err(ConfigError::UpstreamTls)?;
    let dialling = Dialling { tls, dialler: around.dialler };
    let remote = Remote::new(&config, &dialling)
        .map_err(|why| ServeError::Pool { url: config.pool.clone().unwrap_or_default(), why })?;
    let puller = Puller::new(&config, dialling);
    // Dropping the tasks ends them.
    let _calls = remote::serve((&remote, &puller), wanted, &commands);
    let address = Address::new(&config, epoch, grpc.local_addr()?);
    let worker = WorkerState::new(config, epoch, commands, (remote, puller), address)
        .with_kv_events(kv_events)
        .with_tracer(tracer.clone());
    let worker = Arc::new(worker);
    let front = GrpcFront::worker(&worker).await?;
    let unhealthy = front.unhealthy();
    let http = match http {
        Some(Http { listener, metrics }) => Some((HttpFront::new(&worker, metrics)?, listener)),
        None => None,
    };
    let (close, closed) = oneshot::channel::<()>();
    let (close_grpc, grpc_closed) = oneshot::channel();
    let (close_http, http_closed) = oneshot::channel::<()>();
    let server = async {
        let closing = async {
            let _ = closed.await;
            drop((close_grpc, close_http));
            Ok(())
        };
        let grpc = front.serve(grpc, worker.config.tls.as_ref(), grpc_closed);
        let http = async {
            if let Some((front, listener)) = http {
                front.serve(listener.into(), async { drop(http_closed.await) }).await;
            }
            Ok(())
        };
        tokio::try_join!(grpc, http, closing).map(drop)
    };
    let drain = || {
        // Fails only if the engine has stopped, and that ends the process anyway.
        let _ = worker.send(Command::Drain(now() + drain_timeout));
    };
    let lifecycle = Lifecycle { name: &worker.config.name, draining: &worker.draining };
    let ended = lifecycle.run((server, close), unhealthy, (shutdown, stopped), drain).await;
    tracer.finish().await;
    ended?.ok()
}
