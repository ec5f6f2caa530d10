//! Dynamo's side: the crate's index, tracker of requests under way, and selector.
//!
//! The steps are those of its selection service: the index for several threads is asked on the caller's thread, and
//! its queue projects loads, selects and books. The service's channels, metrics and queue are left out, as ours are.

use crate::BLOCK;
use crate::fleet::{Prompt, Side};
use dynamo_kv_router::config::KvRouterConfig;
use dynamo_kv_router::indexer::{ThreadPoolIndexer, TieredMatchDetails};
use dynamo_kv_router::protocols::{
    ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheStoreData,
    KvCacheStoredBlockData, LocalBlockHash, PrefillLoadHint, RouterEvent, RoutingConstraints,
    WorkerConfigLike, WorkerWithDpRank,
};
use dynamo_kv_router::scheduling::{OverlapAnalysis, ScheduleMode};
use dynamo_kv_router::{
    ActiveSequencesMultiWorker, ConcurrentRadixTreeCompressed, DefaultWorkerSelector,
    NoopSequencePublisher, SchedulingRequest, SequenceRequest, WorkerLoadProjection,
    WorkerSelectionInput, WorkerSelector,
};
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use tokio::time::Instant;

/// What their selector asks of a worker.
#[derive(Clone)]
struct Room;

impl WorkerConfigLike for Room {
    fn data_parallel_start_rank(&self) -> u32 {
        0
    }
    fn data_parallel_size(&self) -> u32 {
        1
    }
    fn max_num_batched_tokens(&self) -> Option<u64> {
        Some(8_192)
    }
    fn total_kv_blocks(&self) -> Option<u64> {
        Some(8_192)
    }
}

/// The parts of their router that a decision needs.
pub struct Theirs {
    config: KvRouterConfig,
    workers: HashMap<u64, Room>,
    under_way: ActiveSequencesMultiWorker<NoopSequencePublisher>,
    selector: DefaultWorkerSelector,
    index: ThreadPoolIndexer<ConcurrentRadixTreeCompressed>,
    /// The loads that a decision reads, in memory that is used again, as in their queue.
    loads: FxHashMap<WorkerWithDpRank, WorkerLoadProjection>,
    events: u64,
    next: Option<Next>,
}

/// A request that is about to be decided.
struct Next {
    id: String,
    local: Vec<LocalBlockHash>,
    names: Vec<u64>,
    tokens: (usize, u32),
}

impl Theirs {
    pub fn new(workers: u32) -> Self {
        let config = KvRouterConfig::default();
        let ids = 0..u64::from(workers);
        let ranks = ids.clone().map(|worker| (worker, (0, 1))).collect();
        let block = BLOCK as usize;
        Self {
            workers: ids.map(|worker| (worker, Room)).collect(),
            under_way: ActiveSequencesMultiWorker::new_without_expiry(
                NoopSequencePublisher,
                block,
                ranks,
                false,
                0,
                "peers",
            ),
            selector: DefaultWorkerSelector::new(Some(config.clone()), "peers"),
            index: ThreadPoolIndexer::new(ConcurrentRadixTreeCompressed::new(), 1, BLOCK),
            config,
            loads: FxHashMap::default(),
            events: 0,
            next: None,
        }
    }
}

impl Side for Theirs {
    fn name(&self) -> String {
        "dynamo-kv-router 1.6.1".to_owned()
    }

    fn prepare(&mut self, prompt: &Prompt) {
        let (local, names, tokens) = (local(prompt), prompt.names.clone(), prompt.tokens);
        self.next = Some(Next { id: prompt.number.to_string(), local, names, tokens });
    }

