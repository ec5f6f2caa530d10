//! Listening, draining, stopping.

use crate::admin::Admin;
use crate::config::{ConfigError, RouterConfig};
use crate::heart::Heart;
use crate::metrics;
use crate::pools::{self, Pool};
use crate::public::PublicPrefixes;
use crate::record::{self, RecordWriter};
use crate::roster::{AddError, Roster};
use crate::service::{InferenceService, identified};
use crate::shared::{Counts, Dispatched, FleetStatus, Shared};
use crate::tenants::Tenants;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use warmpath_core::id::PoolId;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::routing::record::Header;
use warmpath_proto::clock::ModelClock;
use warmpath_proto::control::ControlService;
use warmpath_proto::probes;
use warmpath_proto::raw::inference_server::InferenceServer;
use warmpath_proto::transport::{self, MAX_GENERATE_BYTES, PENDING_RESETS};
use warmpath_proto::v1::router_admin_server::RouterAdminServer;
use warmpath_proto::vllm::control_server::ControlServer;

/// How long connections may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a drain looks whether all streams have ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("workers: {0}")]
    Worker(#[from] AddError),
    #[error("pools: '{url}', expected http://host:port: {cause}")]
    Pool { url: String, cause: tonic::transport::Error },
    #[error("record: '{}': {cause}", path.display())]
    Record { path: PathBuf, cause: std::io::Error },
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("a router serves once")]
    ServedAlready,
}

/// A router that listens when told to. Clones are one router.
#[derive(Clone, Debug)]
pub struct RouterServer {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Option<RecordWriter>>>,
    served: Arc<AtomicBool>,
}

/// Builds a router and serves until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    config: RouterConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    RouterServer::new(config)?.serve(listener, shutdown).await
}

impl RouterServer {
    /// Must be called within a tokio runtime. Model time begins here.
    pub fn new(config: RouterConfig) -> Result<Self, ServeError> {
        config.check()?;
        let (sender, writer) = match &config.record {
            Some(path) => {
                let started = record::start(path, &Header::new(config.policy, config.seed));
                let err = |cause| ServeError::Record { path: path.clone(), cause };
                let (sender, writer) = started.map_err(err)?;
                (Some(sender), Some(writer))
            }
            None => (None, None),
        };
        let pools = config.pools.iter().enumerate().map(|(i, url)| {
            let err = |cause| ServeError::Pool { url: url.clone(), cause };
            Pool::new(PoolId(i as u32), url).map_err(err)
        });
        let pools = pools.collect::<Result<_, _>>()?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = ModelClock::starting_now(config.speedup);
        let router = Router::new(config.policy).with_seed(config.seed);
        let secret = config.secret().to_owned();
        let shared = Shared {
            tenants: Tenants::new(&config.tenants, &config.tenant, &secret),
            public: PublicPrefixes::new(&config.public_prefixes),
            heart: Heart::new(clock, router, sender),
            config,
            index: RwLock::new(PrefixIndex::with_digests()),
            roster: Roster::default(),
            pools,
            terms: OnceLock::new(),
            in_flight: dashmap::DashMap::new(),
            status: watch::channel(FleetStatus::default()).0,
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            instance: since.map_or(1, |since| since.as_nanos() as u64),
            resyncs: AtomicU64::new(0),
            dispatched: Dispatched::default(),
        };
        let shared = Arc::new(shared);
        for url in &shared.config.workers {
            shared.roster.add(&shared, url)?;
        }
        let writer = Arc::new(Mutex::new(writer));
        Ok(Self { shared, writer, served: Arc::default() })
    }

