//! The addresses behind a URL's host. A name may have several, as a headless service has, and they may come
//! and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tonic::transport::Uri;

/// How often a name is looked up.
pub const REFRESH: Duration = Duration::from_secs(5);

/// The addresses, each once and in order.
pub async fn addresses(url: &str) -> Result<BTreeSet<SocketAddr>, String> {
    let parsed: Uri = url.parse().map_err(|_| format!("'{url}' is no URL"))?;
    let authority = parsed.authority().and_then(|a| Some((a.host(), a.port_u16()?)));
    let (host, port) = authority.ok_or_else(|| format!("'{url}' has no host and port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_addresses_of_a_url_are_looked_up() {
        let found = async |url: &str| addresses(url).await.map(Vec::from_iter);
        assert_eq!(found("http://127.0.0.1:7").await, Ok(vec!["127.0.0.1:7".parse().unwrap()]));
        assert_eq!(found("https://[::1]:8").await, Ok(vec!["[::1]:8".parse().unwrap()]));
        let local = found("http://localhost:9").await.unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback()), "{local:?}");
    }
}
