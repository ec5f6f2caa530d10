//! Requests. A [`Request`] is the part that a router may know. A [`Work`] also has the answer, which
//! only the workload and a simulated worker know.

use crate::block::{Chain, TokenBlocks};
use crate::id::{RequestId, SessionId, TenantId};
use crate::rng::hash_words;
use crate::time::Instant;
use crate::tokens::{Segment, materialize};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A request as the router sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The request's id.
    pub id: RequestId,
    /// The client's session, if it named one.
    pub session: Option<SessionId>,
    /// The tenant that the request belongs to.
    pub tenant: TenantId,
    /// The block hashes of the prompt.
    pub prompt: TokenBlocks,
    /// The priority as the client sent it. With late binding, the router's queue takes a smaller one
    /// first, as vLLM does.
    pub priority: i32,
    /// When the client gives up, in model time.
    pub deadline: Option<Instant>,
    /// The most answer tokens that the client asked for. Only who may serve the request depends on
    /// it: no policy reads it. None: not known, as in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<u32>,
}

/// A request as the workload and a simulated worker see it.
#[derive(Clone, Debug)]
pub struct Work {
    /// The part that the router sees.
    pub request: Request,
    /// Prompt and answer on one chain, so that the block that holds the end of the prompt and the
    /// start of the answer can be reused.
    pub sequence: TokenBlocks,
    /// The length of the answer, at least 1.
    pub output_tokens: u32,
    /// The token ids of prompt and answer.
    pub text: TokenSource,
    /// The session of the user: a sub-agent's requests belong to the session of its user. None where
    /// the user is not known.
    pub user: Option<SessionId>,
    /// The prefixes of the prompt that may be cached already.
    pub known: Known,
}

/// The owner of a text's blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The tenant that owns the blocks after the public part.
    pub tenant: TenantId,
    /// Blocks at the start of the text that are public. They belong to no tenant.
    pub public_blocks: u32,
}

/// Prefixes of a prompt that may be in a cache already, in tokens of whole blocks. They tell for
/// each hit which earlier requests computed it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// Tokens that earlier turns of the same user's session had.
    pub own_tokens: u32,
    /// Tokens that the operator shares with all tenants.
    pub public_tokens: u32,
}

impl Work {
    /// A request of the first tenant. The prompt is the first `prompt_tokens` tokens of a chain, the
    /// answer the `output_tokens` tokens after them.
    pub fn new(
        id: RequestId,
        session: Option<SessionId>,
        chain: &Chain,
        (prompt_tokens, output_tokens): (u32, u32),
        text: TokenSource,
    ) -> Self {
        let view = |tokens| TokenBlocks::new(chain.clone(), tokens);
        let prompt = view(prompt_tokens);
        let sequence = view(prompt_tokens + output_tokens);
        let tenant = TenantId(0);
        let request = Request {
            id,
            session,
            tenant,
            prompt,
            priority: 0,
            deadline: None,
            max_new_tokens: Some(output_tokens),
        };
        Self { request, sequence, output_tokens, text, user: session, known: Known::default() }
    }

    /// The owner of the request's blocks.
    pub fn owner(&self) -> Owner {
        let public_blocks = self.known.public_tokens / self.request.prompt.block_size();
        Owner { tenant: self.request.tenant, public_blocks }
    }

    /// The same request for a tenant, with the prefixes of its prompt that may be cached. Both
    /// prefixes are cut to whole blocks and to the prompt.
    #[must_use]
    pub fn of(mut self, tenant: TenantId, known: Known) -> Self {
        let size = self.request.prompt.block_size();
        let whole = |tokens: u32| tokens.min(self.request.prompt.tokens()) / size * size;
        let Known { own_tokens, public_tokens } = known;
        self.known = Known { own_tokens: whole(own_tokens), public_tokens: whole(public_tokens) };
        self.request.tenant = tenant;
        self
    }
}

/// The token ids of a text, generated from its segments on demand.
#[derive(Clone, Debug, Default)]
pub struct TokenSource {
    segments: Arc<[Segment]>,
}

impl TokenSource {
    /// The text of these segments.
    pub fn new(segments: Arc<[Segment]>) -> Self {
        Self { segments }
    }

    /// Another text of the same shape. Parts that were equal stay equal, and no part is equal to a
    /// text with another nonce. Repeated runs use it to start with cold caches.
    #[must_use]
    pub fn salted(&self, nonce: u64) -> Self {
        let salt = |segment: &Segment| match *segment {
            Segment::Text { seed, tokens } => {
                Segment::Text { seed: hash_words(&[0x4e4f_4e43, nonce, seed]), tokens }
            }
            answer @ Segment::Answer { .. } => answer,
        };
        Self { segments: self.segments.iter().map(salt).collect() }
    }

    /// The ids of the first `tokens` tokens.
    pub fn token_ids(&self, tokens: u32) -> Vec<u32> {
        materialize(&self.segments, tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salting_keeps_equal_parts_equal() {
        let source = |seeds: &[u64]| {
            let text = |&seed: &u64| Segment::Text { seed, tokens: 40 };
            TokenSource::new(
                seeds.iter().map(text).chain([Segment::Answer { tokens: 3 }]).collect(),
            )
        };
        let (a, b) = (source(&[1, 2]), source(&[1, 3]));
        let ids = |source: &TokenSource| source.token_ids(83);
        let (one, two) = (ids(&a.salted(7)), ids(&b.salted(7)));
        assert_eq!(one[..40], two[..40]);
        assert_ne!(one[40..80], two[40..80]);
        assert_eq!(one, ids(&a.salted(7)));
        for other in [ids(&a), ids(&a.salted(8))] {
            assert_eq!(other.len(), one.len());
            // Of 83 draws out of 128,256, one may be equal by chance; four are very unlikely.
            assert!(one.iter().zip(&other).filter(|(a, b)| a == b).count() < 4);
        }
    }
}
