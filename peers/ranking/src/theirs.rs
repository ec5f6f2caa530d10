//! A rule inside NVIDIA's simulator: its placement policy is a router of ours.

use crate::Figures;
use crate::setting::{BLOCK, SEQUENCES, STEP_TOKENS, WORKERS, profile, replay};
use aisimulate_core::engine::{KvEvent, KvEventData, KvEventTier};
use aisimulate_core::replay::loadgen::{ReplayRequestHashes, ReplayRequestPayload};
use aisimulate_core::replay::{
    CURRENT_REPLAY_SPEC_VERSION, EngineEventBatch, Placement, PlacementDecision, PlacementEffects,
    PlacementPolicy, ProviderSpec, ReplayAdapters, ReplayAdmissionMetadata, ReplayComposition,
    ReplayEngineConfig, ReplayEngineFactory, ReplayEngineObservation, ReplayRuntimeInput,
    ReplaySpec, ReplayTopology, Replayer, RequestIdentity, SlaThresholds, WorkerStage,
    WorkerTopology,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::engine::Engine;
use warmpath_core::event::{KvBatch, KvEvent as OurKvEvent, LoadReport, Snapshot};
use warmpath_core::id::{MAX_TIERS, RequestId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::mix64;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::time::{Duration, Instant};
use warmpath_core::workload::trace::{TimedReplay, Trace};

/// How often a worker's load is reported where a rule does not ask more often, as in our simulator.
const REPORT_EVERY: Duration = Duration::from_millis(1_000);

/// Plays the trace in their simulator: with a rule of ours, or with their own round robin.
pub fn play(
    path: &Path,
    trace: &Arc<Trace>,
    speed: f64,
    tokens: u64,
    rule: Option<PolicyConfig>,
) -> Result<Figures> {
    let recorded = aisimulate_core::replay::loadgen::Trace::from_mooncake(path, BLOCK as usize)?;
    let recorded = recorded.normalize_session_starts()?.speed_up_timing(speed)?;
    let rank = serde_json::from_value(json!({
        "backend": "vllm",
        "block_size": BLOCK,
        "num_gpu_blocks": tokens / u64::from(BLOCK),
        "max_num_seqs": SEQUENCES,
        "max_num_batched_tokens": STEP_TOKENS,
    }))?;
    let engine =
        ReplayEngineConfig { num_gpu_blocks_is_explicit: Some(true), rank, ..Default::default() };
    let ours = ProviderSpec { provider: "warmpath".into(), config: serde_json::Value::Null };
    let placement = if rule.is_some() { ours } else { ProviderSpec::round_robin() };
    let spec = ReplaySpec {
        version: CURRENT_REPLAY_SPEC_VERSION,
        topology: ReplayTopology::aggregated(WORKERS as usize),
        engine: serde_json::to_value(engine)?,
        adapters: ReplayAdapters { placement, scaling: ProviderSpec::no_scaling() },
        max_sim_time_ms: None,
        max_in_flight: None,
        record_per_request: false,
        sla: SlaThresholds { ttft_ms: Some(2_000.0), itl_ms: Some(100.0), e2e_ms: None },
        requests: Vec::new(),
    };
    let driver = recorded.into_trace_driver_with_block_size(BLOCK as usize)?;
    let input = ReplayRuntimeInput::Workload(driver);
    let factory = ReplayEngineFactory::new();
    let report = match rule {
        Some(rule) => {
            let composition = Composition { rule, tokens, sessions: replay(trace, speed) };
            Replayer::with_composition(spec, factory, composition)?.with_runtime_input(input).run()
        }
        None => Replayer::new(spec, factory)?.with_runtime_input(input).run(),
    }?;
    let report = serde_json::to_value(&report)?;
    let figure = |name: &str| report[name].as_f64().with_context(|| format!("no {name}"));
    ensure!(figure("completed_requests")? as usize == trace.len(), "not all requests completed");
    Ok(Figures { ttft_ms: figure("mean_ttft_ms")?, hit_rate: figure("prefix_cache_reused_ratio")? })
}

/// Makes the placement policy when the workers are known.
struct Composition {
    rule: PolicyConfig,
    tokens: u64,
    sessions: TimedReplay,
}

impl ReplayComposition for Composition {
    type Metadata = Metadata;
    type Observation = Observation;
    type AggregatedPlacement = Placer;
    type DisaggregatedPlacement = Placer;

    fn create_aggregated_placement(
        &mut self,
        _: u32,
        workers: Vec<WorkerTopology>,
    ) -> Result<Placer> {
        Placer::new(self.rule, self.tokens, self.sessions.clone(), workers)
    }

    fn create_disaggregated_placements(
        &mut self,
        _: u32,
        _: Vec<WorkerTopology>,
        _: u32,
        _: Vec<WorkerTopology>,
    ) -> Result<(Placer, Placer)> {
        bail!("only fleets whose workers do whole requests")
    }
}

/// The names of a prompt's full blocks.
#[derive(Default)]
struct Metadata(Option<ReplayRequestHashes>);

impl ReplayAdmissionMetadata for Metadata {
    fn from_hashes(hashes: Option<ReplayRequestHashes>) -> Self {
        Self(hashes)
    }

    fn for_prefill(self) -> Self {
        self
    }

    fn max_output_tokens_override(&self) -> Option<usize> {
        None
    }

    fn into_hashes(self) -> Option<ReplayRequestHashes> {
        self.0
    }
}

/// Events with their workers.
#[derive(Default)]
struct Events(Vec<(usize, KvEvent)>);

impl EngineEventBatch for Events {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

struct Observation;

impl ReplayEngineObservation for Observation {
    type Batch = Events;
    const CAPTURE_ENGINE_KV_EVENTS: bool = true;

    fn observe_engine_events(
        _: WorkerStage,
        worker: usize,
        _: u32,
        events: Vec<KvEvent>,
    ) -> Events {
        Events(events.into_iter().map(|event| (worker, event)).collect())
    }
}

/// A request under way.
struct UnderWay {
    number: u64,
    worker: usize,
    blocks: u64,
    is_computed: bool,
}

/// A router of ours that places their requests.
struct Placer {
    router: Router,
    index: PrefixIndex,
    workers: Vec<WorkerTopology>,
    /// The number of each worker's last batch.
    batches: Vec<u64>,
    /// The block before each block, for runs from a text's start.
    before: HashMap<u64, Option<u64>>,
    under_way: BTreeMap<Uuid, UnderWay>,
    /// The same requests in the same order; they have the sessions that their trace lacks.
    sessions: TimedReplay,
    report_every: Duration,
    reported: Instant,
}

impl Placer {
    fn new(
        rule: PolicyConfig,
        tokens: u64,
        sessions: TimedReplay,
        workers: Vec<WorkerTopology>,
    ) -> Result<Self> {
        let mut placer = Self {
            router: Router::new(rule),
            index: PrefixIndex::default(),
            batches: vec![0; workers.len()],
            workers,
            before: HashMap::new(),
            under_way: BTreeMap::new(),
            sessions,
            report_every: rule.poll().map_or(REPORT_EVERY, |poll| poll.min(REPORT_EVERY)),
            reported: Instant::START,
        };
        for worker in (0..placer.workers.len() as u32).map(WorkerId) {
            let snapshot = Snapshot { source: worker.into(), epoch: 1, seq: 0, runs: Vec::new() };
            placer.index.replace(&snapshot)?;
            let info = Engine::new(worker, 1, profile(tokens)).info();
            placer.tell(Instant::START, &Input::Joined(info));
        }
        Ok(placer)
    }

    fn tell(&mut self, now: Instant, input: &Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let index = &self.index;
        let lookup = |prompt: &TokenBlocks, out: &mut Overlap| index.overlap(prompt, out);
        self.router.apply(now, input, &lookup, &mut actions);
        actions
    }

    /// Reports each worker's load. Their engines have no report, so it is made of what is under way:
    /// of the prompts that are not computed, one is in the running batch and the others wait.
    fn report(&mut self, now: Instant) {
        if now.since(self.reported) < self.report_every {
            return;
        }
        self.reported = now;
        for worker in 0..self.workers.len() {
            let here = || self.under_way.values().filter(move |request| request.worker == worker);
            let computed = here().filter(|request| request.is_computed).count() as u32;
            let requests = here().count() as u32;
            let running = requests.min(computed + 1);
            let blocks_in_use = here().map(|request| request.blocks).sum();
            let report = LoadReport {
                worker: WorkerId(worker as u32),
                epoch: 1,
                seq: self.batches[worker],
                waiting: requests - running,
                running,
                queued_prefill_tokens: 0,
                blocks_by_tier: [0; MAX_TIERS],
                blocks_in_use,
                digest: None,
            };
            self.tell(now, &Input::Load(report));
        }
    }

    /// The blocks of a text up to one of them.
    fn run(&self, last: u64, start: impl Fn(u32) -> u32) -> BlockRun {
        let mut names = vec![last];
        while let Some(Some(before)) = self.before.get(names.last().expect("at least one")) {
            names.push(*before);
        }
        let end = names.len() as u32;
        let names = names.into_iter().rev().map(name).collect();
        let chain = Chain::from_wire(BLOCK, 0, names);
        BlockRun { chain, start: start(end), end }
    }

    fn announce(&mut self, worker: usize, event: OurKvEvent) -> Result<()> {
        self.batches[worker] += 1;
        let (source, seq) = (WorkerId(worker as u32).into(), self.batches[worker]);
        Ok(self.index.apply(&KvBatch { source, epoch: 1, seq, events: vec![event] })?)
    }
}

impl PlacementPolicy<ReplayRequestPayload> for Placer {
    type Metadata = Metadata;
    type Observation = Events;

    fn place(
        &mut self,
        request: &ReplayRequestPayload,
        metadata: Metadata,
        _: Option<String>,
        now_ms: f64,
    ) -> Result<PlacementEffects> {
        let now = instant(now_ms);
        self.report(now);
        let recorded = self.sessions.send().request;
        let tokens = request.input_length() as u32;
        ensure!(recorded.prompt.tokens() == tokens, "requests come in another order");
        let hashes = metadata.into_hashes().context("a trace has hashes")?.sequence_hashes;
        ensure!(hashes.len() as u32 == tokens / BLOCK, "only full blocks have hashes");
        // The last block has no name: it is not full.
        let names = hashes.iter().copied().map(name).chain([BlockHash::from_wire(0)]).collect();
        let prompt = TokenBlocks::new(Chain::from_wire(BLOCK, 0, names), tokens);
        let blocks = u64::from(prompt.blocks()) + 1;
        let number = recorded.id.0;
        let (id, tenant) = (RequestId(number), TenantId(0));
        let session = recorded.session;
        let arrived = Request {
            id,
            session,
            tenant,
            prompt,
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        };
        let worker = match self.tell(now, &Input::Arrived(arrived)).as_slice() {
            [Action::Dispatch { decision, .. }] => decision.worker.0 as usize,
            other => bail!("a rule that holds or rejects: {other:?}"),
        };
        let request_id = request.request_id().context("a request has an id")?;
        let under_way = UnderWay { number, worker, blocks, is_computed: false };
        self.under_way.insert(request_id, under_way);
        let placement = Placement {
            request_id,
            scheduler_id: self.workers[worker].scheduler_ids[0],
            reported_overlap_tokens: 0,
            cache_sample: None,
            placement_replica_id: None,
        };
        let decision = PlacementDecision::Immediate(placement);
        Ok(PlacementEffects { decision, released: Vec::new() })
    }

    fn observe(&mut self, Events(events): Events, _: f64) -> Result<Vec<Placement>> {
        for (worker, event) in events {
            ensure!(event.tier == KvEventTier::Device, "only HBM is simulated");
            match event.data {
                KvEventData::Stored(stored) => {
                    let Some(last) = stored.blocks.last() else { continue };
                    let mut before = stored.parent_hash;
                    for block in &stored.blocks {
                        self.before.insert(block.block_hash, before);
                        before = Some(block.block_hash);
                    }
                    let count = stored.blocks.len() as u32;
                    let run = self.run(last.block_hash, |end| end - count);
                    self.announce(worker, OurKvEvent::Stored { tier: TierId::HBM, run })?;
                }
                KvEventData::Removed { block_hashes } => {
                    for block in block_hashes {
                        let run = self.run(block, |end| end - 1);
                        self.announce(worker, OurKvEvent::Removed { tier: TierId::HBM, run })?;
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    fn prefill_completed(&mut self, id: Uuid, now_ms: f64) -> Result<Vec<Placement>> {
        let request = self.under_way.get_mut(&id).context("a request under way")?;
        if !core::mem::replace(&mut request.is_computed, true) {
            let number = request.number;
            self.tell(instant(now_ms), &Input::FirstToken(RequestId(number)));
        }
        Ok(Vec::new())
    }

    fn request_terminal(&mut self, id: Uuid, now_ms: f64) -> Result<Vec<Placement>> {
        let request = self.under_way.remove(&id).context("a request under way")?;
        let (id, cached_tokens) = (RequestId(request.number), 0);
        let (by_origin, output_tokens) = (None, None);
        let finished = Input::Finished { id, cached_tokens, by_origin, output_tokens };
        self.tell(instant(now_ms), &finished);
        Ok(Vec::new())
    }

    fn cancel_pending(&mut self, _: Uuid) -> bool {
        false
    }

    fn pending_count(&self) -> usize {
        0
    }

    // The fleet stays as it is.

    fn worker_ready(&mut self, _: WorkerTopology, _: f64) -> Result<Vec<Placement>> {
        Ok(Vec::new())
    }

    fn worker_draining(&mut self, _: WorkerTopology, _: f64) -> Result<Vec<Placement>> {
        Ok(Vec::new())
    }

    fn worker_removed(&mut self, _: WorkerTopology, _: f64) -> Result<Vec<Placement>> {
        Ok(Vec::new())
    }

    fn topology_settled(&mut self, _: f64) -> Result<Vec<Placement>> {
        Ok(Vec::new())
    }
}

fn instant(ms: f64) -> Instant {
    Instant::START + Duration::from_nanos_f64(ms * 1e6)
}

/// Their 64 bits as a name of ours: the index spreads names by their bits.
fn name(hash: u64) -> BlockHash {
    BlockHash::from_wire(u128::from(mix64(hash)) << 64 | u128::from(hash))
}
