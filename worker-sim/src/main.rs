//! The `worker-sim` binary: reads its configuration, listens, serves until it is told to stop.

mod cli;

use clap::Parser;
use cli::{Cli, Settings};
use std::net::SocketAddr;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use warmpath_proto::transport;
use warmpath_worker_sim::{install_metrics, serve};

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
    let settings = match cli::settings(Cli::parse()) {
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
    let Settings { config, listen, metrics_listen, insecure_bind } = settings;
    for address in [Some(listen), metrics_listen].into_iter().flatten() {
        transport::may_bind(&address, insecure_bind)?;
    }
    if let Some(address) = metrics_listen {
        install_metrics(address).map_err(|error| format!("metrics_listen: {address}: {error}"))?;
        tracing::info!(%address, "metrics");
    }
    let listener = bind(listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let profile = &config.profile;
    let stopped = transport::stop_signal();
    tracing::info!(
        %address,
        worker = config.name,
        model = config.model,
        profile = profile.name,
        validated = profile.validated,
        band_percent = profile.standing().band_percent,
        because = profile.standing().because,
        speedup = config.speedup,
        "listening"
    );
    match serve(listener, config, stopped).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "stopped");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, String> {
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.map_err(|error| format!("listen: {address}: {error}"))
}
