//! Where workers are for Envoy: `ip:port` of their HTTP. A name is looked up when its worker comes and every few
//! seconds, and not for each request.

use crate::fleet::worker::WorkerLink;
use crate::lookup::{REFRESH, addresses};
use crate::state::RouterState;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use tonic::transport::Uri;
use warmpath_core::id::WorkerId;

/// By worker.
pub type Known = BTreeMap<WorkerId, Arc<str>>;

/// The endpoints of all workers.
#[derive(Debug)]
pub struct Endpoints {
    /// The port of the workers' HTTP.
    port: u16,
    known: RwLock<Arc<Known>>,
}

impl Endpoints {
    pub fn new(port: u16) -> Self {
        Self { port, known: RwLock::default() }
    }

    /// Those that are known now.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Of a worker. It is looked up only if the worker is new. None: its name has no address.
    pub async fn of(&self, link: &WorkerLink) -> Option<Arc<str>> {
        if let Some(at) = self.known().get(&link.id) {
            return Some(Arc::clone(at));
        }
        let at = endpoint(&link.url, self.port).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut known).insert(link.id, Arc::clone(&at));
        Some(at)
    }

    /// Looks all up, again and again. Runs as long as the router lives.
    pub async fn follow(&self, state: &RouterState) {
        let mut status = state.status.subscribe();
        loop {
            let before = self.known();
            let mut now = Known::new();
            for link in state.roster.links() {
                let found = endpoint(&link.url, self.port).await;
                // A name that cannot be looked up at the moment keeps its address.
                if let Some(at) = found.or_else(|| before.get(&link.id).cloned()) {
                    now.insert(link.id, at);
                }
            }
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
            tokio::select! {
                biased;
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }
}

/// The endpoint of a worker whose gRPC has this URL. None: its name has no address now.
async fn endpoint(url: &str, port: u16) -> Option<Arc<str>> {
    let host = url.parse::<Uri>().ok()?.host()?.to_owned();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => addresses(url).await.ok()?.first()?.ip(),
    };
    Some(SocketAddr::new(ip, port).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RouterConfig;
    use crate::server::RouterServer;
    use warmpath_core::routing::policy::PolicyConfig;

    #[tokio::test]
    async fn an_endpoint_is_an_address_and_the_http_port() {
        let at = async |url| endpoint(url, 8_000).await;
        assert_eq!(at("http://10.0.0.7:7000").await.as_deref(), Some("10.0.0.7:8000"));
        assert_eq!(at("https://[fd00::7]:7000").await.as_deref(), Some("[fd00::7]:8000"));
        assert!(at("http://localhost:7000").await.is_some_and(|at| at.ends_with(":8000")));
    }

    #[tokio::test]
    async fn an_endpoint_that_is_known_is_not_looked_up() {
        let urls = ["http://10.0.0.7:7000", "http://10.0.0.8:7000"].map(str::to_owned).to_vec();
        let router = RouterServer::new(RouterConfig::new(urls, PolicyConfig::KvAware)).unwrap();
        let state = router.state();
        let endpoints = Endpoints::new(8_000);
        let links = state.roster.links();
        assert!(endpoints.known().is_empty());
        assert_eq!(endpoints.of(&links[0]).await.as_deref(), Some("10.0.0.7:8000"));
        assert_eq!(endpoints.known().len(), 1, "it is kept");
        let planted = Known::from([(links[0].id, "10.0.0.9:8000".into())]);
        *endpoints.known.write().unwrap() = Arc::new(planted);
        assert_eq!(endpoints.of(&links[0]).await.as_deref(), Some("10.0.0.9:8000"));
        // Until the next look at all of them.
        let looked = tokio::time::timeout(std::time::Duration::ZERO, endpoints.follow(state));
        assert!(looked.await.is_err(), "it goes on");
        let known: Vec<_> = endpoints.known().values().map(|at| at.to_string()).collect();
        assert_eq!(known, ["10.0.0.7:8000", "10.0.0.8:8000"]);
    }
}
