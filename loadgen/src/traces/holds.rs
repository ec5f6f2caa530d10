//! What a trace holds.

use super::files::Files;
use super::played::{SESSIONS, each};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_bounds::hits::{self, Hits};
use warmpath_bounds::prefixes::{Prefixes, Use};
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::trace::{Content, Format};

/// Sizes of caches, in tokens, if none are asked for.
const MEMORY: [u64; 5] = [1_000_000, 4_000_000, 16_000_000, 64_000_000, 256_000_000];
/// The block size for traces without blocks.
const BLOCK: u32 = 16;
/// From this share of the requests on, a length is named as a likely limit.
const CAP: f64 = 0.01;
/// And if no other length has a third as many.
const FAR_MORE: usize = 3;
/// The least number of requests that say something of all.
const FEW: usize = 20;

#[derive(Debug, Serialize)]
pub struct Holds {
    pub format: Format,
    pub requests: usize,
    /// None: the trace has no sessions, and none can be found.
    pub sessions: Option<usize>,
    /// Whether the trace says which sessions there are.
    pub sessions_are_recorded: bool,
    /// Sessions at a time, where the trace has no times. Its span then follows from that.
    pub sessions_at_a_time: Option<u32>,
    pub span_s: f64,
    /// The block size of the trace. None: it has none.
    pub trace_block_size: Option<u32>,
    pub block_size: u32,
    /// Whether the trace says what its prompts share.
    pub shares: bool,
    pub prompt_tokens: Lengths,
    pub output_tokens: Lengths,
    pub reuse: Reuse,
    pub ticks: Option<Ticks>,
    pub first_block: FirstBlock,
    pub tails: Tails,
    /// Names of fields that are not used.
    pub ignored_fields: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Lengths {
    pub total: u64,
    pub mean: f64,
    pub p50: u32,
    pub p90: u32,
    pub p99: u32,
    pub max: u32,
    /// The share of requests that have the greatest length.
    pub at_max: f64,
    /// Whether a limit probably cut the longest ones: many have exactly the greatest length, far more
    /// than any other.
    pub is_capped: bool,
}

#[derive(Debug, Serialize)]
pub struct Reuse {
    /// The highest hit rate: of a cache that forgets nothing. By prompt tokens of whole blocks.
    pub hit_rate: f64,
    /// The parts of it that earlier requests of the same session had, and others.
    pub within_sessions: f64,
    pub across_sessions: f64,
    /// Tokens of different blocks: what such a cache would hold.
    pub unique_tokens: u64,
    /// Of all blocks, partial last ones counted as blocks: the highest hit rate, for comparisons with other tools.
    pub block_hit_rate: f64,
    pub memory: Vec<AtMemory>,
}

/// The hit rates of one cache that all requests share, in the order of their times.
#[derive(Debug, Serialize)]
pub struct AtMemory {
    pub memory_tokens: u64,
    /// Of prompt tokens, in whole blocks.
    pub lru_hit_rate: f64,
    /// With the best choice of blocks to evict or not to cache (Belady).
    pub optimal_hit_rate: f64,
    /// Of blocks, partial last ones counted as blocks.
    pub lru_block_hit_rate: f64,
    pub optimal_block_hit_rate: f64,
}

#[derive(Debug, Serialize)]
pub struct Ticks {
    pub timestamps: usize,
    pub most_requests_on_one: u64,
    /// The median time from one timestamp to the next.
    pub median_gap_s: f64,
}

#[derive(Debug, Serialize)]
pub struct FirstBlock {
    pub different: usize,
    /// The share of requests that begin with the most frequent one.
    pub most_frequent: f64,
}

#[derive(Debug, Serialize)]
pub struct Tails {
    /// Prompts that end in a partial block, which cannot hit, and the share of tokens in these.
    pub prompts: u64,
    pub share_of_tokens: f64,
    /// Lines that were cut off at the end of a file and left out.
    pub lines_cut_off: usize,
}

impl Holds {
    /// `block_size`, `memory`: those that are asked for.
    pub fn of(files: &Files, block_size: Option<u32>, memory: &[u64]) -> Self {
        let recording = &files.recording;
        let block = block_size.or(recording.own_block_size).unwrap_or(BLOCK);
        let requests = recording.requests();
        let scope = ScopePlan::new("", "", "", block);
        let (mut whole, mut padded, mut own_tokens) = (Vec::new(), Vec::new(), Vec::new());
        let (mut prompts, mut outputs) = (Vec::new(), Vec::new());
        let mut sessions = BTreeSet::new();
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut first: BTreeMap<u128, u64> = BTreeMap::new();
        let (mut tails, mut tail_tokens) = (0, 0);
        let mut last_s = 0.0_f64;
        each(recording, block, |sent| {
            let request = &sent.work.request;
            let prompt = &request.prompt;
            prompts.push(prompt.tokens());
            outputs.push(sent.work.output_tokens);
            sessions.extend(sent.work.user);
            *times.entry(sent.at.as_nanos()).or_default() += 1;
            last_s = last_s.max(sent.at.as_secs_f64());
            whole.push(Use::of_prompt(prompt));
            padded.push(with_whole_tail(sent.prompt, &scope));
            own_tokens.push(u64::from(sent.work.known.own_tokens));
            if prompt.blocks() > 0 {
                *first.entry(prompt.chain().hash(0).to_wire()).or_default() += 1;
            }
            let tail = prompt.tokens() % block;
            tails += u64::from(tail > 0);
            tail_tokens += u64::from(tail);
        });
        let prompt_tokens = Lengths::of(prompts);
        let share = |tokens: u64| tokens as f64 / prompt_tokens.total.max(1) as f64;
        let (whole, padded) = (Prefixes::new(&whole), Prefixes::new(&padded));
        let ever_of_each = hits::infinite_of_each(&whole);
        let ever = ever_of_each.iter().sum::<u64>() * u64::from(block);
        let own = ever_of_each.iter().zip(own_tokens);
        let own: u64 = own.map(|(blocks, own)| (blocks * u64::from(block)).min(own)).sum();
        let unique_tokens = whole.different_blocks() * u64::from(block);
        let in_tokens = |hits: Hits| share(hits.cached * u64::from(block));
        let at = |&memory_tokens: &u64| {
            let blocks = memory_tokens / u64::from(block);
            AtMemory {
                memory_tokens,
                lru_hit_rate: in_tokens(hits::pooled_lru(&whole, blocks)),
                optimal_hit_rate: in_tokens(hits::optimal(&whole, blocks)),
                lru_block_hit_rate: hits::pooled_lru(&padded, blocks).rate(),
                optimal_block_hit_rate: hits::optimal(&padded, blocks).rate(),
            }
        };
        // A cache that holds everything finds no more than a smaller one that does.
        let needed = MEMORY.iter().position(|&tokens| tokens >= unique_tokens);
        let shown = needed.map_or(MEMORY.len(), |last| last + 1);
        let sizes = if memory.is_empty() { &MEMORY[..shown] } else { memory };
        let recorded = matches!(recording.content, Content::Sessions(_));
        Self {
            format: files.format,
            requests,
            sessions: Some(sessions.len()).filter(|&count| count > 0),
            sessions_are_recorded: recorded,
            sessions_at_a_time: (!recording.has_starts()).then_some(SESSIONS),
            span_s: last_s,
            trace_block_size: recording.own_block_size,
            block_size: block,
            shares: recording.shares,
            reuse: Reuse {
                hit_rate: share(ever),
                within_sessions: share(own),
                across_sessions: share(ever - own),
                unique_tokens,
                block_hit_rate: hits::infinite(&padded).rate(),
                memory: sizes.iter().map(at).collect(),
            },
            ticks: recording.has_starts().then(|| Ticks::of(&times)),
            first_block: FirstBlock {
                different: first.len(),
                most_frequent: first.values().max().map_or(0.0, |&n| n as f64 / requests as f64),
            },
            tails: Tails {
                prompts: tails,
                share_of_tokens: share(tail_tokens),
                lines_cut_off: files.cut,
            },
            prompt_tokens,
            output_tokens: Lengths::of(outputs),
            ignored_fields: recording.ignored.iter().cloned().collect(),
        }
    }

