//! The `router` binary: reads its configuration, listens, serves until it is told to stop. `router
//! admin` is an operator's hand on one that runs.

mod cli;
mod operate;

use clap::Parser;
use cli::{Cli, Command, Settings};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use warmpath_proto::transport;
use warmpath_router::{RouterServer, install_metrics};

/// The status of a process that was not told what it needs, or can't have it.
const UNUSABLE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .init();
    let cli = Cli::parse();
    if let Some(Command::Admin(admin)) = cli.command {
        return operate::run(admin).await;
    }
    let settings = match cli::settings(cli.serve) {
        Ok(settings) => settings,
        Err(line) => return unusable(&line),
    };
    run(settings).await.unwrap_or_else(|line| unusable(&line))
}

fn unusable(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::from(UNUSABLE)
}

/// An error is one line about something that can't be had.
async fn run(settings: Settings) -> Result<ExitCode, String> {
    let Settings { config, listen, metrics_listen, admin_listen, insecure_bind } = settings;
    for address in [Some(listen), metrics_listen].into_iter().flatten() {
        transport::may_bind(&address, insecure_bind)?;
    }
    // Who reaches it may do everything, so no flag opens it to the world.
    if let Some(address) = admin_listen.filter(|address| !address.ip().is_loopback()) {
        return Err(format!("admin_listen: {address} is not a loopback address, expected one"));
    }
    if let Some(address) = metrics_listen {
        install_metrics(address).map_err(|error| format!("metrics_listen: {address}: {error}"))?;
        tracing::info!(%address, "metrics");
    }
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| format!("listen: {listen}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let admin_listener = match admin_listen {
        Some(address) => {
            let bound = tokio::net::TcpListener::bind(address).await;
            Some(bound.map_err(|error| format!("admin_listen: {address}: {error}"))?)
        }
        None => None,
    };
    let stopped = transport::stop_signal();
    tracing::info!(
        %address,
        tenant = config.tenant,
        policy = %config.policy,
        workers = config.workers.len(),
        speedup = config.speedup,
        "listening; all clients are this one tenant"
    );
    let router = RouterServer::new(config).map_err(|error| error.to_string())?;
    // Ends with the process's work: an operator can watch a router drain.
    let mut admin = tokio::task::JoinSet::new();
    if let Some(listener) = admin_listener {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        tracing::info!(%address, "admin");
        let router = router.clone();
        admin.spawn(async move {
            if let Err(error) = router.serve_admin(listener, std::future::pending()).await {
                tracing::error!(%error, "the admin service stopped");
            }
        });
    }
    match router.serve(listener, stopped).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "stopped");
            Ok(ExitCode::FAILURE)
        }
    }
}
