//! What every process does before it serves: log, take its address, or say in one line why not.

use std::net::SocketAddr;
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

/// Listens at `address`, and says where that is. `setting` is what the address is called in an
/// error, which is one line.
pub async fn bind(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("{setting}: {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
