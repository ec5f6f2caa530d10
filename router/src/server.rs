//! Listening, draining, stopping.

use crate::capture::{self, CaptureWriter};
use crate::config::{ConfigError, RouterConfig};
use crate::decided::DecidedNames;
use crate::discovery::discover_all;
use crate::engines::EngineConfig;
use crate::events::Events;
use crate::ext_proc_config::ExtProcConfig;
use crate::fleet::agreement::Agreement;
use crate::fleet::connect::{self, Connecting};
use crate::fleet::instances::Instances;
use crate::fleet::roster::{AddError, Roster};
use crate::fleet::siblings::Siblings;
use crate::fleet::status::{Counts, FleetStatus};
use crate::following::{self, Following};
use crate::front::grpc::{FrontError, GrpcFront};
use crate::front::http::HttpFront;
use crate::front::picker;
use crate::gauges;
use crate::handle::RouterHandle;
use crate::in_flight::InFlight;
use crate::index::SharedIndex;
use crate::operator::{self, Admin};
use crate::places::Places;
use crate::public::PublicPrefixes;
use crate::record::{self, RecordWriter};
use crate::scopes::Scopes;
use crate::series::Overhead;
use crate::siblings;
use crate::source::vllm_events::Salts;
use crate::state::RouterState;
use crate::tenants::Tenants;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use warmpath_core::event::Digest;
use warmpath_core::id::{PoolId, WorkerId};
use warmpath_core::routing::Router;
use warmpath_core::routing::record::Header;
use warmpath_proto::clock::{self, ModelClock};
use warmpath_proto::sockets::{Dialler, Listener};
use warmpath_proto::tls::TlsError;
use warmpath_proto::traces::Tracer;
use warmpath_proto::transport::Dialling;

/// How long connections may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Its name in traces.
const SERVICE: &str = "warmpath-router";
/// How often a drain looks whether all streams have ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Why a router cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("workers: {0}")]
    Worker(#[from] AddError),
    #[error("upstream_tls.{0}")]
    UpstreamTls(TlsError),
    #[error("pools: '{url}': {why}")]
    Pool { url: String, why: String },
    #[error("record: '{}': {cause}", path.display())]
    Record { path: PathBuf, cause: std::io::Error },
    #[error("capture: '{}': {cause}", path.display())]
    Capture { path: PathBuf, cause: std::io::Error },
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("a router serves once")]
    ServedAlready,
}

/// The listener for OpenAI's HTTP.
#[derive(Debug)]
pub struct Http {
    pub listener: TcpListener,
    /// What `/metrics` says. None: this process measures nothing.
    pub metrics: Option<PrometheusHandle>,
}

/// The public listeners.
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

/// What is around a router. The default is a process of its own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// How workers and pools are reached.
    pub dialler: Dialler,
    /// A part of the names of its requests. Each router, and each life of it, has another one.
    pub instance: u64,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { dialler: Dialler::Tcp, instance: clock::life() }
    }
}

/// A router, whether or not it listens. Clones are the same router.
#[derive(Clone, Debug)]
pub struct RouterServer {
    state: Arc<RouterState>,
    files: Arc<Mutex<Files>>,
    served: Arc<AtomicBool>,
}

/// The threads that write files.
#[derive(Default, Debug)]
struct Files {
    record: Option<RecordWriter>,
    capture: Option<CaptureWriter>,
}

/// Makes a router and serves until `shutdown`.
pub async fn serve(
    listener: impl Into<Listeners>,
    config: RouterConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    RouterServer::new(config)?.serve(listener, shutdown).await
}

impl RouterServer {
    /// Makes a router. Model time begins here. Call it in a tokio runtime.
    pub fn new(config: RouterConfig) -> Result<Self, ServeError> {
        Self::new_in(config, Surroundings::default())
    }