    /// What a reader should know before using the trace.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let enough = self.requests >= FEW;
        if !self.shares {
            remarks
                .push("The trace says nothing of what its prompts share: no cache can hit.".into());
        }
        if enough && self.first_block.most_frequent > 0.5 {
            remarks.push(format!(
                "{:.0} % of the requests begin with the same block: a router that looks only at the \
                 first block sends them to one worker.",
                self.first_block.most_frequent * 100.0
            ));
        }
        if let Some(ticks) =
            self.ticks.as_ref().filter(|t| enough && t.timestamps * 2 < self.requests)
        {
            remarks.push(format!(
                "Timestamps are coarse: up to {} requests on one, {} s apart. --tick-jitter spreads \
                 them.",
                ticks.most_requests_on_one, ticks.median_gap_s
            ));
        }
        for (what, lengths) in [("prompts", &self.prompt_tokens), ("answers", &self.output_tokens)]
        {
            if lengths.is_capped {
                remarks.push(format!(
                    "{:.1} % of the {what} have exactly the greatest length, {} tokens: a limit \
                     probably cut them.",
                    lengths.at_max * 100.0,
                    lengths.max
                ));
            }
        }
        if self.tails.lines_cut_off > 0 {
            remarks.push(format!(
                "Files that end in the middle of a line, which is left out: {}.",
                self.tails.lines_cut_off
            ));
        }
        if !self.ignored_fields.is_empty() {
            remarks.push(format!("Fields that are not used: {}.", self.ignored_fields.join(", ")));
        }
        remarks
    }
}

