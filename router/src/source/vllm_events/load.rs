//! How busy an engine says it is: vLLM's gauges at its `/metrics`, read beside its events.

use crate::source::event::Told;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::codegen::Bytes;
use tonic::codegen::http::Uri;
use warmpath_core::id::WorkerId;
use warmpath_proto::exposition::series;

/// From the end of one reading to the begin of the next.
const BEAT: Duration = Duration::from_millis(500);
/// An answer that does not come in this time is not waited for.
const LIMIT: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const MOST_BYTES: usize = 4 << 20;

const WAITING: &str = "vllm:num_requests_waiting";
const RUNNING: &str = "vllm:num_requests_running";
/// Before 2025 it had the second name.
const USED: [&str; 2] = ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"];

/// What one engine said last. Dropping it ends the reading.
pub struct Gauges {
    told: Arc<Mutex<Option<Told>>>,
    _task: JoinSet<()>,
}

impl Gauges {
    /// Reads in a task, so that a slow page holds up no event.
    pub fn read(id: WorkerId, url: Uri) -> Self {
        let told = Arc::<Mutex<Option<Told>>>::default();
        let mut task = JoinSet::new();
        task.spawn(keep_reading(id, url, Arc::clone(&told)));
        Self { told, _task: task }
    }

    /// None: nothing yet, or the last reading failed.
    pub fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_reading(id: WorkerId, url: Uri, told: Arc<Mutex<Option<Told>>>) {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut fails = false;
    loop {
        let read = tokio::time::timeout(LIMIT, page(&client, &url)).await;
        let read = read.unwrap_or_else(|_| Err(format!("no answer in {} s", LIMIT.as_secs())));
        let read = read.and_then(|page| of(&page));
        match &read {
            Err(why) if !fails => {
                tracing::warn!(worker = %id, %url, why, "its load is not read, so what is booked on it stands for it");
            }
            Ok(_) if fails => tracing::info!(worker = %id, %url, "its load is read again"),
            Err(_) | Ok(_) => {}
        }
        fails = read.is_err();
        *told.lock().unwrap_or_else(PoisonError::into_inner) = read.ok();
        tokio::time::sleep(BEAT).await;
    }
}

async fn page(client: &Client<HttpConnector, Empty<Bytes>>, url: &Uri) -> Result<String, String> {
    let answer = client.get(url.clone()).await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("HTTP status {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| error.to_string())?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| "it is no text".to_owned())
}

/// The sums over the engine's data-parallel ranks; of the share the mean.
fn of(page: &str) -> Result<Told, String> {
    let values = |name: &str| -> Vec<f64> {
        let values = series(page, name).map(|(_, value)| value);
        values.filter(|value| value.is_finite() && *value >= 0.0).collect()
    };
    let sum = |name: &str| {
        let sum = values(name).into_iter().reduce(|sum, value| sum + value);
        sum.map(|sum| sum as u32).ok_or_else(|| format!("it lacks {name}"))
    };
    let used = USED.into_iter().map(values).find(|values| !values.is_empty());
    let mean = |values: Vec<f64>| (values.iter().sum::<f64>() / values.len() as f64).min(1.0);
    Ok(Told { waiting: sum(WAITING)?, running: sum(RUNNING)?, used: used.map(mean) })
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
        assert_eq!(of(page), Ok(Told { waiting: 7, running: 5, used: Some(0.5) }));
    }

    #[test]
    fn an_older_name_is_known_and_a_missing_one_is_not_zero() {
        let requests = "vllm:num_requests_waiting 1\nvllm:num_requests_running 2\n";
        let told = |used| Ok(Told { waiting: 1, running: 2, used });
        assert_eq!(of(requests), told(None));
        assert_eq!(of(&format!("{requests}vllm:gpu_cache_usage_perc 0.5\n")), told(Some(0.5)));
    }

    #[test]
    fn a_page_without_requests_is_no_load() {
        assert_eq!(of(""), Err("it lacks vllm:num_requests_waiting".to_owned()));
        let wrong = "vllm:num_requests_waiting 1\nvllm:num_requests_running NaN\n";
        assert_eq!(of(wrong), Err("it lacks vllm:num_requests_running".to_owned()));
    }
}