    /// The same, in other surroundings than a process has.
    pub fn new_in(config: RouterConfig, around: Surroundings) -> Result<Self, ServeError> {
        config.check()?;
        let (sender, writer) = match &config.record {
            Some(path) => {
                let header = Header::new(config.policy, config.seed);
                let header = header.with_queue_limits(config.queue.limits());
                let header = header.with_reliability(config.reliability_in_model_time());
                let header = header.with_admission(config.admission_limits());
                let header = header.with_siblings(config.siblings.sharing().siblings());
                let header = header.telling_holders();
                let started = record::start(path, &header);
                let err = |cause| ServeError::Record { path: path.clone(), cause };
                let (sender, writer) = started.map_err(err)?;
                (Some(sender), Some(writer))
            }
            None => (None, None),
        };
        let tls = config.upstream_tls.as_ref().map(|files| files.load()).transpose();
        let tls = tls.map_err(ServeError::UpstreamTls)?;
        let dialling = Dialling { tls, dialler: around.dialler };
        let ranks = config.worker.iter().flat_map(EngineConfig::ranks);
        let engines = ranks.filter_map(|rank| Some((rank.url().ok()?, rank)));
        let connecting = Connecting {
            connections: config.connections_per_worker,
            dialling,
            engines: engines.collect(),
            salts: Salts { only: config.only_salt() },
        };
        let pools = config.pools.iter().enumerate().map(|(i, url)| {
            let err = |why| ServeError::Pool { url: url.clone(), why };
            connect::pool(PoolId(i as u32), url, &connecting).map_err(err)
        });
        let pools = pools.collect::<Result<_, _>>()?;
        let instance = format!("{:x}", around.instance);
        let tracer = config.otlp.as_ref().map(|how| Tracer::start(how, SERVICE, &instance));
        let otlp = |why| ConfigError { field: "otlp.endpoint".to_owned(), why };
        let tracer = tracer.transpose().map_err(otlp)?.unwrap_or_default();
        let clock = ModelClock::starting_now(config.speedup);
        let captured = config.capture.as_ref().map(|path| {
            let err = |cause| ServeError::Capture { path: path.clone(), cause };
            capture::start(path, clock).map_err(err)
        });
        let (capture, capture_writer) = captured.transpose()?.unzip();
        let router = Router::new(config.policy).with_seed(config.seed);
        let router = router.with_queue_limits(config.queue.limits());
        let reliability = config.reliability_in_model_time();
        let router = router.with_reliability(reliability);
        let router = router.with_admission(config.admission_limits());
        let router = router.with_siblings(config.siblings.sharing().siblings());
        let router = router.with_shadows(&config.shadows).telling_holders();
        let (index, roster) = (Arc::new(SharedIndex::new()), Arc::<Roster>::default());
        let secret = config.secret().to_owned();
        let state = RouterState {
            tenants: Tenants::new(&config.tenants, &config.tenant, &secret),
            places: Places::new(config.listener.streams_per_tenant),
            public: PublicPrefixes::new(&config.public_prefixes),
            scopes: Scopes::new(&secret),
            router: RouterHandle::new(
                clock,
                router,
                (Arc::clone(&index), Arc::clone(&roster)),
                sender,
            ),
            index,
            roster,
            connecting,
            pools,
            agreement: Agreement::new(config.model.clone(), config.block_size),
            config,
            instances: Instances::default(),
            siblings: Siblings::default(),
            events: Events::default(),
            in_flight: InFlight::default(),
            status: watch::channel(FleetStatus::default()).0,
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            instance: around.instance,
            naming: blake3::derive_key("warmpath v1 request names", secret.as_bytes()),
            resyncs: AtomicU64::new(0),
            capture,
            decided: DecidedNames::default(),
            tracer,
            overhead: Overhead::new(),
        };
        let state = Arc::new(state);
        for url in state.config.worker_urls() {
            following::add_worker(&state, &url)?;
        }
        let files = Arc::new(Mutex::new(Files { record: writer, capture: capture_writer }));
        Ok(Self { state, files, served: Arc::default() })
    }

    /// The members of the fleet. A change can be waited for.
    pub fn status(&self) -> watch::Receiver<FleetStatus> {
        self.state.status.subscribe()
    }

    pub fn counts(&self) -> Counts {
        let state = &self.state;
        Counts {
            in_flight: state.in_flight.len(),
            booked: state.router.fleet(|fleet| fleet.in_flight()),
            held: state.router.held().requests,
            of_siblings: state.router.fleet(|fleet| fleet.of_siblings()),
            resyncs: state.resyncs.load(Ordering::Relaxed),
            runs: state.index.read().runs(),
        }
    }

    /// Which batch of a worker's feed the index has applied last, and the digest of the blocks that it has of
    /// that worker.
    pub fn indexed(&self, worker: WorkerId) -> (Option<(u64, u64)>, Digest) {
        let index = self.state.index.read();
        (index.position(worker.into()), index.digest(worker.into()))
    }

    #[cfg(test)]
    pub(crate) const fn state(&self) -> &Arc<RouterState> {
        &self.state
    }

