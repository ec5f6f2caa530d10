//! The addresses a process listens at: flags, rules and listeners.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// The flags for a process's addresses. Its settings file has fields with the same names.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct ListenArgs {
    /// The address to serve at; port 0 takes a free port [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The address for Prometheus metrics; no metrics without it. Engine times are in model seconds,
    /// and rate() is by wall time: a gauge has the speedup between the two
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Allows listeners without TLS at addresses other than loopback; metrics never have TLS
    #[arg(long)]
    pub insecure_bind: bool,
}

/// The flags for OpenAI's HTTP. A settings file has `http_listen`, and a table `[http]` with `tokenizer`.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct HttpArgs {
    /// The address for OpenAI's HTTP, by the same rules as --listen; no HTTP without it
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// A folder with tokenizer.json and tokenizer_config.json, for text over HTTP [default: a
    /// built-in tokenizer of bytes]
    #[arg(long, value_name = "FOLDER")]
    pub tokenizer: Option<PathBuf>,
}

/// The flags for a listener's TLS. Its settings file has a table `[tls]` with `cert`, `key` and
/// `client_ca`.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct TlsArgs {
    /// Serves with TLS: the listener's certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Only clients with a certificate of this CA may connect, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}

/// The flags for traces. A settings file has a table `[otlp]` with `endpoint` and `ratio`.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct OtlpArgs {
    /// Sends traces to this collector: OTLP over gRPC, http://host:port; no traces without it
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// The share of the traces that begin here that is recorded, 0 to 1 [default: 1]
    #[arg(long, value_name = "X")]
    pub otlp_ratio: Option<f64>,
}

impl ListenArgs {
    /// These flags, with the values of `file` where a flag is missing.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            metrics_listen: self.metrics_listen.or(file.metrics_listen),
            insecure_bind: self.insecure_bind || file.insecure_bind,
        }
    }

    /// Listens at `address`, by the rules of --listen.
    pub async fn bind_http(
        &self,
        tls: bool,
        address: SocketAddr,
    ) -> Result<(TcpListener, SocketAddr), String> {
        may_bind("http_listen", &address, tls || self.insecure_bind)?;
        bind("http_listen", address).await
    }

    /// Starts the metrics server if it has an address, then listens. Returns the listener and its
    /// address. `tls`: what is served there has TLS. An error is one line that names the setting and
    /// the address.
    pub async fn bind<E: Display>(
        self,
        tls: bool,
        install_metrics: impl FnOnce(SocketAddr) -> Result<(), E>,
    ) -> Result<(TcpListener, SocketAddr), String> {
        let listen = self.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
        may_bind("listen", &listen, tls || self.insecure_bind)?;
        if let Some(address) = self.metrics_listen {
            may_bind("metrics_listen", &address, self.insecure_bind)?;
            let failed = |error| format!("metrics_listen: {address}: {error}");
            install_metrics(address).map_err(failed)?;
            tracing::info!(%address, "metrics");
        }
        bind("listen", listen).await
    }
}

/// Listens at `address`. Returns the listener and the address it got. An error is one line that
/// begins with `setting`, the setting's name.
pub async fn bind(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("{setting}: {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// An address other than loopback needs TLS, or `--insecure-bind`. An error is one line.
fn may_bind(setting: &str, address: &SocketAddr, allowed: bool) -> Result<(), String> {
    if address.ip().is_loopback() || allowed {
        return Ok(());
    }
    let expected = match setting {
        "listen" | "http_listen" => "expected one, TLS or --insecure-bind",
        _ => "expected one or --insecure-bind",
    };
    Err(format!("{setting}: {address} is not a loopback address, {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_other_than_loopback_needs_a_second_flag() {
        let address = |text: &str| text.parse().unwrap();
        assert!(may_bind("listen", &address("127.0.0.1:0"), false).is_ok());
        assert!(may_bind("listen", &address("[::1]:0"), false).is_ok());
        assert!(may_bind("listen", &address("0.0.0.0:80"), true).is_ok());
        assert!(
            may_bind("listen", &address("0.0.0.0:80"), false).unwrap_err().contains("0.0.0.0:80")
        );
        let metrics = may_bind("metrics_listen", &address("0.0.0.0:80"), false).unwrap_err();
        assert!(metrics.ends_with("expected one or --insecure-bind"), "{metrics}");
    }
}
