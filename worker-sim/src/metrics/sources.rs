//! Where prompt tokens come from, by vLLM's two lists of sources.

use metrics::{Counter, counter, describe_counter};
use warmpath_core::engine::store::Hit;
use warmpath_core::id::{MAX_TIERS, PoolId, SourceId, WorkerId};

const PROMPT: &str = "vllm:prompt_tokens_total";
const CACHED: &str = "vllm:prompt_tokens_cached_total";
const BY_SOURCE: &str = "vllm:prompt_tokens_by_source_total";
const CACHED_BY_SOURCE: &str = "vllm:prompt_tokens_cached_by_source_total";

/// Values of the label `source` of cached tokens. A tier of the engine has the medium that its KV events
/// name: HBM, memory of the host, and storage for all that is further away.
const PLACES: [&str; 5] = ["device", "host", "disk", "p2p", "external_unspecified"];

pub fn describe() {
    describe_counter!(PROMPT, "Prompt tokens of prefilled requests");
    describe_counter!(CACHED, "Prompt tokens that were cached");
    describe_counter!(BY_SOURCE, "Prompt tokens, by whether they were computed or came from where");
    describe_counter!(CACHED_BY_SOURCE, "Prompt tokens that were cached, by where they lay");
}

/// The prompt tokens of one request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PromptTokens {
    pub prompt: u64,
    /// Cached tokens in the order of [`PLACES`].
    cached: [u64; PLACES.len()],
}

impl PromptTokens {
    /// `hit`: blocks by origin. `handed`: tokens that came from a prefill worker.
    pub fn new(prompt: u32, block_size: u64, hit: &Hit, handed: u64) -> Self {
        let mut cached = [0; PLACES.len()];
        for (origin, &blocks) in hit.iter().enumerate() {
            cached[place(origin)] += u64::from(blocks) * block_size;
        }
        let prompt = u64::from(prompt);
        let room = prompt.saturating_sub(cached.iter().sum());
        cached[place(SourceId::Worker(WorkerId(0)).origin())] += handed.min(room);
        Self { prompt, cached }
    }

    /// Tokens that were found in HBM.
    pub const fn on_device(&self) -> u64 {
        self.cached[0]
    }

    /// Tokens that came from elsewhere.
    pub fn external(&self) -> u64 {
        self.cached[1..].iter().sum()
    }

    pub fn computed(&self) -> u64 {
        self.prompt.saturating_sub(self.on_device() + self.external())
    }
}

const fn place(origin: usize) -> usize {
    match origin {
        0 => 0,
        1 => 1,
        _ if origin < MAX_TIERS => 2,
        _ if origin == SourceId::Pool(PoolId(0)).origin() => 4,
        _ => 3,
    }
}

pub struct Sources {
    prompt: Counter,
    cached: Counter,
    computed: Counter,
    local: Counter,
    external: Counter,
    cached_by_source: [Counter; PLACES.len()],
}

impl Sources {
    pub fn new(labels: &[(&'static str, String)]) -> Self {
        let from = |name: &'static str, source: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(("source", source.to_owned()));
            counter!(name, &labels)
        };
        Self {
            prompt: counter!(PROMPT, labels),
            cached: counter!(CACHED, labels),
            computed: from(BY_SOURCE, "local_compute"),
            local: from(BY_SOURCE, "local_cache_hit"),
            external: from(BY_SOURCE, "external_kv_transfer"),
            cached_by_source: PLACES.map(|place| from(CACHED_BY_SOURCE, place)),
        }
    }

    /// A prompt is computed.
    pub fn prefilled(&self, tokens: &PromptTokens) {
        self.prompt.increment(tokens.prompt);
        self.cached.increment(tokens.on_device() + tokens.external());
        self.computed.increment(tokens.computed());
        self.local.increment(tokens.on_device());
        self.external.increment(tokens.external());
        for (counter, &tokens) in self.cached_by_source.iter().zip(&tokens.cached) {
            counter.increment(tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_has_one_source() {
        // Blocks of 16: two in HBM, one in each further tier, four from the pool, five from a peer.
        let tokens = PromptTokens::new(300, 16, &[2, 1, 1, 1, 4, 5], 0);
        assert_eq!(tokens.cached, [32, 16, 32, 80, 64]);
        assert_eq!(
            (tokens.on_device(), tokens.external(), tokens.computed()),
            (32, 192, 300 - 224)
        );
        // A decode worker is handed all that it lacks.
        let handed = PromptTokens::new(100, 16, &[2, 0, 0, 0, 0, 0], 68);
        assert_eq!(handed.cached, [32, 0, 0, 68, 0]);
        assert_eq!(handed.computed(), 0);
    }
}
