//! The feed of a worker that may say anything, beside one that does not lie.

use prost::Message;
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{
    DecodeCost, Digest, FetchCost, KvBatch, KvEvent, LoadReport, PrefillCost, Role, Snapshot,
    TierCost, WorkerInfo,
};
use warmpath_core::id::{RequestId, SourceId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::time::Instant;
use warmpath_proto::convert::{self, SnapshotReader};
use warmpath_proto::raw::Bytes;
use warmpath_proto::v1::watch_response::Message as Said;
use warmpath_proto::v1::{Draining, Heartbeat, WatchResponse};

const BLOCK: u32 = 16;
const LIAR: WorkerId = WorkerId(1);
const HONEST: WorkerId = WorkerId(0);

/// The bytes are messages of a feed, each with its length before it. They are converted and applied as a
/// router does it. What cannot be read or applied ends the feed; the next message begins a new one.
pub fn run(messages: &Bytes) {
    let mut at = Side::new();
    let mut rest = messages.clone();
    for _ in 0..256 {
        let Ok(response) = WatchResponse::decode_length_delimited(&mut rest) else { break };
        let applied = response.message.map_or(Ok(()), |said| at.apply(&said));
        if applied.is_err() {
            at.forget();
        }
        at.check_honest();
    }
    at.route();
    at.forget();
    at.check_honest();
}

/// The router's side.
struct Side {
    index: PrefixIndex,
    router: Router,
    snapshot: SnapshotReader,
    /// The blocks of the worker that does not lie.
    prompt: TokenBlocks,
    digest: Digest,
    now: u64,
    sent: u64,
}

struct Ended;

impl Side {
    fn new() -> Self {
        let mut index = PrefixIndex::with_digests();
        let run = run_of(100);
        let held = vec![(TierId::HBM, run.clone())];
        let source = HONEST.into();
        let whole = Snapshot { source, epoch: 1, seq: 0, runs: held };
        index.replace(&whole).expect("a whole prefix");
        let digest = index.digest(source);
        let prompt = TokenBlocks::new(run.chain, 100 * BLOCK);
        let snapshot = SnapshotReader::new(LIAR, BLOCK);
        let router = Router::new(PolicyConfig::KvAware);
        let mut side = Self { index, router, snapshot, prompt, digest, now: 0, sent: 0 };
        side.tell(Input::Joined(info(HONEST)));
        side
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.now += 1_000_000;
        let mut actions = Vec::new();
        let Self { router, index, .. } = self;
        let look = |prompt: &TokenBlocks, overlap: &mut Overlap| index.overlap(prompt, overlap);
        router.apply(Instant::from_nanos(self.now), &input, &look, &mut actions);
        actions
    }

    fn apply(&mut self, said: &Said) -> Result<(), Ended> {
        let source = SourceId::Worker(LIAR);
        match said {
            Said::Hello(hello) => {
                let info = convert::hello_from_wire(LIAR, hello).map_err(|_| Ended)?;
                self.forget();
                // A worker with other blocks is refused.
                if info.block_size == BLOCK {
                    self.tell(Input::Joined(info));
                }
            }
            Said::Snapshot(chunk) => {
                if let Some(whole) = self.snapshot.push(chunk).map_err(|_| Ended)? {
                    self.index.replace(&whole).map_err(|_| Ended)?;
                }
            }
            Said::Batch(batch) => {
                let batch = convert::batch_from_wire(LIAR, BLOCK, batch).map_err(|_| Ended)?;
                self.index.apply(&batch).map_err(|_| Ended)?;
            }
            Said::Load(report) => {
                let report = convert::load_from_wire(LIAR, report).map_err(|_| Ended)?;
                self.tell(Input::Load(report));
            }
            Said::Heartbeat(Heartbeat { epoch, seq }) => {
                if self.index.position(source) != Some((*epoch, *seq)) {
                    return Err(Ended);
                }
            }
            Said::Draining(Draining {}) => drop(self.tell(Input::Draining(LIAR))),
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.snapshot = SnapshotReader::new(LIAR, BLOCK);
        self.index.forget(LIAR.into());
        self.tell(Input::Lost(LIAR.into()));
    }

    /// Nothing that one worker says changes what the index knows of another.
    fn check_honest(&self) {
        assert_eq!(self.index.digest(HONEST.into()), self.digest);
        let mut overlap = Overlap::default();
        self.index.overlap(&self.prompt, &mut overlap);
        let held = overlap.entries().iter().find(|entry| entry.source == HONEST.into());
        let blocks = self.prompt.reusable_blocks();
        assert_eq!(held.expect("its blocks").by_tier[0], blocks, "of {blocks}");
    }

    /// Every rule decides about the fleet as it is now.
    fn route(&mut self) {
        for &policy in PolicyConfig::ALL {
            self.tell(Input::SetPolicy(policy));
            self.sent += 1;
            let request = Request {
                id: RequestId(self.sent),
                session: None,
                tenant: TenantId(0),
                prompt: self.prompt.clone(),
                priority: 0,
                deadline: None,
                max_new_tokens: Some(20),
            };
            let id = request.id;
            let actions = self.tell(Input::Arrived(request));
            assert_eq!(actions.len(), 1, "{policy}: {actions:?}");
            self.tell(Input::FirstToken(id));
            self.tell(Input::Cancelled(id));
        }
    }
}

fn run_of(blocks: u32) -> BlockRun {
    let names = (1..=u128::from(blocks)).map(BlockHash::from_wire).collect();
    let chain = Chain::from_wire(BLOCK, 0, names);
    BlockRun { chain, start: 0, end: blocks }
}

fn info(worker: WorkerId) -> WorkerInfo {
    let cost = FetchCost { latency_ns: 1e6, ns_per_block: 1e3 };
    WorkerInfo {
        worker,
        epoch: 1,
        block_size: BLOCK,
        total_blocks: Some(1_000),
        constant_blocks: 0,
        max_num_seqs: 8,
        prefill: PrefillCost {
            step_ns: 1e6,
            floor_ns: 0.0,
            chunk_tokens: 512,
            ns_per_token: 1e3,
            ns_per_pair: 0.1,
        },
        tiers: vec![TierCost { tier: TierId::HOST, latency_ns: 1e6, load_ns_per_block: 1e4 }],
        pool: Some(cost),
        peers: Some(cost),
        role: Role::Both,
        decode: None,
    }
}

/// A feed whose numbers are all the same.
fn forged(number: f64, whole: u32) -> Vec<Said> {
    let source = SourceId::Worker(LIAR);
    let wide = if whole == 0 { 0 } else { u64::MAX };
    let cost = FetchCost { latency_ns: number, ns_per_block: number };
    let info = WorkerInfo {
        epoch: wide,
        total_blocks: Some(wide),
        constant_blocks: whole,
        max_num_seqs: whole,
        prefill: PrefillCost {
            step_ns: number,
            floor_ns: number,
            chunk_tokens: whole,
            ns_per_token: number,
            ns_per_pair: number,
        },
        tiers: vec![TierCost { tier: TierId::HOST, latency_ns: number, load_ns_per_block: number }],
        pool: Some(cost),
        peers: Some(cost),
        decode: Some(DecodeCost {
            step_ns: number,
            ns_per_seq: number,
            ns_per_context_token: number,
            kv_transfer_latency_ns: number,
            kv_transfer_ns_per_token: number,
        }),
        ..info(LIAR)
    };
    let run = run_of(70);
    let snapshot = Snapshot { source, epoch: wide, seq: wide, runs: vec![(TierId::HBM, run)] };
    let events = vec![KvEvent::Cleared];
    let batch = KvBatch { source, epoch: wide, seq: wide.wrapping_add(1), events };
    let load = LoadReport {
        worker: LIAR,
        epoch: wide,
        seq: wide,
        waiting: whole,
        running: whole,
        queued_prefill_tokens: wide,
        blocks_by_tier: [wide; 4],
        blocks_in_use: wide,
        digest: Some(Digest { blocks: wide, xor: wide }),
    };
    let mut said = vec![Said::Hello(convert::hello_to_wire(&info, "m", number))];
    said.extend(convert::snapshot_to_wire(&snapshot).into_iter().map(Said::Snapshot));
    said.push(Said::Load(convert::load_to_wire(&load)));
    said.push(Said::Batch(convert::batch_to_wire(&batch)));
    said
}

pub fn seeds() -> Vec<Vec<u8>> {
    let source = SourceId::Worker(LIAR);
    let hello = convert::hello_to_wire(&info(LIAR), "m", 1.0);
    let part = |start, end| BlockRun { start, end, ..run_of(100) };
    let runs = vec![(TierId::HBM, part(0, 70)), (TierId::HOST, part(70, 80))];
    let whole = Snapshot { source, epoch: 1, seq: 3, runs };
    let chunks = convert::snapshot_to_wire(&whole).into_iter().map(Said::Snapshot);
    let batch = |seq, events| {
        Said::Batch(convert::batch_to_wire(&KvBatch { source, epoch: 1, seq, events }))
    };
    let load = LoadReport {
        worker: LIAR,
        epoch: 1,
        seq: 3,
        waiting: 1,
        running: 2,
        queued_prefill_tokens: 100,
        blocks_by_tier: [70, 10, 0, 0],
        blocks_in_use: 3,
        digest: Some(Digest { blocks: 80, xor: 1 }),
    };
    let tier = TierId::HBM;
    let said: Vec<Said> = [Said::Hello(hello)]
        .into_iter()
        .chain(chunks)
        .chain([
            batch(4, vec![KvEvent::Stored { tier, run: part(80, 90) }]),
            batch(5, vec![KvEvent::Removed { tier, run: part(64, 70) }, KvEvent::Cleared]),
            Said::Heartbeat(Heartbeat { epoch: 1, seq: 5 }),
            Said::Load(convert::load_to_wire(&load)),
            Said::Draining(Draining {}),
        ])
        .collect();
    let written = |said: &[Said]| -> Vec<u8> {
        let each = said.iter().map(|said| convert::response(said.clone()));
        each.flat_map(|response| response.encode_length_delimited_to_vec()).collect()
    };
    let mut all = vec![written(&said), written(&said[..2]), written(&said[1..4])];
    // Numbers that no worker has.
    for extreme in [f64::NAN, f64::INFINITY, -1.0, 1e308, 0.0] {
        for whole in [0, u32::MAX] {
            all.push(written(&forged(extreme, whole)));
        }
    }
    all
}