    fn decide(&mut self) -> u32 {
        let Next { id, local, names, tokens } = self.next.take().expect("a request was prepared");
        let device = self.index.backend().find_match_details_impl(&local, false);
        let tiered = TieredMatchDetails { device, lower_tier: Default::default() };
        let overlap = OverlapAnalysis::new(&self.config, BLOCK, &tiered).signals();
        let now = Instant::now();
        let mut worker_loads = std::mem::take(&mut self.loads);
        self.under_way.bench_project_worker_loads_into(Some(&names), now, &mut worker_loads);
        let (isl_tokens, answer) = tokens;
        let mut request = SchedulingRequest {
            mode: ScheduleMode::Tracked { request_id: id.clone() },
            token_seq: Some(names),
            isl_tokens,
            overlap,
            worker_loads,
            track_prefill_tokens: true,
            expected_output_tokens: Some(answer),
            kv_transfer_candidates: None,
            retain_kv_transfer_chain: false,
            router_config_override: None,
            lora_name: None,
            priority_jump: 0.0,
            strict_priority: 0,
            policy_class: None,
            session_context: None,
            affinity_target: None,
            pinned_worker: None,
            allowed_worker_ids: None,
            routing_constraints: RoutingConstraints::default(),
            shared_cache_hits: None,
            resp_tx: None,
        };
        let eligible = request.eligibility();
        let input = WorkerSelectionInput::configured(&self.workers, &request, eligible, BLOCK);
        let selected = self.selector.select_worker(input).expect("a fleet has workers");
        let new = isl_tokens.saturating_sub(selected.cached_tokens);
        let sequence = SequenceRequest {
            request_id: id,
            token_sequence: request.token_seq.take(),
            track_prefill_tokens: true,
            expected_output_tokens: Some(answer),
            prefill_load_hint: (new > 0).then_some(PrefillLoadHint {
                initial_effective_prefill_tokens: new,
                expected_prefill_duration: None,
            }),
            worker: selected.worker,
            lora_name: None,
        };
        self.under_way.add_request(sequence, now).expect("a new request");
        self.loads = request.worker_loads;
        selected.worker.worker_id as u32
    }

    fn first_token(&mut self, number: u64) {
        let done = self.under_way.mark_prefill_completed(&number.to_string(), Instant::now());
        done.expect("a request under way");
    }

    fn finished(&mut self, number: u64) {
        self.under_way.free(&number.to_string(), Instant::now()).expect("a request under way");
    }

    fn stored(&mut self, worker: u32, prompt: &Prompt, from: usize) {
        let (local, names) = (&local(prompt)[from..], &prompt.names);
        let block = |(&tokens_hash, &name): (&LocalBlockHash, &u64)| {
            let block_hash = ExternalSequenceBlockHash(name);
            KvCacheStoredBlockData { block_hash, tokens_hash, mm_extra_info: None }
        };
        let parent_hash = from.checked_sub(1).map(|last| ExternalSequenceBlockHash(names[last]));
        let blocks = local.iter().zip(&names[from..]).map(block).collect();
        let stored = KvCacheStoreData { parent_hash, start_position: None, blocks };
        self.events += 1;
        let data = KvCacheEventData::Stored(stored);
        let event = KvCacheEvent { event_id: self.events, data, dp_rank: 0 };
        let event = RouterEvent::new(u64::from(worker), event);
        self.index.enqueue_event(event).expect("their thread takes events");
        // The next look-up finds it.
        tokio::runtime::Handle::current().block_on(self.index.flush());
    }

    fn held(&mut self, prompt: &Prompt) -> Vec<u32> {
        let found = self.index.backend().find_match_details_impl(&local(prompt), false);
        let tiered = TieredMatchDetails { device: found, lower_tier: Default::default() };
        let overlap = OverlapAnalysis::new(&self.config, BLOCK, &tiered).signals();
        let device = &overlap.tier_overlap_blocks.device;
        let rank = |worker| WorkerWithDpRank::new(worker, 0);
        let workers = 0..self.workers.len() as u64;
        workers.map(|worker| device.get(&rank(worker)).copied().unwrap_or(0) as u32).collect()
    }
}

/// Their hashes of the blocks' own tokens, which the trace's numbers stand for.
fn local(prompt: &Prompt) -> Vec<LocalBlockHash> {
    let hash = |&block: &u64| LocalBlockHash(warmpath_core::rng::hash_words(&[block]));
    prompt.blocks.iter().map(hash).collect()
}
