//! KV transfers from a prefill worker to a decode worker, with times computed by hand.

use crate::common::{round_profile, work};
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::engine::{Engine, FetchError, Output, SubmitError};
use warmpath_core::event::Role;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Work;
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;
const PREFILL: WorkerId = WorkerId(0);
const DECODE: WorkerId = WorkerId(1);

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn scope() -> ScopePlan {
    ScopePlan::new("", "", "", 4)
}

/// A token of 1,000 bytes takes 1 µs.
const LINK: KvTransferLink =
    KvTransferLink { gb_s: 1.0, latency_us: 0.0, timeout_ms: 5.0, hold_ms: 20.0 };

fn engine(worker: WorkerId, role: Role, profile: Profile) -> Engine {
    Engine::new(worker, 1, profile).with_role(role, Some(LINK))
}

/// Two workers with blocks of 4 tokens. A step takes 1 ms, and 10 µs more for each token above 100.
struct Pair {
    prefill: Engine,
    decode: Engine,
    /// The outputs of both workers, in order.
    outputs: Vec<(WorkerId, Output)>,
}

fn a_request(id: u64, seed: u64, prompt: u32, output: u32) -> Work {
    work(id, &scope(), &[Segment::Text { seed, tokens: prompt }], output)
}

impl Pair {
    fn new() -> Self {
        Self {
            prefill: engine(PREFILL, Role::Prefill, round_profile(4)),
            decode: engine(DECODE, Role::Decode, round_profile(4)),
            outputs: Vec::new(),
        }
    }

    /// Steps both workers up to `ns`, without passing anything between them.
    fn until(&mut self, ns: u64) {
        for (engine, worker) in [(&mut self.prefill, PREFILL), (&mut self.decode, DECODE)] {
            while let Some(wake) = engine.next_wake().filter(|&wake| wake <= at(ns)) {
                let mut out = Vec::new();
                engine.step(wake, &mut out);
                engine.store().check();
                self.outputs.extend(out.into_iter().map(|output| (worker, output)));
            }
        }
    }

    fn prefilled(&self, id: u64) -> Option<(u64, u32)> {
        self.outputs.iter().find_map(|(worker, output)| match output {
            Output::Prefilled { id: of, at, cached_tokens, .. } if of.0 == id => {
                assert_eq!(*worker, PREFILL);
                Some((at.as_nanos(), *cached_tokens))
            }
            _ => None,
        })
    }

    /// The time of a pull and its number of tokens.
    fn pull(&self, id: u64) -> Option<(u64, u32)> {
        self.outputs.iter().find_map(|(_, output)| match output {
            Output::Pull { id: of, at, from, tokens } if of.0 == id => {
                assert_eq!(*from, PREFILL);
                Some((at.as_nanos(), *tokens))
            }
            _ => None,
        })
    }

    fn kv_sent(&self, id: u64) -> Option<u64> {
        self.outputs.iter().find_map(|(_, output)| match output {
            Output::KvSent { id: of, at, to } if of.0 == id => {
                assert_eq!(*to, DECODE);
                Some(at.as_nanos())
            }
            _ => None,
        })
    }

    /// The times of the first and the last token, and the number of cached tokens.
    fn answer(&self, id: u64) -> Option<(u64, u64, u32)> {
        let mut first = None;
        for (worker, output) in &self.outputs {
            match output {
                Output::FirstToken { id: of, at } if of.0 == id => {
                    assert_eq!((*worker, first.replace(at.as_nanos())), (DECODE, None));
                }
                Output::Finished { id: of, at, cached_tokens, .. } if of.0 == id => {
                    assert_eq!(*worker, DECODE);
                    let first = first.expect("a first token before the last");
                    return Some((first, at.as_nanos(), *cached_tokens));
                }
                _ => {}
            }
        }
        None
    }

    /// Serves a request without a failure. Returns the times of its first and last token, and the
    /// number of cached tokens.
    fn serve(&mut self, from: u64, request: Work) -> (u64, u64, u32) {
        let id = request.request.id.0;
        self.prefill.submit_prefill(at(from), request.clone(), &[]).expect("an accepted prompt");
        self.until(from + 5 * MS);
        let (done, _) = self.prefilled(id).expect("a computed prompt");
        self.decode.submit_handed(at(done), request, PREFILL).expect("an accepted request");
        self.until(done);
        let (asked, tokens) = self.pull(id).expect("a pull");
        self.prefill.send_kv(at(asked), RequestId(id), DECODE, tokens).expect("the KV is held");
        self.until(asked + u64::from(tokens) * US);
        let left = self.kv_sent(id).expect("the KV has left");
        self.decode.kv_transfer_ended(at(left), RequestId(id), Ok(()));
        self.until(left + 50 * MS);
        self.answer(id).expect("an answer")
    }

