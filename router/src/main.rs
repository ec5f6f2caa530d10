//! The `router` binary: reads its configuration, listens, serves until it is told to stop. `router
//! admin` queries and controls a running router.

use std::process::ExitCode;
use warmpath_launch::command_line;
use warmpath_launch::listen::bind;
use warmpath_launch::process::{ended, log_to_stderr, run, stop_signal};
use warmpath_router::cli::{self, Cli, Command, Settings};
use warmpath_router::{Http, Listeners, RouterServer, install_metrics, operate};

/// A request makes some hundred small allocations, and often another thread frees them. With the C library's allocator
/// they took a sixth of the router's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    let cli: Cli = match command_line::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match cli.command {
        Some(Command::Admin(admin)) => return operate::run(admin).await,
        Some(Command::Manual(about)) => return about.print::<Cli>(),
        None => {}
    }
    run(cli::settings(cli.serve), serve_by).await
}

/// Serves with the settings. An error is one line.
async fn serve_by(settings: Settings) -> Result<ExitCode, String> {
    let Settings { config, listen, admin_listen, http_listen } = settings;
    // Without certificates anybody who reaches the admin service is an operator.
    let open = |address: &std::net::SocketAddr| !address.ip().is_loopback();
    if let Some(address) = admin_listen.filter(open).filter(|_| config.admin_tls.is_none()) {
        let why = "is not a loopback address, expected one or [admin_tls]";
        return Err(format!("admin_listen: {address} {why}"));
    }
    let siblings = config.siblings.listen;
    if let Some(address) = siblings.filter(open).filter(|_| config.siblings.tls.is_none())
        && !listen.insecure_bind
    {
        let why = "is not a loopback address, expected one, [siblings.tls] or --insecure-bind";
        return Err(format!("siblings.listen: {address} {why}"));
    }
    let picker = config.ext_proc;
    if let Some(address) = picker.map(|picker| picker.listen).filter(open)
        && !listen.insecure_bind
    {
        let why = "is not a loopback address, expected one or --insecure-bind";
        return Err(format!("ext_proc.listen: {address} {why}"));
    }
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
    let admin_listener = match admin_listen {
        Some(address) => Some(bind("admin_listen", address).await?),
        None => None,
    };
    let siblings_listener = match siblings {
        Some(address) => Some(bind("siblings.listen", address).await?),
        None => None,
    };
    let picker_listener = match picker {
        Some(config) => Some((config, bind("ext_proc.listen", config.listen).await?)),
        None => None,
    };
    let stopped = stop_signal();
    let (tenant, clients) = match config.tenants.len() {
        0 => (config.tenant.as_str(), "all clients are this one tenant"),
        _ => ("by token", "a bearer token names the client's tenant"),
    };
    tracing::info!(
        %address,
        tls,
        tenant,
        policy = %config.policy,
        workers = config.workers.len(),
        speedup = config.speedup,
        sharing = config.sharing.name(),
        public_prefixes = config.public_prefixes.len(),
        "listening; {clients}"
    );
    let router = RouterServer::new(config).map_err(|error| error.to_string())?;
    // It ends with the process, so an operator can watch a router drain.
    let mut admin = tokio::task::JoinSet::new();
    if let Some((listener, address)) = admin_listener {
        tracing::info!(%address, "admin");
        let router = router.clone();
        admin.spawn(async move {
            if let Err(error) = router.serve_admin(listener, std::future::pending()).await {
                tracing::error!(%error, "the admin service stopped");
            }
        });
    }
    // The same: what is under way while the router drains still counts for the others.
    if let Some((listener, address)) = siblings_listener {
        tracing::info!(%address, "siblings");
        let router = router.clone();
        admin.spawn(async move {
            if let Err(error) = router.serve_siblings(listener, std::future::pending()).await {
                tracing::error!(%error, "siblings are not told any more");
            }
        });
    }
    if let Some((config, (listener, address))) = picker_listener {
        tracing::info!(%address, "endpoint picker");
        let router = router.clone();
        admin.spawn(async move {
            let served = router.serve_picker(config, listener, std::future::pending()).await;
            if let Err(error) = served {
                tracing::error!(%error, "Envoy is not served any more");
            }
        });
    }
    let listeners = Listeners { grpc: listener.into(), http };
    Ok(ended(router.serve(listeners, stopped).await))
}
