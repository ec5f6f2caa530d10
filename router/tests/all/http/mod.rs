//! OpenAI's HTTP on a router.

mod answers;
mod engines;
mod hostile;
mod tenants;
mod trouble;

#[path = "../../../../openai/tests/common/client.rs"]
mod client;

use crate::common::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_router::{Http, Listeners, RouterConfig, RouterServer, ServeError};

const CHAT: &str = "/v1/chat/completions";
const COMPLETION: &str = "/v1/completions";

/// A router with both listeners.
struct HttpRouter {
    server: RouterServer,
    at: SocketAddr,
    grpc: String,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl HttpRouter {
    async fn start(config: RouterConfig) -> Self {
        let [grpc, http] =
            [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
        let (grpc, listener) = (grpc.unwrap(), http.unwrap());
        let at = listener.local_addr().unwrap();
        let url = format!("http://{}", grpc.local_addr().unwrap());
        let server = RouterServer::new(config).unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let serving = server.clone();
        let http = Some(Http { listener, metrics: None });
        let served = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|&stop| stop).await;
            };
            serving.serve(Listeners { grpc: grpc.into(), http }, stopped).await
        });
        Self { server, at, grpc: url, stop, served }
    }

    /// Over these workers, all of which have joined.
    async fn over(workers: &[TestWorker], change: impl FnOnce(&mut RouterConfig)) -> Self {
        let mut config = router_config(workers, PolicyConfig::KvAware);
        change(&mut config);
        let router = Self::start(config).await;
        let mut status = router.server.status();
        within(status.wait_for(|status| status.joined.len() == workers.len())).await.unwrap();
        router
    }

    async fn idle(&self) {
        within(async {
            while self.server.counts().in_flight > 0 || self.server.counts().booked > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// A chat with one message of so many bytes. Another `letter`, another prompt.
fn chat(letter: char, bytes: usize, max_tokens: u32) -> Value {
    let content: String = std::iter::repeat_n(letter, bytes).collect();
    json!({"messages": [{"role": "user", "content": content}], "max_tokens": max_tokens})
}

fn cached(answer: &Value) -> u64 {
    answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("cached tokens")
}
