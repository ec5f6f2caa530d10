//! The `pool` binary: reads its configuration, listens, serves until it is told to stop.

mod cli;

use clap::Parser;
use cli::{Cli, Settings};
use std::process::ExitCode;
use warmpath_proto::process::{bind, log_to_stderr, unusable};
use warmpath_proto::transport;
use warmpath_worker_sim::{install_metrics, pool};

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    let settings = match cli::settings(Cli::parse()) {
        Ok(settings) => settings,
        Err(line) => return unusable(&line),
    };
    run(settings).await.unwrap_or_else(|line| unusable(&line))
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
    let (listener, address) = bind("listen", listen).await?;
    let stopped = transport::stop_signal();
    tracing::info!(
        %address,
        pool = config.name,
        model = config.model,
        profile = config.profile.name,
        tokens = config.spec.tokens,
        gb_s = config.spec.gb_s,
        store_gb_s = config.spec.store_gb_s,
        speedup = config.speedup,
        "listening"
    );
    match pool::serve(listener, config, stopped).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "stopped");
            Ok(ExitCode::FAILURE)
        }
    }
}