    /// The operator's calls, for callers in this process. From now on decisions can be explained.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.state)
    }

    /// Serves the operator's calls until `shutdown`. They need no token, so listen at a loopback
    /// address.
    pub async fn serve_admin(
        &self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        Ok(operator::serve(self.admin(), listener, shutdown).await?)
    }

    /// Serves the siblings of this router until `shutdown`. They need no token, so listen at a loopback
    /// address, or with `[siblings.tls]`.
    pub async fn serve_siblings(
        &self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        Ok(siblings::serve(Arc::clone(&self.state), listener, shutdown).await?)
    }

    /// Serves Envoy as its endpoint picker until `shutdown`. It needs no certificate, so listen at a loopback address
    /// or inside the fleet's network.
    pub async fn serve_picker(
        &self,
        config: ExtProcConfig,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        Ok(picker::serve(&self.state, config, listener, shutdown).await?)
    }

    /// Serves until `shutdown`, then drains: new and held requests are refused, and streams may
    /// finish within the configured time. Record and capture are complete when this returns.
    pub async fn serve(
        self,
        listener: impl Into<Listeners>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        if self.served.swap(true, Ordering::AcqRel) {
            return Err(ServeError::ServedAlready);
        }
        let state = &self.state;
        let Listeners { grpc, http } = listener.into();
        let front = GrpcFront::new(state)?;
        let http = http.map(|http| Ok((HttpFront::new(state, http.metrics)?, http.listener)));
        let http = http.transpose().map_err(|error: FrontError| error)?;
        let health = front.health();
        let following = Following::start(state);
        let mut tasks = JoinSet::new();
        let ticking = Arc::clone(state);
        tasks.spawn(async move { ticking.router.tick().await });
        let observed = Arc::clone(state);
        tasks.spawn(async move { gauges::refresh(&observed).await });
        tasks.spawn(health.follow(self.status()));
        tasks.spawn(siblings::follow_all(Arc::clone(state)));
        tasks.spawn(discover_all(Arc::clone(state)));

        let (close, closed) = watch::channel(());
        // Changed or dropped: both mean that it is time to close.
        let closing = |mut closed: watch::Receiver<()>| async move {
            let _ = closed.changed().await;
        };
        let served = closing(closed.clone());
        let server = async {
            tokio::join!(front.serve(grpc, closing(closed)), async {
                if let Some((front, listener)) = http {
                    front.serve(listener.into(), served).await;
                }
            });
        };
        let mut server = std::pin::pin!(server);
        tokio::select! {
            biased;
            () = &mut server => {}
            () = shutdown => {
                state.draining.store(true, Ordering::Release);
                state.router.stop_holding();
                state.publish(|status| status.draining = true);
                tokio::select! {
                    biased;
                    () = &mut server => {}
                    () = self.drain() => {}
                }
                close.send_replace(());
                if tokio::time::timeout(CLOSE_TIMEOUT, server).await.is_err() {
                    tracing::warn!("connections were cut off");
                }
            }
        }
        following.end().await;
        tasks.shutdown().await;
        self.state.tracer.finish().await;
        self.finish_files().await
    }

    /// Waits for the streams. A stream that takes too long is aborted.
    async fn drain(&self) {
        let state = &self.state;
        tracing::info!(in_flight = state.in_flight.len(), "draining");
        let until = clock::now() + Duration::from_millis(state.config.drain_timeout_ms);
        while !state.in_flight.is_empty() && clock::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        for left in state.in_flight.all() {
            if let Some(link) = left.link {
                let abort = link.abort(vec![left.upstream_id.to_string()]);
                // A worker that does not answer must not delay the end.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, abort).await;
            }
        }
    }

    async fn finish_files(&self) -> Result<(), ServeError> {
        let state = &self.state;
        state.router.close_record();
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        let blocking = |work: Box<dyn FnOnce() -> std::io::Result<u64> + Send>| async {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(std::io::Error::other).flatten()
        };
        // Both are tried: an error of one does not spoil the other.
        let mut errors = Vec::new();
        if let (Some(writer), Some(path)) = (files.record, state.config.record.clone()) {
            match blocking(Box::new(move || writer.finish())).await {
                Ok(entries) => tracing::info!(entries, path = %path.display(), "record written"),
                Err(cause) => errors.push(ServeError::Record { path, cause }),
            }
        }
        if let (Some(writer), Some(path)) = (files.capture, state.config.capture.clone())
            && let Some(capture) = state.capture.clone()
        {
            match blocking(Box::new(move || writer.finish(&capture))).await {
                Ok(rows) => tracing::info!(rows, path = %path.display(), "capture written"),
                Err(cause) => errors.push(ServeError::Capture { path, cause }),
            }
        }
        match errors.into_iter().next() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}
