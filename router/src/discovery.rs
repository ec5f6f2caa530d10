//! Workers that are found by a name: each address of `workers_at` is a worker. One that comes is added. One that
//! has left the name drains and is removed.

use crate::fleet::roster::AddError;
use crate::following::{add_worker, remove_worker};
use crate::lookup::{REFRESH, addresses};
use crate::state::RouterState;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use warmpath_core::id::WorkerId;
use warmpath_proto::clock::now;

/// Looks all names up, again and again, until it is dropped.
pub async fn discover_all(state: Arc<RouterState>) {
    let mut urls = JoinSet::new();
    for url in state.config.workers_at.clone() {
        urls.spawn(discover(Arc::clone(&state), url));
    }
    while urls.join_next().await.is_some() {}
}

async fn discover(state: Arc<RouterState>, url: String) {
    let mut found = Found::new(url);
    let mut quiet = false;
    loop {
        match addresses(&found.url).await {
            Ok(now) => {
                quiet = false;
                found.become_those(&state, &now);
            }
            // Those that are known stay: a name server that fails is no news of a worker.
            Err(why) if !std::mem::replace(&mut quiet, true) => {
                tracing::warn!(url = found.url, why, "no address of workers");
            }
            Err(_) => {}
        }
        tokio::time::sleep(REFRESH).await;
    }
}

/// The workers that one name led to.
struct Found {
    url: String,
    scheme: &'static str,
    workers: BTreeMap<SocketAddr, WorkerId>,
    /// Their removal is under way.
    leaving: JoinSet<()>,
}

impl Found {
    fn new(url: String) -> Self {
        let scheme = if url.starts_with("https:") { "https" } else { "http" };
        Self { url, scheme, workers: BTreeMap::new(), leaving: JoinSet::new() }
    }

    fn become_those(&mut self, state: &Arc<RouterState>, now: &BTreeSet<SocketAddr>) {
        while self.leaving.try_join_next().is_some() {}
        let gone = self.workers.extract_if(.., |address, _| !now.contains(address));
        for (address, id) in gone {
            let Some(link) = state.roster.get(id) else { continue };
            if link.leaving.swap(true, Ordering::AcqRel) {
                continue;
            }
            tracing::info!(worker = link.title(), %address, url = self.url, "left the name");
            state.events.worker("left the name", &link, &self.url);
            let until = self::now() + Duration::from_millis(state.config.drain_timeout_ms);
            let state = Arc::clone(state);
            self.leaving.spawn(async move {
                remove_worker(&state, &link, until).await;
            });
        }
        for &address in now {
            if self.workers.contains_key(&address) {
                continue;
            }
            match add_worker(state, &format!("{}://{address}", self.scheme)) {
                Ok(id) => {
                    tracing::info!(worker = %id, %address, url = self.url, "found by name");
                    if let Some(link) = state.roster.get(id) {
                        state.events.worker("found by name", &link, &self.url);
                    }
                    self.workers.insert(address, id);
                }
                // Listed by its address too, or still being removed: then it is added when that is done.
                Err(AddError::Known { .. }) => {}
                Err(error) => tracing::error!(%address, url = self.url, %error, "not a worker"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RouterConfig, RouterServer};
    use std::time::Instant;

    #[tokio::test]
    async fn workers_come_and_go_with_the_addresses_of_the_name() {
        let url = "http://workers.example:7000".to_owned();
        let config = RouterConfig {
            workers_at: vec![url.clone()],
            ..RouterConfig::new(Vec::new(), "kv-aware".parse().unwrap())
        };
        let router = RouterServer::new(config).unwrap();
        let state = router.state();
        let addresses = |last: &[u8]| -> BTreeSet<SocketAddr> {
            last.iter().map(|last| format!("127.0.0.{last}:7000").parse().unwrap()).collect()
        };
        let known = || -> Vec<String> {
            state.roster.links().iter().map(|link| format!("{} {}", link.name, link.url)).collect()
        };
        let mut found = Found::new(url);
        found.become_those(state, &addresses(&[1, 2]));
        assert_eq!(known(), ["w0 http://127.0.0.1:7000", "w1 http://127.0.0.2:7000"]);
        found.become_those(state, &addresses(&[2, 3]));
        let begun = Instant::now();
        while known().len() != 2 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", known());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(known(), ["w1 http://127.0.0.2:7000", "w2 http://127.0.0.3:7000"]);
        // The one that left comes back, under another number.
        found.become_those(state, &addresses(&[1, 2, 3]));
        assert_eq!(known().last().unwrap(), "w3 http://127.0.0.1:7000");
        let events: Vec<String> =
            state.events.after(0).into_iter().map(|e| format!("{} {}", e.worker, e.what)).collect();
        assert!(events.contains(&"w0 left the name".to_owned()), "{events:?}");
    }
}
