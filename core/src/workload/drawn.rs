//! One session with all its turns, drawn from the seed when it starts.
//!
//! A plain session is one path: each turn waits for the answer before it. A branching session
//! proceeds in levels. In a level, each context that was kept continues in several branches at once,
//! each for a few turns. When all branches have their answers, some contexts are kept for the next
//! level. In the list of turns, each turn comes after the turns that it waits for.

use super::prompts::Chosen;
use super::shared::Shelf;
use super::spec::{Branching, SessionsSpec};
use crate::block::{Chain, ScopePlan, hash_segments};
use crate::id::TenantId;
use crate::rng::{Rng, hash_words};
use crate::time::Duration;
use crate::tokens::Segment;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;
use std::sync::Arc;

/// The limit of turns in a session. A request's id is its session times this plus its turn.
pub const MAX_TURNS: u64 = 1 << 16;

#[derive(Clone, Debug)]
pub struct Turn {
    /// The index of its path's text in the session.
    text: u32,
    /// Prompt tokens, history included.
    pub prompt: u32,
    /// Prompt tokens that an earlier turn of the session had.
    pub known: u32,
    /// Answer tokens.
    pub output: u32,
    /// From the last answer that it waits for to its send.
    pub think: Duration,
    /// The number of answers that it waits for.
    pub waits_for: u32,
    /// The turns that wait for its answer.
    pub waiters: Range<u32>,
}

/// The whole text of a path through a session.
#[derive(Clone, Debug)]
pub struct Text {
    pub chain: Chain,
    pub segments: Arc<[Segment]>,
}

#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// A plain session has its few turns and its one text in place.
    pub turns: SmallVec<[Turn; 6]>,
    texts: SmallVec<[Text; 1]>,
}

impl Drawn {
    pub fn text(&self, turn: &Turn) -> &Text {
        &self.texts[turn.text as usize]
    }
}

/// A session of one turn: a prompt of a fixed set. Equal prompts have equal texts.
pub fn draw_prompt(spec: &SessionsSpec, scope: &ScopePlan, seed: u64, prompt: Chosen) -> Drawn {
    let Chosen { group, question } = prompt;
    let [user, output] = [spec.user_tokens, spec.output_tokens].map(|amount| amount.mean as u32);
    let text = Segment::Text { seed: hash_words(&[seed, 6, group, question]), tokens: user };
    let answer = Segment::Answer { tokens: output };
    let segments = vec![spec.system_prompt(seed, group), text, answer];
    let chain = hash_segments(scope, &segments);
    let turn = Turn {
        text: 0,
        prompt: spec.system_tokens + user,
        known: 0,
        output,
        think: Duration::ZERO,
        waits_for: 0,
        waiters: 0..0,
    };
    let text = Text { chain, segments: segments.into() };
    Drawn { turns: smallvec![turn], texts: smallvec![text] }
}

/// The number of turns of the session with this index, without the work of hashing its texts.
pub fn turns(spec: &SessionsSpec, shelves: &[Shelf], seed: u64, of: (TenantId, u64)) -> u64 {
    draw_under(spec, shelves, None, seed, of).turns.len() as u64
}

/// Draws the session with this index. The result depends only on the arguments. Its blocks are
/// hashed under `scope`.
pub fn draw(
    spec: &SessionsSpec,
    shelves: &[Shelf],
    scope: &ScopePlan,
    seed: u64,
    of: (TenantId, u64),
) -> Drawn {
    draw_under(spec, shelves, Some(scope), seed, of)
}

/// Without a scope the session has no texts.
fn draw_under(
    spec: &SessionsSpec,
    shelves: &[Shelf],
    scope: Option<&ScopePlan>,
    seed: u64,
    (tenant, index): (TenantId, u64),
) -> Drawn {
    let mut rng = Rng::named(seed, &[0x5345_5353, index]);
    let mut root = Path {
        segments: vec![spec.system_prompt(seed, rng.below(spec.system_prompts))],
        context: spec.system_tokens,
    };
    for shelf in shelves {
        let text = shelf.pick(tenant, index, spec.max_context_tokens - root.context);
        root.context += text.tokens();
        root.segments.push(text);
    }
    let turns = spec.turns.draw_count(&mut rng);
    let mut drawing = Drawing { spec, scope, seed, index, rng, drawn: Drawn::default() };
    match spec.branching {
        None => {
            drawing.level(&[root], 1, turns, &[]);
        }
        Some(branching) => drawing.tree(root, branching, turns),
    }
    drawing.drawn
}

