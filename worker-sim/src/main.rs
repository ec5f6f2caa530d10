//! The `worker-sim` binary: reads its configuration, listens, serves until it is told to stop.

use std::process::ExitCode;
use warmpath_launch::command_line;
use warmpath_launch::process::{ended, log_to_stderr, run, stop_signal};
use warmpath_worker_sim::cli::{self, Cli, Settings};
use warmpath_worker_sim::{Http, Listeners, install_metrics, serve};

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
async fn serve_by(settings: Settings) -> Result<ExitCode, String> {
    let Settings { config, listen, http_listen } = settings;
    let tls = config.tls.is_some();
    let http = match http_listen {
        Some(address) => Some(listen.bind_http(tls, address).await?),
        None => None,
    };
    let mut metrics = None;
    let install = |address| install_metrics(Some(address)).map(|handle| metrics = Some(handle));
    let (listener, address) = listen.bind(tls, install).await?;
    let http = match http {
        None => None,
        Some((listener, address)) => {
            tracing::info!(%address, tls, "HTTP");
            if metrics.is_none() {
                metrics = Some(install_metrics(None).map_err(|error| error.to_string())?);
            }
            Some(Http { listener, metrics })
        }
    };
    let profile = &config.profile;
    let stopped = stop_signal();
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
    let listeners = Listeners { grpc: listener.into(), http };
    Ok(ended(serve(listeners, config, stopped).await))
}
