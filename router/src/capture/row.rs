//! A request as a row of a trace, in Mooncake's format with sessions: `loadgen run --trace FILE`, AIPerf and others
//! read it.
//!
//! A prompt that begins with an earlier prompt and all of its answer continues that conversation. Its row has only
//! what is new (`message_mode` `delta`), so that a replay puts its own answer in the place of the live one. Other
//! prompts are whole, and begin a conversation. That is found from the tokens: clients that name no session have
//! conversations too.

use super::Over;
use lru::LruCache;
use serde::Serialize;
use std::num::NonZeroUsize;
use warmpath_core::block::{BlockHash, hash_blocks};
use warmpath_core::time::Instant;

/// Conversations that may go on. Of those that are over nothing shows that they are.
const CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Makes the ids of one file different from those of any other.
pub type Salt = [u8; 32];

/// One line of the file.
#[derive(PartialEq, Debug, Serialize)]
pub struct Row {
    /// Milliseconds of model time since the router started.
    timestamp: f64,
    /// The conversation.
    session_id: String,
    /// Milliseconds since the answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i32,
    input_length: u32,
    output_length: u32,
    hash_ids: Vec<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// Where a conversation stands.
#[derive(Debug)]
struct Conversation {
    number: u64,
    /// Tokens of its last prompt and answer.
    tokens: usize,
    /// Those of them after the last full block.
    tail: Box<[u32]>,
    ended: Instant,
}

/// Makes rows of requests.
#[derive(Debug)]
pub struct Rows {
    salt: Salt,
    /// By the client's session and the name of the last full block of prompt and answer.
    conversations: LruCache<(Option<u64>, BlockHash), Conversation>,
    /// Conversations so far.
    begun: u64,
    /// Partial blocks so far. No two are equal.
    partial: u64,
}

impl Rows {
    pub fn new(salt: Salt) -> Self {
        let conversations = LruCache::new(CONVERSATIONS);
        Self { salt, conversations, begun: 0, partial: 0 }
    }

    /// The row of a request.
    pub fn row(&mut self, over: Over) -> Row {
        let before = self.before(&over);
        let (number, delay) = match &before {
            Some(before) => (before.number, Some(ms(over.arrived) - ms(before.ended))),
            None => {
                self.begun += 1;
                (self.begun, None)
            }
        };
        let (new, hash_ids) = match &before {
            Some(before) => {
                let new = &over.prompt[before.tokens..];
                (new.len(), self.ids_after(&over, new))
            }
            None => (over.prompt.len(), self.ids(&over)),
        };
        // What was not answered is as long as it might have become.
        let output = if over.answer_tokens == 0 { over.asked } else { over.answer_tokens };
        let row = Row {
            timestamp: ms(over.arrived),
            session_id: number.to_string(),
            delay: delay.map(|delay| delay.max(0.0)),
            message_mode: before.map(|_| "delta"),
            priority: over.priority,
            input_length: new as u32,
            output_length: output.max(1),
            hash_ids,
        };
        self.goes_on(number, over);
        row
    }

    /// The conversation that a prompt continues. It is taken out: a second prompt that continues it begins another one.
    fn before(&mut self, over: &Over) -> Option<Conversation> {
        let block = over.blocks.block_size() as usize;
        let chain = over.blocks.chain();
        for last in (0..over.blocks.blocks()).rev() {
            let (full, key) = (last as usize + 1, (over.session, chain.hash(last)));
            let Some(known) = self.conversations.peek(&key) else { continue };
            let rest = over.prompt.get(full * block..).unwrap_or_default();
            // Equal names are equal tokens. There must be something new.
            if rest.starts_with(&known.tail) && known.tokens < over.prompt.len() {
                return self.conversations.pop(&key);
            }
        }
        None
    }

    fn goes_on(&mut self, number: u64, over: Over) {
        if over.answer.len() != over.answer_tokens as usize || over.answer.is_empty() {
            // Tokens that are not known can't be found in a later prompt.
            return;
        }
        let mut text = over.prompt;
        text.extend(over.answer);
        let chain = hash_blocks(&over.plan, &text);
        let Some(last) = chain.blocks().checked_sub(1) else { return };
        let tail = text[(chain.blocks() * over.blocks.block_size()) as usize..].into();
        let known = Conversation { number, tokens: text.len(), tail, ended: over.ended };
        self.conversations.put((over.session, chain.hash(last)), known);
    }

    /// The ids of a whole prompt.
    fn ids(&mut self, over: &Over) -> Vec<u64> {
        let name = |block| over.blocks.chain().hash(block).to_wire().to_le_bytes();
        let mut ids: Vec<_> =
            (0..over.blocks.blocks()).map(|block| self.id(&name(block))).collect();
        if !over.prompt.len().is_multiple_of(over.blocks.block_size() as usize) {
            self.partial += 1;
            ids.push(self.id(&self.partial.to_le_bytes()));
        }
        ids
    }

