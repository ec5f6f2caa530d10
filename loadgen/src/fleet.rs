//! A fleet in this process: a router and its workers, the code of the real binaries on real
//! loopback sockets.

use crate::config::Setup;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::WorkerConfig;

const JOIN_LIMIT: Duration = Duration::from_secs(20);

pub struct Fleet {
    pub target: String,
    stop_router: watch::Sender<bool>,
    stop_workers: watch::Sender<bool>,
    router: JoinHandle<Result<()>>,
    workers: Vec<JoinHandle<Result<()>>>,
}

impl Fleet {
    /// Returns when every worker has joined the router.
    pub async fn start(
        setup: &Setup,
        policy: PolicyConfig,
        speedup: f64,
        record: Option<&Path>,
    ) -> Result<Self> {
        let (stop_router, router_stopped) = watch::channel(false);
        let (stop_workers, workers_stopped) = watch::channel(false);
        let mut urls = Vec::new();
        let mut workers = Vec::new();
        for (i, profile) in setup.fleet.each_worker().into_iter().enumerate() {
            let listener = listen().await?;
            urls.push(format!("http://{}", listener.local_addr()?));
            let mut config = WorkerConfig::new(profile.clone());
            config.name = format!("worker-{i}");
            config.speedup = speedup;
            let stopped = wait_for(workers_stopped.clone());
            workers.push(tokio::spawn(async move {
                Ok(warmpath_worker_sim::serve(listener, config, stopped).await?)
            }));
        }
        let mut config = RouterConfig::new(urls, policy);
        config.speedup = speedup;
        config.seed = setup.seed;
        config.record = record.map(Path::to_owned);
        let listener = listen().await?;
        let target = format!("http://{}", listener.local_addr()?);
        let server = RouterServer::new(config)?;
        let mut status = server.status();
        let stopped = wait_for(router_stopped);
        let router = tokio::spawn(async move { Ok(server.serve(listener, stopped).await?) });
        let fleet = Self { target, stop_router, stop_workers, router, workers };
        let all = setup.fleet.workers() as usize;
        let joined = status.wait_for(|s| s.joined.len() == all || !s.refused.is_empty());
        let now = tokio::time::timeout(JOIN_LIMIT, joined)
            .await
            .with_context(|| format!("{all} workers did not join the router in {JOIN_LIMIT:?}"))?
            .context("the router stopped before its workers joined")?;
        if let Some((worker, why)) = now.refused.first() {
            bail!("the router refused {worker}: {why}");
        }
        drop(now);
        Ok(fleet)
    }

    pub async fn stop(self) -> Result<()> {
        self.stop_router.send_replace(true);
        self.router.await??;
        self.stop_workers.send_replace(true);
        for worker in self.workers {
            worker.await??;
        }
        Ok(())
    }
}

async fn listen() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone stops it too.
    let _ = stopped.wait_for(|&stop| stop).await;
}
