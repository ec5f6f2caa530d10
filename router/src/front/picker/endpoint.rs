//! Where workers are for Envoy: `ip:port` of their HTTP.

use crate::lookup::addresses;
use std::net::{IpAddr, SocketAddr};
use tonic::transport::Uri;

/// The endpoint of a worker whose gRPC has this URL. None: its name has no address now.
pub async fn endpoint(url: &str, port: u16) -> Option<String> {
    let host = url.parse::<Uri>().ok()?.host()?.to_owned();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => addresses(url).await.ok()?.first()?.ip(),
    };
    Some(SocketAddr::new(ip, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endpoint_is_an_address_and_the_http_port() {
        let at = async |url| endpoint(url, 8_000).await;
        assert_eq!(at("http://10.0.0.7:7000").await.as_deref(), Some("10.0.0.7:8000"));
        assert_eq!(at("https://[fd00::7]:7000").await.as_deref(), Some("[fd00::7]:8000"));
        assert!(at("http://localhost:7000").await.is_some_and(|at| at.ends_with(":8000")));
    }
}
