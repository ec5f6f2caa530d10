//! What routers before one fleet tell each other.
//!
//! Each router numbers workers, pools and tenants for itself. So messages name them, and who converts says
//! which number has which name.

use super::error::{DecodeError, HASH_BYTES};
use super::runs::{hashes_from_wire, prompt_to_wire};
use crate::v1::{self, follow_response, pull_ref};
use warmpath_core::block::{BlockHash, TokenBlocks};
use warmpath_core::id::{
    MAX_TIERS, ORIGINS, PoolId, RequestId, SessionId, SourceId, TenantId, WorkerId,
};
use warmpath_core::request::Request;
use warmpath_core::rng::hash_words;
use warmpath_core::routing::decision::{Decision, Pull};
use warmpath_core::routing::siblings::News;

/// Tokens of a prompt that a sibling may tell of. No generate request has more.
const MOST_TOKENS: u32 = 4 << 20;

/// The names of what a router has numbered.
pub trait Names {
    /// A worker as all routers know it.
    fn worker(&self, id: WorkerId) -> v1::WorkerRef;
    /// A pool's URL.
    fn pool(&self, id: PoolId) -> String;
    /// A tenant's name.
    fn tenant(&self, id: TenantId) -> String;
}

/// The numbers that a router gave to what others name.
pub trait Numbers {
    /// None: no such worker is in the fleet now.
    fn worker(&self, worker: &v1::WorkerRef) -> Option<WorkerId>;
    /// None: the router follows no such pool.
    fn pool(&self, url: &str) -> Option<PoolId>;
    /// A number that none of its tenants has, if the router knows no such tenant.
    fn tenant(&self, name: &str) -> TenantId;
}

/// News, as far as this router can place them.
#[derive(Clone, Debug)]
pub enum Heard {
    /// In the numbers of this router.
    News(News),
    /// A request that went to a worker which is not in this router's fleet.
    Elsewhere(RequestId, v1::WorkerRef),
}

/// Wraps a message of the feed.
pub fn follow_response(message: follow_response::Message) -> v1::FollowResponse {
    v1::FollowResponse { message: Some(message) }
}

/// Encodes news. `hashes`: with the names of blocks.
pub fn news_to_wire(news: &News, names: &impl Names, hashes: bool) -> v1::News {
    use v1::news::What;
    let step = v1::RequestStep {};
    let what = match news {
        News::Sent { request, decision } => {
            What::Sent(sent_to_wire(request, decision, names, hashes))
        }
        News::PrefillDone(_) => What::PrefillDone(step),
        News::FirstToken(_) => What::FirstToken(step),
        News::Cancelled(_) => What::Cancelled(step),
        &News::Finished { cached_tokens, ref by_origin, output_tokens, .. } => {
            let cached_by_origin = by_origin.map(Vec::from).unwrap_or_default();
            What::Finished(v1::RequestFinished { cached_tokens, cached_by_origin, output_tokens })
        }
    };
    v1::News { request: news.id().0, what: Some(what) }
}

fn sent_to_wire(
    request: &Request,
    decision: &Decision,
    names: &impl Names,
    hashes: bool,
) -> v1::RequestSent {
    let prompt = &request.prompt;
    let blocks = if hashes { prompt.blocks() } else { 0 };
    v1::RequestSent {
        worker: Some(names.worker(decision.worker)),
        decode: decision.decode.map(|id| names.worker(id)),
        prompt_tokens: prompt.tokens(),
        hashes: prompt_to_wire(prompt.chain(), blocks),
        overlap_by_tier: decision.overlap.map(Vec::from).unwrap_or_default(),
        pull: decision.pull.map(|Pull { from, blocks }| v1::PullRef {
            from: Some(match from {
                SourceId::Worker(id) => pull_ref::From::Worker(names.worker(id)),
                SourceId::Pool(id) => pull_ref::From::Pool(names.pool(id)),
            }),
            blocks,
        }),
        session: request.session.map(|SessionId(number)| number),
        tenant: names.tenant(request.tenant),
        priority: request.priority,
        max_new_tokens: request.max_new_tokens,
    }
}

