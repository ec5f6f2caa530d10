//! A client of HTTP/1.1. Connections are kept for later requests.

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A small answer that does not come in this time is not waited for.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that is read whole.
const MOST_BYTES: usize = 4 << 20;

/// One server.
#[derive(Clone, Debug)]
pub struct Site {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://HOST:PORT`, without a slash at its end.
    url: String,
}

impl Site {
    pub fn new(url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, url: url.trim_end_matches('/').to_owned() }
    }

    /// The same, if something listens there.
    pub async fn open(url: &str) -> Result<Self> {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        let what = || format!("cannot reach the router at {url}");
        connected.with_context(what)?.with_context(what)?;
        Ok(Self::new(url))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request, and returns when the head of its answer is here. An error is one line.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        self.client.request(request).await.map_err(|error| in_full(&error))
    }

    /// The text of a page. Another status than 200 is an error.
    pub async fn get(&self, path: &str) -> Result<String> {
        self.small(Method::GET, path).await
    }

    /// Posts without a body.
    pub async fn post(&self, path: &str) -> Result<()> {
        self.small(Method::POST, path).await.map(drop)
    }

    async fn small(&self, method: Method, path: &str) -> Result<String> {
        let whole = format!("{}{path}", self.url);
        let request = Request::builder().method(method).uri(&whole).body(Full::default());
        let request = request.with_context(|| whole.clone())?;
        let answer = async {
            let response = self.send(request).await.map_err(|why| anyhow!("{whole}: {why}"))?;
            let status = response.status();
            let text = text(response).await.map_err(|why| anyhow!("{whole}: {why}"))?;
            if status.is_success() { Ok(text) } else { Err(anyhow!("{whole}: {status}: {text}")) }
        };
        let answer = tokio::time::timeout(LIMIT, answer).await;
        answer.map_err(|_| anyhow!("{whole}: no answer in {} s", LIMIT.as_secs()))?
    }
}

/// The body of a small answer.
pub async fn text(response: Response<Incoming>) -> Result<String, String> {
    let whole = Limited::new(response.into_body(), MOST_BYTES).collect().await;
    let bytes = whole.map_err(|error| in_full(&*error))?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An error with what caused it.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
