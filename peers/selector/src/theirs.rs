//! Their side: the crate's hashes, indexes, tracker of requests under way, and selector.

use crate::fleet::{News, Prompt, Settings, Shape};
use dynamo_kv_router::config::KvRouterConfig;
use dynamo_kv_router::indexer::{
    LowerTierIndexers, LowerTierQueryOptions, TieredMatchDetails, query_lower_tiers_with_options,
};
use dynamo_kv_router::protocols::{
    BlockHashOptions, ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheRemoveData,
    KvCacheStoreData, KvCacheStoredBlockData, LocalBlockHash, PrefillLoadHint, RouterEvent,
    RoutingConstraints, StorageTier, WorkerWithDpRank, compute_block_hash_for_seq,
    compute_seq_hash_for_block,
};
use dynamo_kv_router::scheduling::{OverlapAnalysis, ScheduleMode};
use dynamo_kv_router::test_utils::SimpleWorkerConfig;
use dynamo_kv_router::{
    ActiveSequencesMultiWorker, DefaultWorkerSelector, NoopSequencePublisher, RadixTree,
    SchedulingRequest, SequenceRequest, WorkerSelectionInput, WorkerSelector,
};
use std::collections::HashMap;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// The tiers as they call them. Ours are numbered in this order.
const TIERS: [StorageTier; 4] =
    [StorageTier::Device, StorageTier::HostPinned, StorageTier::Disk, StorageTier::External];

/// The parts of their router that a decision needs.
pub struct Theirs<'a> {
    runtime: &'a Runtime,
    block: u32,
    config: KvRouterConfig,
    workers: HashMap<u64, SimpleWorkerConfig>,
    selector: DefaultWorkerSelector,
    hbm: RadixTree,
    behind: LowerTierIndexers,
    under_way: ActiveSequencesMultiWorker<NoopSequencePublisher>,
    events: u64,
}

/// What their selector is given about one request.
pub struct Question(SchedulingRequest);

impl<'a> Theirs<'a> {
    /// A fleet of idle workers that hold nothing. The seed decides between equals.
    pub fn new(runtime: &'a Runtime, shape: Shape, settings: Settings, seed: u64) -> Self {
        let config = KvRouterConfig {
            overlap_score_credit: settings.overlap,
            overlap_score_credit_decay: settings.decay,
            host_cache_hit_weight: settings.host,
            disk_cache_hit_weight: settings.disk,
            prefill_load_scale: settings.prefill,
            decode_active_request_weight: settings.request,
            ..KvRouterConfig::default()
        };
        config.validate_config().expect("settings within the crate's bounds");
        let ids = 0..u64::from(shape.workers);
        let ranks = ids.clone().map(|worker| (worker, (0, 1))).collect();
        Self {
            runtime,
            block: shape.block,
            workers: ids.map(|worker| (worker, SimpleWorkerConfig::default())).collect(),
            selector: DefaultWorkerSelector::new_seeded(Some(config.clone()), "peers", seed),
            config,
            hbm: RadixTree::new(),
            behind: LowerTierIndexers::new(1, shape.block),
            under_way: ActiveSequencesMultiWorker::new_without_expiry(
                NoopSequencePublisher,
                shape.block as usize,
                ranks,
                false,
                0,
                "peers",
            ),
            events: 0,
        }
    }

    /// Learns what happened.
    pub fn hear(&mut self, news: &News) {
        let now = Instant::now();
        match news {
            News::Stored { worker, tier, text, from } => {
                let (local, names) = self.names(text);
                let from = *from as usize;
                let block = |(&tokens_hash, &name): (&LocalBlockHash, &u64)| {
                    let block_hash = ExternalSequenceBlockHash(name);
                    KvCacheStoredBlockData { block_hash, tokens_hash, mm_extra_info: None }
                };
                let parent = from.checked_sub(1).map(|last| ExternalSequenceBlockHash(names[last]));
                let blocks = local[from..].iter().zip(&names[from..]).map(block).collect();
                let stored = KvCacheStoreData { parent_hash: parent, start_position: None, blocks };
                self.announce(*worker, *tier, KvCacheEventData::Stored(stored));
            }
            News::Removed { worker, tier, text } => {
                let (_, names) = self.names(text);
                let last = names.last().map(|&name| ExternalSequenceBlockHash(name));
                let removed = KvCacheRemoveData { block_hashes: last.into_iter().collect() };
                self.announce(*worker, *tier, KvCacheEventData::Removed(removed));
            }
            News::FirstToken(id) => {
                let done = self.under_way.mark_prefill_completed(&id.to_string(), now);
                done.expect("a request under way");
            }
            News::Finished(id) | News::Cancelled(id) => {
                self.under_way.free(&id.to_string(), now).expect("a request under way");
            }
        }
    }

