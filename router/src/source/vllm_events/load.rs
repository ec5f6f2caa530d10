//! How busy an engine says it is: vLLM's gauges at its `/metrics`.

use crate::source::event::Told;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tonic::codegen::Bytes;
use tonic::codegen::http::Uri;

/// An answer that does not come in this time is not waited for. The bookings then stand for the load.
const LIMIT: Duration = Duration::from_millis(400);
/// The most bytes of an answer.
const MOST_BYTES: usize = 4 << 20;

/// Reads the gauges of one engine.
#[derive(Clone, Debug)]
pub struct Gauges {
    client: Client<HttpConnector, Empty<Bytes>>,
    url: Uri,
}

impl Gauges {
    pub fn new(url: Uri) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, url }
    }

    /// None: no answer in time, or none with these gauges.
    pub async fn read(&self) -> Option<Told> {
        let page = async {
            let answer = self.client.get(self.url.clone()).await.ok()?;
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.ok()?;
            String::from_utf8(body.to_bytes().into()).ok()
        };
        told(&tokio::time::timeout(LIMIT, page).await.ok()??)
    }
}

/// The sums over the engine's data-parallel ranks; of the share the mean.
fn told(page: &str) -> Option<Told> {
    let values = |name: &str| -> Vec<f64> {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            // Another series may begin with the same name.
            let rest = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
            let value: f64 = rest.strip_prefix(' ')?.split(' ').next()?.parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value)
        };
        page.lines().filter_map(value).collect()
    };
    let sum = |name| Some(values(name).into_iter().reduce(|sum, value| sum + value)? as u32);
    let used = values("vllm:kv_cache_usage_perc");
    Some(Told {
        waiting: sum("vllm:num_requests_waiting")?,
        running: sum("vllm:num_requests_running")?,
        used: (used.iter().sum::<f64>() / used.len().max(1) as f64).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_added_and_other_series_are_not_read() {
        let page = "# TYPE vllm:num_requests_waiting gauge\n\
                    vllm:num_requests_waiting{engine=\"0\",model_name=\"a } b\"} 3.0\n\
                    vllm:num_requests_waiting{engine=\"1\"} 4\n\
                    vllm:num_requests_waiting_by_reason{engine=\"0\"} 100\n\
                    vllm:num_requests_running 5 1700000000\n\
                    vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
                    vllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n";
        assert_eq!(told(page), Some(Told { waiting: 7, running: 5, used: 0.5 }));
    }

    #[test]
    fn a_page_without_them_says_nothing() {
        assert_eq!(told(""), None);
        assert_eq!(told("vllm:num_requests_waiting 1\n"), None);
        assert_eq!(told("vllm:num_requests_waiting NaN\nvllm:num_requests_running 1\n"), None);
    }
}