    fn rest(mut self) -> Self {
        self.until(u64::MAX);
        self.prefill.check_at_rest();
        self.decode.check_at_rest();
        self
    }
}

#[test]
fn the_first_token_comes_after_prefill_transfer_and_one_step() {
    let mut pair = Pair::new();
    // 402 tokens take 4.02 ms to compute and 402 µs on the link, then 1 ms a token.
    let (first, last, cached) = pair.serve(0, a_request(1, 1, 402, 3));
    assert_eq!(pair.prefilled(1), Some((4_020 * US, 0)));
    assert_eq!(first, 4_020 * US + 402 * US + MS);
    assert_eq!((last, cached), (first + 2 * MS, 0));
    let pair = pair.rest();
    let handed = pair.prefill.kv_transfer_stats();
    assert_eq!((handed.tokens, handed.bytes), (402, 402_000));
    assert_eq!(handed.sending.as_nanos(), 402 * US);
    let stats = pair.prefill.stats();
    assert_eq!((stats.prefill_tokens, stats.output_tokens), (402, 0), "no token is reported");
    let stats = pair.decode.stats();
    assert_eq!((stats.prefill_tokens, stats.output_tokens), (0, 3));
    assert_eq!(pair.decode.kv_transfer_stats().wait.as_nanos(), 402 * US);
    // Both workers keep the 100 full blocks. On the decode worker the answer's first two tokens
    // fill one more. The last token of the answer has no KV.
    assert_eq!(pair.prefill.store().blocks_by_tier()[0], 100);
    assert_eq!(pair.decode.store().blocks_by_tier()[0], 101);
}

#[test]
fn only_the_blocks_that_the_decode_worker_lacks_are_pulled() {
    let mut pair = Pair::new();
    pair.serve(0, a_request(1, 1, 402, 3));
    // The next turn: the same 402 tokens and 98 more. Both workers have 100 blocks of it.
    let longer = [Segment::Text { seed: 1, tokens: 402 }, Segment::Text { seed: 9, tokens: 98 }];
    let (_, _, cached) = pair.serve(100 * MS, work(2, &scope(), &longer, 2));
    assert_eq!(cached, 400, "cached on the decode worker");
    assert_eq!(pair.prefilled(2).map(|(_, cached)| cached), Some(400));
    assert_eq!(pair.pull(2).map(|(_, tokens)| tokens), Some(100));
    assert_eq!(pair.rest().prefill.kv_transfer_stats().tokens, 402 + 100);
}

#[test]
fn a_prompt_of_full_blocks_cached_on_the_decode_worker_moves_one_block() {
    let mut pair = Pair::new();
    pair.serve(0, a_request(1, 1, 400, 5));
    let (first, _, cached) = pair.serve(100 * MS, a_request(2, 1, 400, 1));
    let (asked, tokens) = pair.pull(2).expect("a pull");
    // The last token must be computed, so its block is not taken from the cache.
    assert_eq!((cached, tokens), (396, 4));
    assert_eq!(first, asked + 4 * US + MS);
    pair.rest();
}

#[test]
fn held_kv_stays_until_it_has_left() {
    // There is room for 12 blocks: a prompt of 40 tokens leaves too little for another.
    let profile = Profile { hbm_tokens: Some(48), ..round_profile(4) };
    let mut pair = Pair { prefill: engine(PREFILL, Role::Prefill, profile), ..Pair::new() };
    for id in [1, 2] {
        let request = a_request(id, id, 40, 5);
        pair.prefill.submit_prefill(at(0), request, &[]).expect("an accepted prompt");
    }
    pair.until(8 * MS);
    assert_eq!(pair.prefilled(1), Some((MS, 0)));
    assert_eq!(pair.prefilled(2), None, "the first request's blocks are held");
    pair.prefill.send_kv(at(8 * MS), RequestId(1), DECODE, 40).expect("the KV is held");
    let again = pair.prefill.send_kv(at(8 * MS), RequestId(1), DECODE, 40);
    assert_eq!(again, Err(FetchError::Missing), "it is already under way");
    pair.until(10 * MS);
    assert_eq!(pair.kv_sent(1), Some(8 * MS + 40 * US));
    assert_eq!(pair.prefilled(2), Some((9 * MS + 40 * US, 0)), "its blocks are free once it left");
    // No decode worker pulls the second: its KV expires after 20 ms.
    pair.until(9 * MS + 40 * US + 20 * MS);
    assert_eq!(pair.prefill.kv_transfer_stats().expired, 1);
    let late = pair.prefill.send_kv(at(30 * MS), RequestId(2), DECODE, 40);
    assert_eq!(late, Err(FetchError::Missing));
    pair.rest();
}