/// Decodes news of a router with this block size. `epoch`: that router's, which makes names for blocks that
/// come without.
pub fn news_from_wire(
    (epoch, block_size): (u64, u32),
    news: v1::News,
    numbers: &impl Numbers,
) -> Result<Heard, DecodeError> {
    use v1::news::What;
    let id = RequestId(news.request);
    Ok(Heard::News(match news.what.ok_or(DecodeError::Missing { field: "what" })? {
        What::Sent(sent) => return sent_from_wire((epoch, block_size), id, sent, numbers),
        What::PrefillDone(_) => News::PrefillDone(id),
        What::FirstToken(_) => News::FirstToken(id),
        What::Cancelled(_) => News::Cancelled(id),
        What::Finished(finished) => News::Finished {
            id,
            cached_tokens: finished.cached_tokens,
            by_origin: list::<ORIGINS>("cached_by_origin", &finished.cached_by_origin)?,
            output_tokens: finished.output_tokens,
        },
    }))
}

fn sent_from_wire(
    (epoch, block_size): (u64, u32),
    id: RequestId,
    sent: v1::RequestSent,
    numbers: &impl Numbers,
) -> Result<Heard, DecodeError> {
    let tokens = sent.prompt_tokens;
    if tokens > MOST_TOKENS {
        return Err(DecodeError::PromptTooLong { tokens, most: MOST_TOKENS });
    }
    let expected = u64::from(tokens / block_size.max(1));
    let names: Vec<BlockHash> = match sent.hashes.is_empty() {
        // Names that no other text has.
        true => (0..expected)
            .map(|block| {
                let half = |part| u128::from(hash_words(&[epoch, id.0, block, part]));
                BlockHash::from_wire(half(0) << 64 | half(1))
            })
            .collect(),
        false if sent.hashes.len() as u64 == expected * HASH_BYTES as u64 => {
            hashes_from_wire(&sent.hashes).collect()
        }
        false => return Err(DecodeError::Hashes { bytes: sent.hashes.len() }),
    };
    let prompt = TokenBlocks::from_wire(block_size, tokens, names);
    let prompt = prompt.ok_or(DecodeError::BlockSize(block_size))?;
    let worker = sent.worker.ok_or(DecodeError::Missing { field: "worker" })?;
    let place = |named: v1::WorkerRef| numbers.worker(&named).ok_or(named);
    let (worker, decode) = match (place(worker), sent.decode.map(place).transpose()) {
        (Ok(worker), Ok(decode)) => (worker, decode),
        (Err(named), _) | (_, Err(named)) => return Ok(Heard::Elsewhere(id, named)),
    };
    let overlap = list::<MAX_TIERS>("overlap_by_tier", &sent.overlap_by_tier)?;
    let pull = sent.pull.and_then(|pull| {
        let from = match pull.from? {
            pull_ref::From::Worker(named) => SourceId::Worker(numbers.worker(&named)?),
            pull_ref::From::Pool(url) => SourceId::Pool(numbers.pool(&url)?),
        };
        Some(Pull { from, blocks: pull.blocks })
    });
    let request = Request {
        id,
        session: sent.session.map(SessionId),
        tenant: numbers.tenant(&sent.tenant),
        prompt,
        priority: sent.priority,
        // The other router sees to it.
        deadline: None,
        max_new_tokens: sent.max_new_tokens,
    };
    let decision = Decision { overlap, pull, decode, ..Decision::blind(worker) };
    Ok(Heard::News(News::Sent { request, decision }))
}

