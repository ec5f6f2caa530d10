//! What every process does before it serves: log, take its addresses, or say in one line why not.

use crate::transport;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// The status of a process that was not told what it needs, or can't have it.
pub const UNUSABLE: u8 = 2;

/// Logs to standard error, as much as `RUST_LOG` says. Call once.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .init();
}

pub fn unusable(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::from(UNUSABLE)
}

/// Serves by settings, unless they can't be had: an error of either is one line.
pub async fn run<S, F>(settings: Result<S, String>, serve: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = Result<ExitCode, String>>,
{
    let served = match settings {
        Ok(settings) => serve(settings).await,
        Err(line) => Err(line),
    };
    served.unwrap_or_else(|line| unusable(&line))
}

/// The status of a process that has served.
pub fn ended<E: Display>(served: Result<(), E>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

/// Where a process serves, by flags; its file has fields of the same names.
#[derive(clap::Args, Clone, Copy, Default, Debug)]
pub struct Places {
    /// Where to serve; port 0 takes a free one [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where to serve Prometheus metrics; without it there are none
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Listen on other than loopback addresses, without authentication
    #[arg(long)]
    pub insecure_bind: bool,
}

impl Places {
    /// What is not given here is as it is there.
    #[must_use]
    pub fn or(self, there: Self) -> Self {
        Self {
            listen: self.listen.or(there.listen),
            metrics_listen: self.metrics_listen.or(there.metrics_listen),
            insecure_bind: self.insecure_bind || there.insecure_bind,
        }
    }

    /// Has metrics served where that is wanted, and listens; gives back where. An error is one line
    /// about the place that can't be had.
    pub async fn take<E: Display>(
        self,
        install_metrics: impl FnOnce(SocketAddr) -> Result<(), E>,
    ) -> Result<(TcpListener, SocketAddr), String> {
        let listen = self.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
        for address in [Some(listen), self.metrics_listen].into_iter().flatten() {
            transport::may_bind(&address, self.insecure_bind)?;
        }
        if let Some(address) = self.metrics_listen {
            let failed = |error| format!("metrics_listen: {address}: {error}");
            install_metrics(address).map_err(failed)?;
            tracing::info!(%address, "metrics");
        }
        bind("listen", listen).await
    }
}

/// Listens at `address`, and says where that is. `setting` is what the address is called in an
/// error, which is one line.
pub async fn bind(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("{setting}: {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