#[test]
fn a_prompt_is_computed_if_its_kv_transfer_fails() {
    for (fails_at, result) in [(2 * MS, Some(Err(FetchError::Gone))), (5 * MS, None)] {
        let mut pair = Pair::new();
        let request = a_request(1, 1, 402, 3);
        pair.decode.submit_handed(at(0), request, PREFILL).expect("an accepted request");
        pair.until(MS);
        assert_eq!(pair.pull(1), Some((0, 402)));
        if let Some(result) = result {
            pair.until(fails_at);
            pair.decode.kv_transfer_ended(at(fails_at), RequestId(1), result);
        }
        pair.until(50 * MS);
        // From here it takes the same time as a new request: 4.02 ms for the whole prompt.
        let first = fails_at + 4_020 * US;
        assert_eq!(pair.answer(1), Some((first, first + 2 * MS, 0)));
        // KV that arrives after the timeout changes nothing.
        pair.decode.kv_transfer_ended(at(60 * MS), RequestId(1), Ok(()));
        let pair = pair.rest();
        assert_eq!(
            (pair.decode.kv_transfer_stats().failed, pair.decode.stats().prefill_tokens),
            (1, 402)
        );
    }
}

#[test]
fn a_cancelled_request_leaves_nothing() {
    // Cancelled before its prompt is computed, while its KV is held, and while it is under way.
    for cancel_at in [MS, 6 * MS, 6 * MS + 200 * US] {
        let mut pair = Pair::new();
        let request = a_request(1, 1, 402, 3);
        pair.prefill.submit_prefill(at(0), request.clone(), &[]).expect("an accepted prompt");
        pair.until(cancel_at.min(6 * MS));
        if cancel_at > 6 * MS {
            pair.decode.submit_handed(at(6 * MS), request, PREFILL).expect("an accepted request");
            pair.until(6 * MS);
            pair.prefill.send_kv(at(6 * MS), RequestId(1), DECODE, 402).expect("the KV is held");
        }
        pair.until(cancel_at);
        pair.prefill.cancel(at(cancel_at), RequestId(1));
        pair.decode.cancel(at(cancel_at), RequestId(1));
        assert_eq!(pair.answer(1), None);
        let pair = pair.rest();
        assert_eq!(pair.prefill.kv_transfer_stats().expired, 0);
        assert_eq!(pair.answer(1), None);
    }
}

#[test]
fn a_preempted_prompt_is_computed_after_its_kv_transfer() {
    // The decode worker has 30 blocks: two answers of 40 tokens after 39 do not fit together.
    let profile = Profile { hbm_tokens: Some(120), ..round_profile(4) };
    let mut pair = Pair { decode: engine(DECODE, Role::Decode, profile), ..Pair::new() };
    for id in [1, 2] {
        let request = a_request(id, id, 39, 40);
        pair.decode.submit_handed(at(0), request, PREFILL).expect("an accepted request");
    }
    pair.until(0);
    for id in [1, 2] {
        assert_eq!(pair.pull(id), Some((0, 39)));
        pair.decode.kv_transfer_ended(at(0), RequestId(id), Ok(()));
    }
    pair.until(1_000 * MS);
    assert!(pair.answer(1).is_some() && pair.answer(2).is_some());
    let pair = pair.rest();
    let stats = pair.decode.stats();
    assert_eq!(stats.preemptions, 1);
    assert!(stats.prefill_tokens > 0, "the lost KV is computed, not transferred again");
    assert_eq!(stats.prefill_tokens, stats.recomputed_tokens);
}

#[test]
fn an_id_in_use_is_rejected() {
    let mut pair = Pair::new();
    pair.prefill.submit_prefill(at(0), a_request(1, 1, 40, 2), &[]).expect("an accepted prompt");
    pair.until(2 * MS);
    let again = pair.prefill.submit_prefill(at(2 * MS), a_request(1, 1, 40, 2), &[]);
    assert_eq!(again, Err(SubmitError::DuplicateId), "its KV is held");
    pair.rest();
}
