//! What is asked for. [`Request`] is all that a router may know; [`Work`] is what a worker and the
//! workload know besides: the answer.

use crate::block::{Chain, TokenBlocks};
use crate::id::{RequestId, SessionId, TenantId};
use crate::rng::hash_words;
use crate::time::Instant;
use crate::tokens::{Segment, materialize};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub id: RequestId,
    pub session: Option<SessionId>,
    pub tenant: TenantId,
    pub prompt: TokenBlocks,
    pub priority: i32,
    /// When the client gives up, in model time.
    pub deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
pub struct Work {
    pub request: Request,
    /// Prompt and answer on one chain, so that the block that straddles them can be reused.
    pub sequence: TokenBlocks,
    /// At least 1.
    pub output_tokens: u32,
    pub text: TokenSource,
    /// The session of the person behind it: a sub-agent's requests are its user's. None where nobody
    /// says.
    pub user: Option<SessionId>,
    pub known: Known,
}

/// Whose the blocks of a text are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub tenant: TenantId,
    /// So many blocks at the text's start are public: nobody's.
    pub public_blocks: u32,
}

/// Prefixes of a prompt that somebody could have in a cache already, in tokens of whole blocks. They
/// say whose work a hit was.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// Earlier turns of the same user's session had these.
    pub own_tokens: u32,
    /// The operator shares these with all tenants.
    pub public_tokens: u32,
}

impl Work {
    /// A request of the first tenant: the first `prompt_tokens` of a chain, answered with the
    /// `output_tokens` behind them.
    pub fn new(
        id: RequestId,
        session: Option<SessionId>,
        chain: &Arc<Chain>,
        (prompt_tokens, output_tokens): (u32, u32),
        text: TokenSource,
    ) -> Self {
        let view = |tokens| TokenBlocks::new(Arc::clone(chain), tokens);
        let prompt = view(prompt_tokens);
        let sequence = view(prompt_tokens + output_tokens);
        let tenant = TenantId(0);
        let request = Request { id, session, tenant, prompt, priority: 0, deadline: None };
        Self { request, sequence, output_tokens, text, user: session, known: Known::default() }
    }

    /// Who has what of this is kept.
    pub fn owner(&self) -> Owner {
        let public_blocks = self.known.public_tokens / self.request.prompt.block_size();
        Owner { tenant: self.request.tenant, public_blocks }
    }

    /// The same of this tenant, with what of its prompt was known before; parts of blocks do not count.
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

/// Where the token ids of a sequence come from, made only when asked for.
#[derive(Clone, Debug, Default)]
pub struct TokenSource {
    segments: Arc<[Segment]>,
}

impl TokenSource {
    pub fn new(segments: Arc<[Segment]>) -> Self {
        Self { segments }
    }

    /// Another text of the same shape: what was equal in it is equal still, and nothing in it is
    /// equal to anything under another nonce.
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

    /// The first `tokens` token ids.
    pub fn token_ids(&self, tokens: u32) -> Vec<u32> {
        materialize(&self.segments, tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salted_text_keeps_what_is_equal_in_it() {
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
            // Of 83 draws out of 128,256 one may be equal by chance, hardly four.
            assert!(one.iter().zip(&other).filter(|(a, b)| a == b).count() < 4);
        }
    }
}