/// A prompt whose partial last block is one like the others: with equal ids they are equal.
fn with_whole_tail(prompt: &[Segment], scope: &ScopePlan) -> Use {
    let mut segments = prompt.to_vec();
    let tokens: u32 = segments.iter().map(Segment::tokens).sum();
    let missing = tokens.next_multiple_of(scope.block_size()) - tokens;
    match segments.last_mut() {
        Some(Segment::Text { tokens, .. } | Segment::Answer { tokens }) => *tokens += missing,
        None => {}
    }
    let sequence = TokenBlocks::whole(hash_segments(scope, &segments));
    let blocks = sequence.blocks();
    Use { sequence, prompt_blocks: blocks, reusable_blocks: blocks }
}

impl Lengths {
    fn of(mut lengths: Vec<u32>) -> Self {
        lengths.sort_unstable();
        let Some(&max) = lengths.last() else { return Self::default() };
        let count = lengths.len();
        // The least length that this share of all does not exceed.
        let at = |share: f64| lengths[((count as f64 * share).ceil() as usize).clamp(1, count) - 1];
        let total = lengths.iter().map(|&tokens| u64::from(tokens)).sum();
        let below = lengths.partition_point(|&tokens| tokens < max);
        let at_max = (count - below) as f64 / count as f64;
        let (shorter, longest) = lengths.split_at(below);
        let runs = shorter.chunk_by(|a, b| a == b).map(<[u32]>::len);
        let is_rare = |run: usize| run * FAR_MORE <= longest.len();
        let is_capped =
            count >= FEW && at_max >= CAP && below > 0 && runs.max().is_some_and(is_rare);
        Self {
            total,
            mean: total as f64 / count as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max,
            at_max,
            is_capped,
        }
    }
}

impl Ticks {
    fn of(times: &BTreeMap<u64, u64>) -> Self {
        let mut gaps: Vec<u64> =
            times.keys().zip(times.keys().skip(1)).map(|(at, next)| next - at).collect();
        gaps.sort_unstable();
        Self {
            timestamps: times.len(),
            most_requests_on_one: times.values().copied().max().unwrap_or(0),
            median_gap_s: gaps.get(gaps.len() / 2).map_or(0.0, |&gap| gap as f64 / 1e9),
        }
    }
}