    /// The ids of what is new. Blocks are equal if all before them in their row are, as in a whole prompt.
    fn ids_after(&self, over: &Over, new: &[u32]) -> Vec<u64> {
        let mut hash = blake3::Hasher::new_keyed(&self.salt);
        let ids = new.chunks(over.blocks.block_size() as usize).map(|block| {
            block.iter().for_each(|token| {
                hash.update(&token.to_le_bytes());
            });
            short(&hash.finalize())
        });
        ids.collect()
    }

    fn id(&self, name: &[u8]) -> u64 {
        short(&blake3::keyed_hash(&self.salt, name))
    }
}

/// 53 bits, which every reader of JSON keeps.
fn short(hash: &blake3::Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11
}

/// To the microsecond.
fn ms(at: Instant) -> f64 {
    (at.as_nanos() / 1_000) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::block::{ScopePlan, TokenBlocks};

    fn over(at_ms: u64, prompt: &[u32], answer: &[u32]) -> Over {
        let plan = ScopePlan::new("s", "m", "", 4);
        Over {
            arrived: Instant::from_nanos(at_ms * 1_000_000),
            ended: Instant::from_nanos((at_ms + 10) * 1_000_000),
            session: None,
            priority: 0,
            prompt: prompt.to_vec(),
            blocks: TokenBlocks::whole(hash_blocks(&plan, prompt)),
            plan,
            answer: answer.to_vec(),
            answer_tokens: answer.len() as u32,
            asked: 9,
        }
    }

    #[test]
    fn a_prompt_that_begins_with_an_earlier_one_and_its_answer_continues_it() {
        let mut rows = Rows::new([7; 32]);
        let first = rows.row(over(5, &[1, 2, 3, 4, 5, 6], &[7, 8, 9]));
        assert_eq!((first.timestamp, first.session_id.as_str()), (5.0, "1"));
        assert_eq!((first.input_length, first.output_length, first.hash_ids.len()), (6, 3, 2));
        assert_eq!((first.delay, first.message_mode), (None, None));
        let next = rows.row(over(40, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], &[12]));
        assert_eq!((next.session_id.as_str(), next.message_mode), ("1", Some("delta")));
        assert_eq!((next.input_length, next.hash_ids.len(), next.delay), (2, 1, Some(25.0)));
        // Of a second one that continues the first, the beginning is known as of any other.
        let other = rows.row(over(50, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[12]));
        assert_eq!((other.session_id.as_str(), other.message_mode), ("2", None));
        assert_eq!(other.hash_ids[0], first.hash_ids[0]);
        // Another answer than the one it got is no continuation.
        let edited = rows.row(over(60, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14], &[1]));
        assert_eq!((edited.session_id.as_str(), edited.input_length), ("3", 13));
    }

    #[test]
    fn a_session_of_the_client_is_not_continued_by_another() {
        let mut rows = Rows::new([7; 32]);
        let of = |session, prompt: &[u32]| Over { session, ..over(0, prompt, &[5, 6]) };
        assert_eq!(rows.row(of(Some(1), &[1, 2, 3, 4])).session_id, "1");
        assert_eq!(rows.row(of(Some(2), &[1, 2, 3, 4, 5, 6, 7])).session_id, "2");
        assert_eq!(rows.row(of(Some(1), &[1, 2, 3, 4, 5, 6, 7])).session_id, "1");
    }

    #[test]
    fn ids_tell_equal_beginnings_and_nothing_else() {
        let (mut rows, mut others) = (Rows::new([7; 32]), Rows::new([8; 32]));
        let ids = |rows: &mut Rows, prompt: &[u32]| rows.row(over(0, prompt, &[])).hash_ids;
        let a = ids(&mut rows, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let b = ids(&mut rows, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((&a[..2], a.len()), (&b[..2], 3));
        assert_ne!(a[2], b[2], "no two partial blocks are equal");
        let c = ids(&mut rows, &[0, 2, 3, 4, 5, 6, 7, 8]);
        assert!(c.iter().all(|id| !a.contains(id)), "the block before differs");
        let d = ids(&mut others, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(d.iter().all(|id| !a.contains(id)), "another file");
        assert!(a.iter().all(|&id| id < 1 << 53));
    }

    #[test]
    fn what_was_not_answered_is_as_long_as_it_might_have_become() {
        let row = Rows::new([7; 32]).row(over(0, &[1], &[]));
        assert_eq!((row.input_length, row.output_length), (1, 9));
    }
}
