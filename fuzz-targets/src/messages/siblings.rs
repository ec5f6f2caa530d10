//! What a sibling says, which may be anything: it is booked beside the requests of the router that hears it.

use prost::Message;
use warmpath_core::block::{BlockHash, TokenBlocks};
use warmpath_core::event::{PrefillCost, Role, WorkerInfo};
use warmpath_core::id::{PoolId, RequestId, TenantId, WorkerId};
use warmpath_core::request::Request;

use warmpath_core::routing::decision::{Decision, Pull};
use warmpath_core::routing::input::{Action, Input, News, RouterId};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::Instant;
use warmpath_proto::convert::{
    Heard, Names, Numbers, follow_response, news_from_wire, news_to_wire,
};
use warmpath_proto::raw::Bytes;
use warmpath_proto::v1::follow_response::Message as Said;
use warmpath_proto::v1::{
    FollowResponse, NewsBatch, NewsHeartbeat, SiblingHello, UnderWay, WorkerRef,
};

const BLOCK: u32 = 16;
const SIBLING: RouterId = RouterId(3);

/// The workers are called by their numbers.
struct Fleet;

impl Names for Fleet {
    fn worker(&self, id: WorkerId) -> WorkerRef {
        WorkerRef { instance: id.to_string(), url: String::new() }
    }

    fn pool(&self, id: PoolId) -> String {
        id.to_string()
    }

    fn tenant(&self, id: TenantId) -> String {
        id.0.to_string()
    }
}

impl Numbers for Fleet {
    fn worker(&self, worker: &WorkerRef) -> Option<WorkerId> {
        [0, 1].map(WorkerId).into_iter().find(|id| id.to_string() == worker.instance)
    }

    fn pool(&self, url: &str) -> Option<PoolId> {
        (url == "pool0").then_some(PoolId(0))
    }

    fn tenant(&self, name: &str) -> TenantId {
        TenantId(name.parse().unwrap_or(u32::MAX))
    }
}

/// The bytes are messages, each with its length before it. After them, what the sibling said is forgotten, and
/// the router is as it was.
pub fn run(messages: &Bytes) {
    let mut router = Router::new(PolicyConfig::KvAware);
    let mut now = 0;
    let mut tell = |input: Input| {
        now += 1_000_000;
        let mut actions: Vec<Action> = Vec::new();
        router.apply(Instant::from_nanos(now), &input, &no_lookup, &mut actions);
        let booked = router.fleet().in_flight();
        (actions, booked, router.fleet().of_siblings())
    };
    for worker in [0, 1] {
        tell(Input::Joined(info(WorkerId(worker))));
    }
    tell(Input::Arrived(request(1)));
    let mut rest = messages.clone();
    for _ in 0..64 {
        let Ok(response) = FollowResponse::decode_length_delimited(&mut rest) else { break };
        let all = match response.message {
            Some(Said::UnderWay(UnderWay { news, .. }) | Said::News(NewsBatch { news, .. })) => {
                news
            }
            Some(Said::Hello(_) | Said::Heartbeat(_)) | None => continue,
        };
        for news in all {
            let Ok(Heard::News(news)) = news_from_wire((7, BLOCK), news, &Fleet) else { continue };
            let (actions, booked, _) = tell(Input::Sibling { router: SIBLING, news });
            assert_eq!((actions, booked), (Vec::new(), 1), "a sibling decides nothing here");
        }
    }
    for (&policy, id) in PolicyConfig::ALL.iter().zip(2..) {
        tell(Input::SetPolicy(policy));
        let (actions, ..) = tell(Input::Arrived(request(id)));
        assert_eq!(actions.len(), 1, "{policy}: {actions:?}");
        tell(Input::Cancelled(RequestId(id)));
    }
    let (_, booked, of_siblings) = tell(Input::SiblingLost(SIBLING));
    assert_eq!((booked, of_siblings), (1, 0));
    tell(Input::Cancelled(RequestId(1)));
    // The blocks of requests that ended are pending for a moment more.
    let mut at = Instant::from_nanos(now);
    while let Some(wake) = router.next_wake() {
        at = at.max(wake);
        router.apply(at, &Input::Tick, &no_lookup, &mut Vec::new());
    }
    router.check_at_rest();
}

fn request(id: u64) -> Request {
    let names = (0..10).map(|i| BlockHash::from_wire(i + 1)).collect();
    Request {
        id: RequestId(id),
        session: None,
        tenant: TenantId(0),
        prompt: TokenBlocks::from_wire(BLOCK, 170, names).expect("ten names"),
        priority: 0,
        deadline: None,
        max_new_tokens: Some(20),
    }
}

fn info(worker: WorkerId) -> WorkerInfo {
    WorkerInfo {
        worker,
        epoch: 1,
        block_size: BLOCK,
        total_blocks: None,
        constant_blocks: 0,
        max_num_seqs: 8,
        prefill: PrefillCost {
            step_ns: 1e6,
            floor_ns: 0.0,
            chunk_tokens: 512,
            ns_per_token: 1e3,
            ns_per_pair: 0.1,
        },
        tiers: Vec::new(),
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let sent = |id: u64, worker: u32, blocks: u32| {
        let pull = Some(Pull { from: PoolId(0).into(), blocks });
        let decode = (worker == 1).then_some(WorkerId(0));
        let decision = Decision::new(WorkerId(worker), [blocks; 4]);
        News::Sent { request: request(id), decision: Decision { pull, decode, ..decision } }
    };
    let id = RequestId;
    let finished = |number: u32| News::Finished {
        id: id(1),
        cached_tokens: number,
        by_origin: Some([number; 6]),
        output_tokens: Some(number),
    };
    let wire = |all: &[News], hashes| -> Vec<_> {
        all.iter().map(|news| news_to_wire(news, &Fleet, hashes)).collect()
    };
    let hello = SiblingHello { epoch: 7, block_size: BLOCK, ..Default::default() };
    let written = |all: &[News], more: &[News], hashes: bool| -> Vec<u8> {
        let said = [
            Said::Hello(hello.clone()),
            Said::UnderWay(UnderWay { number: 3, news: wire(all, hashes), last: true }),
            Said::News(NewsBatch { first: 4, news: wire(more, hashes) }),
            Said::Heartbeat(NewsHeartbeat { number: 3 + more.len() as u64 }),
        ];
        let each = said.into_iter().map(follow_response);
        each.flat_map(|response| response.encode_length_delimited_to_vec()).collect()
    };
    let steps = [News::PrefillDone(id(2)), News::FirstToken(id(1)), finished(3)];
    let ends = [News::Cancelled(id(1)), News::Cancelled(id(1)), finished(u32::MAX)];
    vec![
        written(&[sent(1, 0, 2), sent(2, 1, 4)], &steps, true),
        written(&[sent(1, 0, 2), sent(1, 1, 0)], &ends, true),
        written(&[sent(1, 0, u32::MAX), sent(2, 1, 0), sent(3, 2, 0)], &[], false),
    ]
}