    /// Who is in the fleet; changes can be waited for.
    pub fn status(&self) -> watch::Receiver<FleetStatus> {
        self.shared.status.subscribe()
    }

    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        Counts {
            in_flight: shared.in_flight.len(),
            booked: shared.heart.fleet(|fleet| fleet.in_flight()),
            resyncs: shared.resyncs.load(Ordering::Relaxed),
            runs: shared.index().runs(),
        }
    }

    /// The control surface, for callers in this process. From now on decisions can be explained.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.shared)
    }

    /// Serves the control surface until `shutdown`. Whoever reaches the listener may do everything,
    /// so it must be a loopback one.
    pub async fn serve_admin(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let admin =
            RouterAdminServer::new(self.admin()).max_decoding_message_size(MAX_GENERATE_BYTES);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(warmpath_proto::ADMIN_DESCRIPTOR_SET)
            .build_v1()?;
        let server = transport::server(PENDING_RESETS).add_service(admin).add_service(reflection);
        Ok(server.serve_with_incoming_shutdown(transport::accept(listener), shutdown).await?)
    }

    /// Serves until `shutdown`, then drains: new requests are refused, and streams may finish
    /// within the configured time. The record is complete when this returns.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        if self.served.swap(true, Ordering::AcqRel) {
            return Err(ServeError::ServedAlready);
        }
        let mut tasks = JoinSet::new();
        let shared = &self.shared;
        let following = Roster::follow_all(shared);
        let mut pools = pools::follow_all(shared);
        let ticking = Arc::clone(shared);
        tasks.spawn(async move { ticking.heart.tick().await });
        let observed = Arc::clone(shared);
        tasks.spawn(async move { metrics::observe(&observed).await });
        // What a probe asks for, health and the calls' descriptions, is for everybody.
        let (health, server) = probes::server(PENDING_RESETS)?;
        tasks.spawn(report_health(health.clone(), self.status()));

        let (close, closed) = oneshot::channel::<()>();
        let inference = InferenceServer::new(InferenceService(Arc::clone(shared)))
            .max_decoding_message_size(MAX_GENERATE_BYTES);
        let control = ControlServer::new(ControlService(Arc::clone(shared)));
        let (inference, control) = (identified(shared, inference), identified(shared, control));
        let server = server
            .add_service(inference)
            .add_service(control)
            .serve_with_incoming_shutdown(transport::accept(listener), async {
                // Dropped or sent, the time to close has come.
                let _ = closed.await;
            });
        let mut server = std::pin::pin!(server);
        tokio::select! {
            result = &mut server => result?,
            () = shutdown => {
                shared.draining.store(true, Ordering::Release);
                health.set_service_status("", ServingStatus::NotServing).await;
                tokio::select! {
                    result = &mut server => result?,
                    () = self.drain() => {}
                }
                let _ = close.send(());
                if tokio::time::timeout(CLOSE_TIMEOUT, server).await.is_err() {
                    tracing::warn!("connections were cut off");
                }
            }
        }
        following.end().await;
        pools.shutdown().await;
        tasks.shutdown().await;
        self.finish_record().await
    }

    /// Waits for the streams; those that take too long are aborted.
    async fn drain(&self) {
        let shared = &self.shared;
        tracing::info!(in_flight = shared.in_flight.len(), "draining");
        let until = Instant::now() + Duration::from_millis(shared.config.drain_timeout_ms);
        while !shared.in_flight.is_empty() && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        let left: Vec<_> = shared.in_flight.iter().map(|entry| entry.value().clone()).collect();
        for place in left {
            if let Some(link) = place.link {
                let abort = link.abort(vec![place.upstream_id]);
                // A worker that does not answer must not hold up the end.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, abort).await;
            }
        }
    }

    async fn finish_record(&self) -> Result<(), ServeError> {
        self.shared.heart.close_record();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(writer), Some(path)) = (writer, self.shared.config.record.clone()) else {
            return Ok(());
        };
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        let finished = finished.map_err(std::io::Error::other).flatten();
        match finished {
            Ok(entries) => {
                tracing::info!(entries, path = %path.display(), "record written");
                Ok(())
            }
            Err(cause) => Err(ServeError::Record { path, cause }),
        }
    }
}

/// Healthy is a router that has a worker.
async fn report_health(health: HealthReporter, mut status: watch::Receiver<FleetStatus>) {
    loop {
        let serving = match status.borrow_and_update().joined.is_empty() {
            true => ServingStatus::NotServing,
            false => ServingStatus::Serving,
        };
        health.set_service_status("", serving).await;
        health.set_service_status("vllm.Inference", serving).await;
        if status.changed().await.is_err() {
            return;
        }
    }
}
