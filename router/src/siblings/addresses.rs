//! Where there are siblings: the addresses behind the configured URLs.

use super::follow::follow;
use crate::lookup::{REFRESH, addresses};
use crate::state::RouterState;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::{AbortHandle, JoinSet};
use warmpath_core::routing::input::RouterId;
use warmpath_proto::sockets::Dialler;
use warmpath_proto::transport::{channel_at, channel_with};

/// Addresses of one name that are followed.
const MOST: usize = 64;

/// Follows all siblings of the configuration until it is dropped.
pub async fn follow_all(state: Arc<RouterState>) {
    let mut urls = JoinSet::new();
    for url in state.config.siblings.urls.clone() {
        urls.spawn(follow_url(Arc::clone(&state), url));
    }
    while urls.join_next().await.is_some() {}
}

async fn follow_url(state: Arc<RouterState>, url: String) {
    let how = state.connecting.dialling.clone();
    // What stands in for TCP reaches hosts by name.
    if let Dialler::Other(_) = how.dialler {
        match channel_with(&url, &how) {
            Ok(channel) => {
                let id = state.siblings.add(&url, String::new());
                follow(state, id, url, channel).await;
            }
            Err(error) => tracing::error!(url, %error, "not a sibling"),
        }
        return;
    }
    let mut followers = JoinSet::new();
    let mut followed: BTreeMap<SocketAddr, (RouterId, AbortHandle)> = BTreeMap::new();
    let mut quiet = false;
    loop {
        match addresses(&url).await {
            Ok(found) => {
                quiet = false;
                // One that has left the name is followed until it is lost: it may still be draining.
                followed.retain(|address, (id, task)| {
                    let stays = found.contains(address) || !state.siblings.remove(*id);
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                for address in found {
                    if followed.len() >= MOST || followed.contains_key(&address) {
                        continue;
                    }
                    match channel_at(&url, address, &how) {
                        Ok(channel) => {
                            let id = state.siblings.add(&url, address.to_string());
                            let name = format!("{url} ({address})");
                            let following = follow(Arc::clone(&state), id, name, channel);
                            followed.insert(address, (id, followers.spawn(following)));
                        }
                        Err(error) => tracing::error!(url, %address, %error, "not a sibling"),
                    }
                }
            }
            Err(why) if !std::mem::replace(&mut quiet, true) => {
                tracing::warn!(url, why, "no address of siblings");
            }
            Err(_) => {}
        }
        tokio::time::sleep(REFRESH).await;
    }
}