    /// Looks a prompt up and projects loads. `looked_at`: the first blocks of the prompt that the
    /// index is asked about.
    pub fn question(&self, prompt: &Prompt, looked_at: usize) -> Question {
        let (local, names) = self.names(&prompt.tokens);
        let looked_at = &local[..looked_at.min(local.len())];
        let device = self.hbm.find_match_details(looked_at.to_vec(), false);
        let options = LowerTierQueryOptions::default();
        let lower_tier = query_lower_tiers_with_options(&self.behind, looked_at, &device, options);
        let tiered = TieredMatchDetails { device, lower_tier };
        let overlap = OverlapAnalysis::new(&self.config, self.block, &tiered).signals();
        let worker_loads = self.under_way.project_worker_loads(Some(&names), Instant::now());
        Question(SchedulingRequest {
            mode: ScheduleMode::Tracked { request_id: prompt.id.to_string() },
            token_seq: Some(names),
            isl_tokens: prompt.tokens.len(),
            lora_name: None,
            expected_output_tokens: None,
            affinity_target: None,
            pinned_worker: None,
            allowed_worker_ids: None,
            routing_constraints: RoutingConstraints::default(),
            router_config_override: None,
            track_prefill_tokens: true,
            priority_jump: 0.0,
            strict_priority: 0,
            policy_class: None,
            session_context: None,
            overlap,
            kv_transfer_candidates: None,
            retain_kv_transfer_chain: false,
            shared_cache_hits: None,
            worker_loads,
            resp_tx: None,
        })
    }

    /// Their worker. Among equals, each call draws anew.
    pub fn draw(&self, Question(request): &Question) -> u32 {
        let eligible = request.eligibility();
        let input = WorkerSelectionInput::configured(&self.workers, request, eligible, self.block);
        let selected = self.selector.select_worker(input).expect("a fleet has workers");
        selected.worker.worker_id as u32
    }

    /// Books the request on a worker as their queue does.
    pub fn book(&self, Question(mut request): Question, worker: u32) {
        let worker = rank(worker);
        let cached = request.overlap.effective_cached_tokens.get(&worker).copied().unwrap_or(0);
        let tokens = request.isl_tokens.saturating_sub(cached);
        let prefill_load_hint = (tokens > 0).then_some(PrefillLoadHint {
            initial_effective_prefill_tokens: tokens,
            expected_prefill_duration: None,
        });
        let sequence = SequenceRequest {
            request_id: request.mode.request_id().expect("a tracked request").to_owned(),
            token_sequence: request.token_seq.take(),
            track_prefill_tokens: true,
            expected_output_tokens: None,
            prefill_load_hint,
            worker,
            lora_name: None,
        };
        self.under_way.add_request(sequence, Instant::now()).expect("a new request");
    }

    /// What each worker costs, and of what it is made. The selector keeps its costs to itself, so the
    /// formula is written out here, from the selector's own inputs. It only explains.
    pub fn costs(&self, Question(request): &Question) -> Vec<Cost> {
        let load = |worker| request.worker_loads[&rank(worker)];
        let workers = 0..self.workers.len() as u32;
        let least = workers.clone().map(|worker| load(worker).active_prefill_tokens).min();
        let block = f64::from(self.block);
        let blocks = request.isl_tokens.div_ceil(self.block as usize).max(1) as f64;
        let tiers = &request.overlap.tier_overlap_blocks;
        let cost = |worker| {
            let held = |tier: &_| blocks_of(tier, worker);
            let held = [held(&tiers.device), held(&tiers.host_pinned), held(&tiers.disk)];
            let load = load(worker);
            let queued = load.active_prefill_tokens;
            let ahead = (queued - least.unwrap_or(0)) as f64 / block / blocks;
            let decay = 1.0 / (1.0 + self.config.overlap_score_credit_decay * ahead);
            let credit = self.config.overlap_score_credit * decay * held[0] as f64
                + self.config.host_cache_hit_weight * held[1] as f64
                + self.config.disk_cache_hit_weight * held[2] as f64;
            let prefill = ((queued + request.isl_tokens) as f64 / block - credit).max(0.0);
            let active = load.potential_decode_blocks();
            let cost = self.config.prefill_load_scale * prefill
                + active as f64
                + self.config.decode_active_request_weight * load.active_requests as f64;
            Cost { worker, cost, held, queued, active, requests: load.active_requests }
        };
        workers.map(cost).collect()
    }

    fn names(&self, text: &[u32]) -> (Vec<LocalBlockHash>, Vec<u64>) {
        let local = compute_block_hash_for_seq(text, self.block, BlockHashOptions::default());
        let names = compute_seq_hash_for_block(&local);
        (local, names)
    }

    fn announce(&mut self, worker: u32, tier: u8, data: KvCacheEventData) {
        self.events += 1;
        let event = KvCacheEvent { event_id: self.events, data, dp_rank: 0 };
        let tier = TIERS[usize::from(tier)];
        let event = RouterEvent::with_storage_tier(u64::from(worker), event, tier);
        if tier == StorageTier::Device {
            self.hbm.apply_event(event).expect("an event about known blocks");
        } else {
            let index = self.behind.get_or_create(tier);
            let applied = index.apply_event_and_wait(event);
            self.runtime.block_on(applied).expect("an event about known blocks");
        }
    }
}

/// A worker's cost as their formula has it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// The worker.
    pub worker: u32,
    /// In blocks.
    pub cost: f64,
    /// Blocks of the prompt in HBM, in host memory and behind it.
    pub held: [usize; 3],
    /// Prompt tokens booked and not computed.
    pub queued: usize,
    /// Blocks of the requests under way, this one included.
    pub active: usize,
    /// Requests under way.
    pub requests: usize,
}

fn rank(worker: u32) -> WorkerWithDpRank {
    WorkerWithDpRank::new(u64::from(worker), 0)
}

fn blocks_of<S: std::hash::BuildHasher>(
    tier: &HashMap<WorkerWithDpRank, usize, S>,
    worker: u32,
) -> usize {
    tier.get(&rank(worker)).copied().unwrap_or(0)
}
