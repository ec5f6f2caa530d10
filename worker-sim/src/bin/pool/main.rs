//! The `pool` binary: reads its configuration, listens, serves until it is told to stop.

use std::process::ExitCode;
use warmpath_launch::command_line;
use warmpath_launch::process::{ended, log_to_stderr, run, stop_signal};
use warmpath_worker_sim::pool::cli::{self, Cli, Settings};
use warmpath_worker_sim::{install_metrics, pool};

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    let cli: Cli = match command_line::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match cli.about {
        Some(about) => about.print::<Cli>(),
        None => run(cli::settings(cli.serve), serve_by).await,
    }
}

/// Serves with the settings. An error is one line.
async fn serve_by(Settings { config, listen }: Settings) -> Result<ExitCode, String> {
    let install = |address| install_metrics(Some(address)).map(drop);
    let (listener, address) = listen.bind(config.tls.is_some(), install).await?;
    let stopped = stop_signal();
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
    Ok(ended(pool::serve(listener, config, stopped).await))
}