/// A context that a turn can continue.
#[derive(Clone, Debug)]
struct Path {
    segments: Vec<Segment>,
    context: u32,
}

/// A path of the current level, and its last turn in it.
struct Branch {
    path: Path,
    last: Option<u32>,
    is_over: bool,
}

struct Drawing<'a> {
    spec: &'a SessionsSpec,
    scope: Option<&'a ScopePlan>,
    seed: u64,
    index: u64,
    rng: Rng,
    drawn: Drawn,
}

impl Drawing<'_> {
    fn tree(&mut self, root: Path, branching: Branching, levels: u32) {
        let mut choice = Rng::named(self.seed, &[0x4252_414e, self.index]);
        let (mut kept, mut before) = (vec![root], Vec::new());
        for _ in 0..levels {
            let ended = self.level(&kept, branching.branches, branching.turns, &before);
            if ended.is_empty() {
                return;
            }
            (before, kept) = ended.into_iter().unzip();
            while kept.len() > branching.keep as usize {
                kept.swap_remove(choice.below(kept.len() as u64) as usize);
            }
        }
    }

    /// Draws one level: each of the `paths` continues in `branches` branches of `turns` turns, which
    /// start when the turns `before` have ended. Returns the last turn and the context of each branch.
    fn level(
        &mut self,
        paths: &[Path],
        branches: u32,
        turns: u32,
        before: &[u32],
    ) -> Vec<(u32, Path)> {
        let each = |path: &Path| Branch { path: path.clone(), last: None, is_over: false };
        let mut branches: Vec<Branch> =
            paths.iter().flat_map(|path| (0..branches).map(move |_| each(path))).collect();
        let first = self.drawn.turns.len() as u32;
        for turn in 0..turns {
            for (text, branch) in (self.drawn.texts.len() as u32..).zip(&mut branches) {
                self.turn(branch, text, before.len() as u32);
            }
            if turn == 0 {
                let begun = first..self.drawn.turns.len() as u32;
                for &last in before {
                    self.drawn.turns[last as usize].waiters = begun.clone();
                }
            }
            if branches.iter().all(|branch| branch.is_over) {
                break;
            }
        }
        for (branch, scope) in branches.iter().zip(self.scope.into_iter().cycle()) {
            let chain = hash_segments(scope, &branch.path.segments);
            let segments = branch.path.segments.as_slice().into();
            self.drawn.texts.push(Text { chain, segments });
        }
        branches.into_iter().filter_map(|branch| Some((branch.last?, branch.path))).collect()
    }

    /// Draws a branch's next turn if the context has room. The first turn of a level waits for
    /// `before` turns.
    fn turn(&mut self, branch: &mut Branch, text: u32, before: u32) {
        let number = self.drawn.turns.len() as u64;
        if branch.is_over || number == MAX_TURNS {
            branch.is_over = true;
            return;
        }
        let spec = self.spec;
        let user = spec.user_tokens.draw_count(&mut self.rng);
        let output = spec.output_tokens.draw_count(&mut self.rng);
        let think = Duration::from_secs_f64(spec.think_s.draw(&mut self.rng));
        let Branch { path, last, is_over } = branch;
        let room = spec.max_context_tokens - path.context;
        let is_first_message = before == 0 && last.is_none();
        let (user, output) = if user.saturating_add(output) <= room {
            (user, output)
        } else if is_first_message {
            // A first message that is too long is cut, so that each session has a turn.
            let output = output.min(room / 2).max(1);
            (room - output, output)
        } else {
            *is_over = true;
            return;
        };
        let seed = hash_words(&[self.seed, 2, self.index, number]);
        path.segments.push(Segment::Text { seed, tokens: user });
        path.segments.push(Segment::Answer { tokens: output });
        let waits_for = match last.replace(number as u32) {
            Some(previous) => {
                self.drawn.turns[previous as usize].waiters = number as u32..number as u32 + 1;
                1
            }
            None => before,
        };
        let prompt = path.context + user;
        // The other branches of the first level share the start of the first turn.
        let known = if number == 0 { 0 } else { path.context };
        let turn = Turn { text, prompt, known, output, think, waits_for, waiters: 0..0 };
        self.drawn.turns.push(turn);
        path.context = prompt + output;
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Arrivals;
    use super::super::spec::{Amount, ThinkFrom};
    use super::*;

    fn spec(branching: Branching, turns: f64) -> SessionsSpec {
        let constant = |mean| Amount { mean, cv: 0.0 };
        SessionsSpec {
            name: "test".into(),
            requests: 50,
            arrivals: Arrivals::Closed { sessions: 1 },
            system_prompts: 1,
            system_tokens: 160,
            turns: constant(turns),
            branching: Some(branching),
            user_tokens: constant(32.0),
            output_tokens: constant(16.0),
            think_s: constant(1.0),
            think_from: ThinkFrom::Answer,
            max_context_tokens: 10_000,
        }
    }

    fn drawn(branching: Branching, turns: f64) -> Drawn {
        let scope = ScopePlan::new("", "", "", 16);
        draw(&spec(branching, turns), &[], &scope, 7, (TenantId(0), 3))
    }

    /// Three branches for each context, two turns in each branch; two contexts are kept.
    #[test]
    fn a_level_starts_when_all_branches_of_the_level_before_have_ended() {
        let drawn = drawn(Branching { branches: 3, keep: 2, turns: 2 }, 3.0);
        let shape: Vec<_> =
            drawn.turns.iter().map(|turn| (turn.waits_for, turn.waiters.clone())).collect();
        let mut expected = vec![(0, 3..4), (0, 4..5), (0, 5..6)];
        expected.extend(vec![(1, 6..12); 3]);
        expected.extend((12..18).map(|next| (3, next..next + 1)));
        expected.extend(vec![(1, 18..24); 6]);
        expected.extend((24..30).map(|next| (6, next..next + 1)));
        expected.extend(vec![(1, 0..0); 6]);
        assert_eq!(shape, expected);
        // 160 tokens of system prompt and 48 tokens for each of six turns.
        let prompts: Vec<u32> = drawn.turns.iter().map(|turn| turn.prompt).collect();
        assert_eq!((prompts[0], prompts[3], prompts[6], prompts[29]), (192, 240, 288, 432));
        // The last 32 tokens of a prompt are new. In the first turn all tokens are.
        let known: Vec<u32> = drawn.turns.iter().map(|turn| turn.known).collect();
        assert_eq!((known[0], known[1], known[3], known[29]), (0, 160, 208, 400));
    }

    #[test]
    fn branches_share_their_history_only() {
        let drawn = drawn(Branching { branches: 3, keep: 2, turns: 1 }, 2.0);
        let blocks = |turn: usize| drawn.text(&drawn.turns[turn]).chain.clone();
        let shared = |a: usize, b: usize| blocks(a).agree_until(&blocks(b), 0, 13);
        assert_eq!(drawn.turns.len(), 3 + 6);
        assert_eq!((shared(0, 1), shared(1, 2)), (10, 10), "the system prompt");
        // Of the second level, three turns continue one context and three the other.
        let parent = |turn: usize| (0..3).find(|&of| shared(of, turn) == 13);
        let parents: Vec<_> = (3..9).map(|turn| parent(turn).expect("a parent")).collect();
        assert_eq!((parents[0], parents[3]), (parents[1], parents[4]));
        assert_ne!(parents[0], parents[3]);
        assert_eq!((shared(3, 4), shared(3, 6)), (13, 10));
        assert_ne!(blocks(3).hash(13), blocks(4).hash(13));
    }

    #[test]
    fn a_session_ends_when_no_branch_has_room() {
        let mut small = spec(Branching { branches: 3, keep: 3, turns: 5 }, 100.0);
        small.max_context_tokens = 160 + 7 * 48 + 47;
        let scope = ScopePlan::new("", "", "", 16);
        let drawn = draw(&small, &[], &scope, 7, (TenantId(0), 3));
        // Five turns in three branches, then two turns in nine.
        assert_eq!(drawn.turns.len(), 5 * 3 + 2 * 9);
        assert!(
            drawn.turns.iter().all(|turn| turn.prompt + turn.output <= small.max_context_tokens)
        );
        let waiting: u32 = drawn.turns.iter().map(|turn| turn.waiters.len() as u32).sum();
        assert_eq!(waiting, drawn.turns.iter().map(|turn| turn.waits_for).sum::<u32>());
    }
}