/// A list of one length, or none.
fn list<const N: usize>(
    field: &'static str,
    list: &[u32],
) -> Result<Option<[u32; N]>, DecodeError> {
    if list.is_empty() {
        return Ok(None);
    }
    let got = list.len();
    list.try_into().map(Some).map_err(|_| DecodeError::Length { field, got, expected: N })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worker 3 is `a`, pool 1 is `p`, tenant 2 is `t`.
    struct Table;

    impl Names for Table {
        fn worker(&self, id: WorkerId) -> v1::WorkerRef {
            let instance = if id == WorkerId(3) { "a" } else { "b" };
            v1::WorkerRef { instance: instance.to_owned(), url: String::new() }
        }

        fn pool(&self, _: PoolId) -> String {
            "p".to_owned()
        }

        fn tenant(&self, _: TenantId) -> String {
            "t".to_owned()
        }
    }

    impl Numbers for Table {
        fn worker(&self, worker: &v1::WorkerRef) -> Option<WorkerId> {
            (worker.instance == "a").then_some(WorkerId(3))
        }

        fn pool(&self, url: &str) -> Option<PoolId> {
            (url == "p").then_some(PoolId(1))
        }

        fn tenant(&self, name: &str) -> TenantId {
            TenantId(if name == "t" { 2 } else { u32::MAX })
        }
    }

    fn sent(worker: u32) -> News {
        let names = (0..6).map(|i| BlockHash::from_wire(1 << 100 | i)).collect();
        let request = Request {
            id: RequestId(9),
            session: Some(SessionId(7)),
            tenant: TenantId(2),
            prompt: TokenBlocks::from_wire(16, 100, names).unwrap(),
            priority: -4,
            deadline: None,
            max_new_tokens: Some(5),
        };
        let pull = Some(Pull { from: SourceId::Pool(PoolId(1)), blocks: 4 });
        let decision = Decision { pull, ..Decision::new(WorkerId(worker), [2, 1, 0, 0]) };
        News::Sent { request, decision }
    }

    /// As text, which has everything.
    fn back(news: &News, hashes: bool) -> String {
        let heard = news_from_wire((1, 16), news_to_wire(news, &Table, hashes), &Table);
        format!("{:?}", heard.unwrap())
    }

    #[test]
    fn news_are_read_as_they_were_told() {
        let id = RequestId(9);
        let by_origin = Some([1, 2, 3, 4, 5, 6]);
        let finished = News::Finished { id, cached_tokens: 21, by_origin, output_tokens: Some(3) };
        let steps = [News::PrefillDone(id), News::FirstToken(id), News::Cancelled(id)];
        for news in [sent(3), finished].iter().chain(&steps) {
            assert_eq!(back(news, true), format!("{:?}", Heard::News(news.clone())));
        }
        let elsewhere = back(&sent(4), true);
        assert!(elsewhere.starts_with("Elsewhere(RequestId(9)"), "{elsewhere}");
    }

    #[test]
    fn blocks_without_names_get_such_as_no_other_has() {
        let heard = |epoch| {
            let wire = news_to_wire(&sent(3), &Table, false);
            let Heard::News(News::Sent { request, .. }) =
                news_from_wire((epoch, 16), wire, &Table).unwrap()
            else {
                panic!("it was sent")
            };
            request.prompt
        };
        let (one, other) = (heard(1), heard(2));
        assert_eq!((one.tokens(), one.blocks()), (100, 6));
        for block in 0..6 {
            assert_ne!(one.chain().hash(block), other.chain().hash(block));
            assert_ne!(one.chain().hash(block), one.chain().hash((block + 1) % 6));
        }
    }

    #[test]
    fn news_that_make_no_sense_are_errors() {
        let refused = |change: fn(&mut v1::RequestSent)| {
            let mut wire = news_to_wire(&sent(3), &Table, true);
            if let Some(v1::news::What::Sent(sent)) = &mut wire.what {
                change(sent);
            }
            news_from_wire((1, 16), wire, &Table).map(drop)
        };
        assert_eq!(refused(|_| ()), Ok(()));
        assert_eq!(refused(|s| s.hashes.truncate(80)), Err(DecodeError::Hashes { bytes: 80 }));
        let long = DecodeError::PromptTooLong { tokens: (4 << 20) + 1, most: 4 << 20 };
        assert_eq!(refused(|s| s.prompt_tokens = (4 << 20) + 1), Err(long));
        assert_eq!(refused(|s| s.worker = None), Err(DecodeError::Missing { field: "worker" }));
        let length = DecodeError::Length { field: "overlap_by_tier", got: 1, expected: 4 };
        assert_eq!(refused(|s| s.overlap_by_tier = vec![1]), Err(length));
        let nothing = v1::News { request: 1, what: None };
        let missing = news_from_wire((1, 16), nothing, &Table).map(drop);
        assert_eq!(missing, Err(DecodeError::Missing { field: "what" }));
    }
}
