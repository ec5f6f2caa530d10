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
use warmpath_proto::exposition::{label, series};

/// From the end of one reading to the begin of the next.
const BEAT: Duration = Duration::from_millis(500);
/// An answer that does not come in this time is not waited for.
const LIMIT: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const MOST_BYTES: usize = 4 << 20;

const WAITING: &str = "vllm:num_requests_waiting";
const RUNNING: &str = "vllm:num_requests_running";
/// Its labels say what the cache is.
const CACHE: &str = "vllm:cache_config_info";
/// The label with the data-parallel rank.
const ENGINE: &str = "engine";
/// Before 2025 it had the second name.
const USED: [&str; 2] = ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"];

/// What one engine said last. Dropping it ends the reading.
pub struct Gauges {
    told: Arc<Mutex<Option<Told>>>,
    _task: JoinSet<()>,
}

impl Gauges {
    /// Reads in a task, so that a slow page holds up no event.
    /// `rank`: the data-parallel rank whose series count. None: all.
    pub fn read(id: WorkerId, url: Uri, rank: Option<u32>) -> Self {
        let told = Arc::<Mutex<Option<Told>>>::default();
        let mut task = JoinSet::new();
        task.spawn(keep_reading(id, (url, rank), Arc::clone(&told)));
        Self { told, _task: task }
    }

    /// None: nothing yet, or the last reading failed.
    pub fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_reading(
    id: WorkerId,
    (url, rank): (Uri, Option<u32>),
    told: Arc<Mutex<Option<Told>>>,
) {
    let client = client();
    let mut fails = false;
    loop {
        let read = page(&client, &url).await.and_then(|page| of(&page, rank));
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

/// The KV cache as the page has it in the labels of one series.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cache {
    /// Tokens of a block.
    pub block_size: Option<u32>,
    /// Blocks of the GPU memory.
    pub blocks: Option<u64>,
}

/// Reads a page once for what it says of the cache.
pub async fn cache(url: &str) -> Result<Cache, String> {
    let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
    page(&client(), &url).await.map(|page| cache_of(&page))
}

fn cache_of(page: &str) -> Cache {
    let told = |name| {
        let mut values =
            series(page, CACHE).filter_map(|(labels, _)| label(labels, name)?.parse().ok());
        values.next().filter(|&value: &u64| value > 0)
    };
    let block_size = told("block_size").and_then(|size| u32::try_from(size).ok());
    Cache { block_size, blocks: told("num_gpu_blocks") }
}

fn client() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

async fn page(client: &Client<HttpConnector, Empty<Bytes>>, url: &Uri) -> Result<String, String> {
    let read = async {
        let answer = client.get(url.clone()).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("HTTP status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| "it is no text".to_owned())
    };
    let read = tokio::time::timeout(LIMIT, read).await;
    read.unwrap_or_else(|_| Err(format!("no answer in {} s", LIMIT.as_secs())))
}

/// What one rank says, or the sums over all of them; of the share the mean.
fn of(page: &str, rank: Option<u32>) -> Result<Told, String> {
    let rank = rank.map(|rank| rank.to_string());
    let values = |name: &str| -> Vec<f64> {
        let own =
            |labels: &str| rank.as_deref().is_none_or(|rank| label(labels, ENGINE) == Some(rank));
        let values = series(page, name).filter(|(labels, _)| own(labels)).map(|(_, value)| value);
        values.filter(|value| value.is_finite() && *value >= 0.0).collect()
    };
    let sum = |name: &str| {
        let sum = values(name).into_iter().reduce(|sum, value| sum + value);
        let of =
            || rank.as_deref().map_or_else(String::new, |rank| format!("{{engine=\"{rank}\"}}"));
        sum.map(|sum| sum as u32).ok_or_else(|| format!("it lacks {name}{}", of()))
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
        assert_eq!(of(page, None), Ok(Told { waiting: 7, running: 5, used: Some(0.5) }));
    }

    #[test]
    fn a_rank_has_its_own_series() {
        let page = "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 3.0\n\
                    vllm:num_requests_waiting{model_name=\"m\",engine=\"1\"} 4\n\
                    vllm:num_requests_running{engine=\"0\"} 5\n\
                    vllm:num_requests_running{engine=\"1\"} 6\n\
                    vllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n";
        assert_eq!(of(page, Some(1)), Ok(Told { waiting: 4, running: 6, used: Some(0.75) }));
        assert_eq!(of(page, Some(0)), Ok(Told { waiting: 3, running: 5, used: None }));
        let why = "it lacks vllm:num_requests_waiting{engine=\"2\"}";
        assert_eq!(of(page, Some(2)), Err(why.to_owned()));
    }

    #[test]
    fn the_cache_is_in_the_labels_of_a_series() {
        let page = "vllm:cache_config_info{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"27117\",\
                    num_gpu_blocks_override=\"None\"} 1.0\n";
        assert_eq!(cache_of(page), Cache { block_size: Some(16), blocks: Some(27_117) });
        let none = "vllm:cache_config_info{block_size=\"None\",num_gpu_blocks=\"0\"} 1.0\n";
        assert_eq!(cache_of(none), Cache::default());
    }

    #[test]
    fn an_older_name_is_known_and_a_missing_one_is_not_zero() {
        let requests = "vllm:num_requests_waiting 1\nvllm:num_requests_running 2\n";
        let told = |used| Ok(Told { waiting: 1, running: 2, used });
        assert_eq!(of(requests, None), told(None));
        assert_eq!(
            of(&format!("{requests}vllm:gpu_cache_usage_perc 0.5\n"), None),
            told(Some(0.5))
        );
    }

    #[test]
    fn a_page_without_requests_is_no_load() {
        assert_eq!(of("", None), Err("it lacks vllm:num_requests_waiting".to_owned()));
        let wrong = "vllm:num_requests_waiting 1\nvllm:num_requests_running NaN\n";
        assert_eq!(of(wrong, None), Err("it lacks vllm:num_requests_running".to_owned()));
    }
}
