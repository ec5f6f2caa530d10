//! A fleet in this process: a router, its workers and their pool. They are the code of the real
//! binaries on real loopback sockets.

use crate::play::identities::{self, Identities};
use crate::setup::Setup;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_router::config::Part;
use warmpath_router::limits::ListenerConfig;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::pool::{self, PoolConfig};
use warmpath_worker_sim::{Lateness, Surroundings, WorkerConfig};

const JOIN_LIMIT: Duration = Duration::from_secs(20);

pub struct LocalFleet {
    pub target: String,
    /// Tokens of the tenants that the router knows.
    pub identities: Identities,
    stop_router: watch::Sender<bool>,
    stop_workers: watch::Sender<bool>,
    pool: Option<PoolProcess>,
    /// How late the threads of the engines were.
    engines_late: Lateness,
    router: JoinHandle<Result<()>>,
    workers: Vec<JoinHandle<Result<()>>>,
}

impl LocalFleet {
    /// Returns when every worker has joined the router and the router follows the pool.
    pub async fn start(
        setup: &Setup,
        policy: PolicyConfig,
        speedup: f64,
        record: Option<&Path>,
    ) -> Result<Self> {
        let (stop_router, router_stopped) = watch::channel(false);
        let (stop_workers, workers_stopped) = watch::channel(false);
        let pool = PoolProcess::start(setup, speedup).await?;
        let mut urls = Vec::new();
        let mut workers = Vec::new();
        let engines_late = Lateness::default();
        let roles = setup.fleet.each_role();
        for (i, profile) in setup.fleet.each_worker().into_iter().enumerate() {
            let listener = listen().await?;
            urls.push(format!("http://{}", listener.local_addr()?));
            let mut config = WorkerConfig::new(profile.clone());
            config.name = format!("worker-{i}");
            config.speedup = speedup;
            config.role = roles[i];
            config.kv_transfer = setup.kv_transfer.filter(|_| !roles[i].is_both());
            config.pool = pool.as_ref().filter(|_| profile.pool.is_some()).map(PoolProcess::url);
            let stopped = wait_for(workers_stopped.clone());
            let around = Surroundings { lateness: engines_late.clone(), ..Default::default() };
            workers.push(tokio::spawn(async move {
                Ok(warmpath_worker_sim::serve_in(listener, config, stopped, around).await?)
            }));
        }
        let mut config = RouterConfig::new(urls, policy);
        config.listener = ListenerConfig::for_own_clients();
        config.speedup = speedup;
        config.seed = setup.seed;
        config.queue = setup.queue_limits().into();
        config.reliability = setup.reliability();
        config.admission = match &setup.admission {
            Some(admission) => Part::With(admission.clone()),
            None => Part::On(false),
        };
        config.record = record.map(Path::to_owned);
        config.pools = pool.iter().map(PoolProcess::url).collect();
        let identities = identities::configure(&mut config, setup)?;
        let pools = config.pools.len();
        let listener = listen().await?;
        let target = format!("http://{}", listener.local_addr()?);
        let server = RouterServer::new(config)?;
        let mut status = server.status();
        let stopped = wait_for(router_stopped);
        let router = tokio::spawn(async move { Ok(server.serve(listener, stopped).await?) });
        let fleet = Self {
            target,
            identities,
            stop_router,
            stop_workers,
            pool,
            engines_late,
            router,
            workers,
        };
        let all = setup.fleet.workers() as usize;
        let joined = status
            .wait_for(|s| s.joined.len() == all && s.pools.len() == pools || !s.refused.is_empty());
        let now = tokio::time::timeout(JOIN_LIMIT, joined)
            .await
            .with_context(|| {
                format!("{all} workers and {pools} pools did not join the router in {JOIN_LIMIT:?}")
            })?
            .context("the router stopped before its workers joined")?;
        if let Some((worker, why)) = now.refused.first() {
            bail!("the router refused {worker}: {why}");
        }
        drop(now);
        Ok(fleet)
    }

    /// By how much a turn of an engine was late in the mean, and a turn of the pool.
    pub fn lateness(&self) -> (Option<Duration>, Option<Duration>) {
        (self.engines_late.mean(), self.pool.as_ref().and_then(|pool| pool.late.mean()))
    }

    pub async fn stop(self) -> Result<()> {
        self.stop_router.send_replace(true);
        self.router.await??;
        self.stop_workers.send_replace(true);
        for worker in self.workers {
            worker.await??;
        }
        match self.pool {
            Some(pool) => pool.stop().await,
            None => Ok(()),
        }
    }
}

/// A pool with its own tokio runtime, so that its timers do not wait behind the fleet's calls and it
/// can be killed like a process.
struct PoolProcess {
    address: SocketAddr,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<()>>,
    late: Lateness,
}

impl PoolProcess {
    /// None: no worker has a link to a pool.
    async fn start(setup: &Setup, speedup: f64) -> Result<Option<Self>> {
        let user = setup.fleet.profiles().into_iter().find(|profile| profile.pool.is_some());
        let Some((profile, spec)) = user.zip(setup.pool.clone()) else { return Ok(None) };
        let mut config = PoolConfig::new(profile.clone(), spec);
        config.speedup = speedup;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pool")
            .enable_all()
            .build()?;
        let listener = listen().await?.into_std()?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let late = Lateness::default();
        let around = Surroundings { lateness: late.clone(), ..Default::default() };
        let served = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            let stopped = wait_for(stopped);
            Ok(pool::serve_in(listener, config, stopped, around).await?)
        });
        Ok(Some(Self { address, runtime: Some(runtime), stop, served, late }))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let served = (&mut self.served).await;
        drop(self);
        served?
    }

    /// Ends the pool without a shutdown: its sockets close.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Dropping a runtime blocks, which is not allowed inside another runtime.
impl Drop for PoolProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn listen() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // A dropped sender means stop too.
    let _ = stopped.wait_for(|&stop| stop).await;
}
