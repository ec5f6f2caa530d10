//! The workers behind routers that run elsewhere: their caches are emptied, and what they counted is read, over
//! their HTTP listeners. They are simulated workers, or engines with vLLM's metrics.

use super::http::Site;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::time::{Duration, Instant};
use warmpath_proto::exposition;

/// How long a worker may take to have no request any more.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// How long a router may take to hear of an emptied cache.
const SETTLES: Duration = Duration::from_millis(500);

const RUNNING: &str = "vllm:num_requests_running";
const WAITING: &str = "vllm:num_requests_waiting";
const CONFIG: &str = "vllm:cache_config_info";
const PROMPT: &str = "vllm:prompt_tokens_total";
const CACHED: &str = "vllm:prompt_tokens_cached_total";
const ENDED: &str = "vllm:request_success_total";
const SPEEDUP: &str = "warmpath_worker_speedup";
const LATE_SUM: &str = "warmpath_worker_lateness_seconds_sum";
const LATE_COUNT: &str = "warmpath_worker_lateness_seconds_count";

/// All workers of a fleet.
#[derive(Debug)]
pub struct Behind {
    workers: Vec<Site>,
    pub facts: Facts,
}

/// What all workers of a fleet have in common.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The name of the served model.
    pub model: String,
    pub block_size: u32,
    /// Blocks in HBM. None: unlimited.
    pub blocks: Option<u64>,
    /// Model seconds a wall second.
    pub speedup: f64,
}

impl Facts {
    /// What is not as in another worker: here, there.
    fn differs(&self, other: &Self) -> Option<String> {
        let blocks = |facts: &Self| facts.blocks.map_or("unlimited".to_owned(), |n| n.to_string());
        let all = [
            ("model", self.model.clone(), other.model.clone()),
            ("block size", self.block_size.to_string(), other.block_size.to_string()),
            ("number of blocks", blocks(self), blocks(other)),
            ("speedup", self.speedup.to_string(), other.speedup.to_string()),
        ];
        let other = all.into_iter().find(|(_, here, there)| here != there);
        other.map(|(what, here, there)| format!("{what} {here}, not {there} as"))
    }
}

/// What a worker has counted.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub requests: u64,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    /// Wall seconds by which its turns were late, summed, and how many they were. Engines do not say it.
    late_s: f64,
    turns: f64,
}

impl Counts {
    /// What was counted since.
    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            prompt_tokens: self.prompt_tokens.saturating_sub(before.prompt_tokens),
            cached_tokens: self.cached_tokens.saturating_sub(before.cached_tokens),
            late_s: self.late_s - before.late_s,
            turns: self.turns - before.turns,
        }
    }

    pub const fn computed_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_sub(self.cached_tokens)
    }
}

/// Wall seconds by which a turn of a worker was late in the mean. None: no worker says it.
pub fn lateness_s(counts: &[Counts]) -> Option<f64> {
    let turns: f64 = counts.iter().map(|count| count.turns).sum();
    let late_s: f64 = counts.iter().map(|count| count.late_s).sum();
    (turns > 0.0).then(|| late_s / turns)
}

impl Behind {
    /// Asks each worker who it is. They must be alike.
    pub async fn look(urls: &[String]) -> Result<Self> {
        let workers: Vec<Site> = urls.iter().map(|url| Site::new(url)).collect();
        let mut facts: Option<Facts> = None;
        for worker in &workers {
            let is = facts_of(worker).await?;
            if let Some(why) = facts.as_ref().and_then(|first| is.differs(first)) {
                let (url, first) = (worker.url(), workers[0].url());
                bail!("--worker-http: {url} has {why} at {first}, expected workers that are alike");
            }
            facts = Some(is);
        }
        let facts = facts.ok_or_else(|| anyhow!("--worker-http: missing"))?;
        Ok(Self { workers, facts })
    }

    /// Empties all caches, and waits until routers have heard of it.
    pub async fn reset(&self) -> Result<()> {
        self.idle().await?;
        for worker in &self.workers {
            let reset = worker.post("/reset_prefix_cache?reset_external=true").await;
            reset.context("a cache could not be emptied")?;
        }
        tokio::time::sleep(SETTLES).await;
        Ok(())
    }

    /// What each worker has counted since these counts, once it has no request.
    pub async fn since(&self, before: &[Counts]) -> Result<Vec<Counts>> {
        self.idle().await?;
        let now = self.counts().await?;
        Ok(now.into_iter().zip(before).map(|(now, before)| now.since(*before)).collect())
    }

