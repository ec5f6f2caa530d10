//! Records of a router: an error, or a replay.

use crate::errors::check_line;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::{LoadReport, PrefillCost, Role, WorkerInfo};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::input::{Action, Failure, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{End, Header, ReplayError, replay};
use warmpath_core::routing::reliability::Reliability;
use warmpath_core::time::Instant;

/// The text of a record, as `loadgen replay` reads it.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match replay(text.lines()) {
        // It shows all actions of an input.
        Ok(_) | Err(ReplayError::Differs { .. }) => {}
        Err(error) => check_line(&error.to_string()),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    PolicyConfig::ALL.iter().map(|policy| recorded(*policy).into_bytes()).collect()
}

/// The record of a small fleet under a rule: workers join and leave, requests are held, fail and are tried
/// again.
fn recorded(policy: PolicyConfig) -> String {
    let what = Reliability::on();
    let header = Header::new(policy, 7).with_reliability(what);
    let mut router = Router::new(policy).with_seed(7).with_reliability(what);
    let mut lines = vec![json(&header)];
    let mut now = 0;
    let mut actions = Vec::new();
    let mut tell = |input: Input| {
        now += 1_000_000;
        actions.clear();
        let at = Instant::from_nanos(now);
        let entry = router.apply_recorded(at, input, &|_, overlap| overlap.clear(), &mut actions);
        lines.push(json(&entry));
        actions.iter().find_map(|action| match action {
            Action::Dispatch { decision, .. } => Some(decision.worker),
            _ => None,
        })
    };
    tell(Input::Joined(worker(0)));
    tell(Input::Joined(worker(1)));
    for id in 0..4 {
        let request = request(id);
        let Some(sent_to) = tell(Input::Arrived(request.clone())) else { continue };
        let id = RequestId(id);
        match id.0 {
            0 => drop(tell(Input::Cancelled(id))),
            1 => {
                let again = Some(request);
                tell(Input::Failed { id, worker: sent_to, how: Failure::NotTaken, again });
                tell(Input::Cancelled(id));
            }
            _ => {
                tell(Input::FirstToken(id));
                let (by_origin, output_tokens) = (None, Some(5));
                tell(Input::Finished { id, cached_tokens: 16, by_origin, output_tokens });
            }
        }
    }
    tell(Input::Load(report(1)));
    tell(Input::Drained(WorkerId(1)));
    tell(Input::Undrained(WorkerId(1)));
    tell(Input::Draining(WorkerId(0)));
    tell(Input::SetPolicy(PolicyConfig::Random));
    tell(Input::Lost(WorkerId(0).into()));
    tell(Input::Tick);
    let entries = lines.len() as u64 - 1;
    lines.push(json(&End { end: entries }));
    lines.join("\n") + "\n"
}

fn json(line: &impl serde::Serialize) -> String {
    serde_json::to_string(line).expect("a line of a record")
}

fn worker(number: u32) -> WorkerInfo {
    WorkerInfo {
        worker: WorkerId(number),
        epoch: 1,
        block_size: 16,
        total_blocks: Some(1_000),
        constant_blocks: 0,
        max_num_seqs: 8,
        prefill: PrefillCost {
            step_ns: 1e6,
            floor_ns: 0.0,
            chunk_tokens: 512,
            ns_per_token: 1e3,
            ns_per_pair: 0.0,
        },
        tiers: Vec::new(),
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}

fn request(number: u64) -> Request {
    let tokens: Vec<u32> = (0..40).collect();
    let chain = hash_blocks(&ScopePlan::new("s", "m", "", 16), &tokens);
    Request {
        id: RequestId(number),
        session: Some(SessionId(number % 2)),
        tenant: TenantId(0),
        prompt: TokenBlocks::whole(chain),
        priority: 0,
        deadline: None,
        max_new_tokens: Some(20),
    }
}

fn report(number: u32) -> LoadReport {
    LoadReport {
        worker: WorkerId(number),
        epoch: 1,
        seq: 3,
        waiting: 1,
        running: 2,
        queued_prefill_tokens: 100,
        blocks_by_tier: [5, 0, 0, 0],
        blocks_in_use: 3,
        digest: None,
    }
}