    /// What each worker has counted.
    pub async fn counts(&self) -> Result<Vec<Counts>> {
        let mut all = Vec::new();
        for worker in &self.workers {
            let page = Page::of(worker).await?;
            all.push(Counts {
                requests: page.needed(ENDED)? as u64,
                prompt_tokens: page.needed(PROMPT)? as u64,
                cached_tokens: page.needed(CACHED)? as u64,
                late_s: page.sum(LATE_SUM).unwrap_or(0.0),
                turns: page.sum(LATE_COUNT).unwrap_or(0.0),
            });
        }
        Ok(all)
    }

    /// Waits until no worker has a request.
    async fn idle(&self) -> Result<()> {
        let begun = Instant::now();
        for worker in &self.workers {
            loop {
                let page = Page::of(worker).await?;
                let requests = page.needed(RUNNING)? + page.needed(WAITING)?;
                if requests == 0.0 {
                    break;
                }
                if begun.elapsed() > IDLE_LIMIT {
                    let url = worker.url();
                    bail!("--worker-http: {url} has {requests} requests, expected none by now");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

async fn facts_of(worker: &Site) -> Result<Facts> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let url = worker.url();
    let models = worker.get("/v1/models").await.context("--worker-http")?;
    let models: Models = serde_json::from_str(&models)
        .with_context(|| format!("--worker-http: {url}/v1/models is not as expected"))?;
    let model = models.data.into_iter().next();
    let model = model.ok_or_else(|| anyhow!("--worker-http: {url}/v1/models names no model"))?.id;
    let page = Page::of(worker).await?;
    let number = |label: &str| {
        let text = page.label(CONFIG, label);
        let text = text.ok_or_else(|| page.lacks(&format!("{CONFIG}{{{label}=..}}")))?;
        text.parse::<u64>().map_err(|_| page.lacks(&format!("a number as {label} of {CONFIG}")))
    };
    let blocks = number("num_gpu_blocks")?;
    Ok(Facts {
        model,
        block_size: number("block_size")? as u32,
        blocks: (blocks > 0).then_some(blocks),
        speedup: page.sum(SPEEDUP).unwrap_or(1.0),
    })
}

/// A page of Prometheus' text.
struct Page<'a> {
    url: &'a str,
    text: String,
}

impl<'a> Page<'a> {
    async fn of(worker: &'a Site) -> Result<Self> {
        let text = worker.get("/metrics").await.context("--worker-http")?;
        Ok(Self { url: worker.url(), text })
    }

    /// The series of a name: their labels and their values.
    fn series<'b>(&'b self, name: &'b str) -> impl Iterator<Item = (&'b str, f64)> {
        exposition::series(&self.text, name)
    }

    /// The sum over all series of a name. None: there is none.
    fn sum(&self, name: &str) -> Option<f64> {
        let values = self.series(name).map(|(_, value)| value);
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    fn needed(&self, name: &str) -> Result<f64> {
        self.sum(name).ok_or_else(|| self.lacks(name))
    }

    /// The value of a label in the first series of a name.
    fn label<'b>(&'b self, name: &'b str, label: &str) -> Option<&'b str> {
        let (labels, _) = self.series(name).next()?;
        let is_start = |at: usize| at == 0 || labels[..at].ends_with(',');
        let start = format!("{label}=\"");
        let (at, _) = labels.match_indices(&start).find(|&(at, _)| is_start(at))?;
        labels[at + start.len()..].split('"').next()
    }

    fn lacks(&self, what: &str) -> anyhow::Error {
        anyhow!("--worker-http: {}/metrics lacks {what}", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_differs_is_told_by_what() {
        let one = Facts { model: "m".to_owned(), block_size: 16, blocks: Some(10), speedup: 1.0 };
        let other = Facts { blocks: None, ..one.clone() };
        assert_eq!(one.differs(&one), None);
        assert_eq!(other.differs(&one).unwrap(), "number of blocks unlimited, not 10 as");
    }

    #[test]
    fn series_are_read_by_name_and_summed() {
        let text = "# HELP vllm:prompt_tokens_total Prompt tokens\n\
                    vllm:prompt_tokens_total{model_name=\"a b\",engine=\"0\"} 12\n\
                    vllm:prompt_tokens_total{model_name=\"a b\",engine=\"1\"} 3.5 1700000000\n\
                    vllm:prompt_tokens_total_more{engine=\"0\"} 100\n\
                    bare 7\n\
                    vllm:cache_config_info{sub_block_size=\"1\",block_size=\"16\"} 1\n";
        let page = Page { url: "http://w", text: text.to_owned() };
        assert_eq!(page.sum("vllm:prompt_tokens_total"), Some(15.5));
        assert_eq!((page.sum("bare"), page.sum("vllm:prompt_tokens")), (Some(7.0), None));
        assert_eq!(page.label("vllm:cache_config_info", "block_size"), Some("16"));
        let error = page.needed(CACHED).unwrap_err().to_string();
        assert_eq!(error, format!("--worker-http: http://w/metrics lacks {CACHED}"));
    }
}
