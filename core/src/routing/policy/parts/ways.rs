//! Computing, loading and fetching: how a worker gets the blocks of a prompt, in seconds.

use crate::event::{FetchCost, PrefillCost, WorkerInfo};
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::routing::decision::Pull;
use crate::routing::index::{Overlap, SourceOverlap};
use crate::routing::kinds::Kind;
use crate::routing::view::FleetView;
use crate::time::Duration;

/// What a worker holds of a prompt.
#[derive(Clone, Copy, Default, Debug)]
pub struct Held {
    /// In blocks.
    pub by_tier: [u32; MAX_TIERS],
    /// Blocks in all tiers.
    pub blocks: u32,
    /// Tokens of the prompt in them.
    pub tokens: u32,
}

impl Held {
    /// By its entry of a look-up, for a prompt of `tokens` tokens. Most workers have none.
    pub fn of(entry: Option<&SourceOverlap>, info: &WorkerInfo, tokens: u32) -> Self {
        let Some(&SourceOverlap { by_tier, .. }) = entry else { return Self::default() };
        let blocks = by_tier.iter().fold(0, |sum: u32, &blocks| sum.saturating_add(blocks));
        Self { by_tier, blocks, tokens: blocks.saturating_mul(info.block_size).min(tokens) }
    }
}

/// One way for a worker to get the blocks of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Fetching some of them.
    pub load: Duration,
    /// Computing the rest.
    pub prefill: Duration,
    /// Where they are fetched from; None: from the worker's own tiers.
    pub pull: Option<Pull>,
}

/// The cheapest way of each worker to get the blocks of one prompt: from its own tiers, or from a pool
/// or a peer that holds more of it.
pub struct Ways<'a> {
    overlap: &'a Overlap,
    view: &'a FleetView<'a>,
    tokens: u32,
    /// Searched only if a worker can fetch.
    sources: Option<Sources>,
    /// The way of the last worker without a copy, by its kind: most workers are alike and hold nothing.
    nothing: Option<(u32, Way)>,
    /// What the last kind of worker takes to compute all of the prompt.
    cold: Option<(u32, Duration)>,
    /// What the last worker with a copy takes to compute after so many cached tokens, by its kind: most copies end
    /// where the text that requests share ends.
    warm: Option<(u32, u32, Duration)>,
}

impl<'a> Ways<'a> {
    /// For a prompt of `tokens` tokens, of which `overlap` says what each source holds.
    pub const fn of(overlap: &'a Overlap, view: &'a FleetView<'a>, tokens: u32) -> Self {
        Self { overlap, view, tokens, sources: None, nothing: None, cold: None, warm: None }
    }

    /// The cheapest way of a worker.
    pub fn cheapest(&mut self, id: WorkerId, kind: Kind<'_>, held: &Held) -> Way {
        match held.blocks {
            0 => self.of_nothing(kind),
            _ => self.find(Some(id), kind, held),
        }
    }

    /// The cheapest way of a worker that holds nothing. It is the same for all of a kind, since none of them is a
    /// peer that others could fetch from.
    pub fn of_nothing(&mut self, kind: Kind<'_>) -> Way {
        match self.nothing {
            Some((number, way)) if number == kind.number => way,
            _ => {
                let way = self.find(None, kind, &Held::default());
                self.nothing = Some((kind.number, way));
                way
            }
        }
    }

    fn find(&mut self, id: Option<WorkerId>, kind: Kind<'_>, held: &Held) -> Way {
        let (own, info) = (self.own(kind, held), kind.info);
        if info.pool.is_none() && info.peers.is_none() {
            return own;
        }
        let (overlap, view, tokens) = (self.overlap, self.view, self.tokens);
        let sources = self.sources.get_or_insert_with(|| Sources::of(overlap, view, tokens));
        sources.cheapest(own, id, info, held.blocks)
    }

    /// The way without a pool or a peer.
    pub fn own(&mut self, kind: Kind<'_>, held: &Held) -> Way {
        if held.tokens == 0 {
            return Way { load: Duration::ZERO, prefill: self.cold(kind), pull: None };
        }
        let info = kind.info;
        let prefill = match self.warm {
            Some((number, cached, time)) if (number, cached) == (kind.number, held.tokens) => time,
            _ => {
                let time = info.prefill.estimate(self.tokens - held.tokens, held.tokens);
                self.warm = Some((kind.number, held.tokens, time));
                time
            }
        };
        Way { load: load(info, &held.by_tier), prefill, pull: None }
    }

    /// Computing all of the prompt.
    pub fn cold(&mut self, kind: Kind<'_>) -> Duration {
        match self.cold {
            Some((number, time)) if number == kind.number => time,
            _ => {
                let time = kind.info.prefill.estimate(self.tokens, 0);
                self.cold = Some((kind.number, time));
                time
            }
        }
    }
}

/// The other sources that a worker could fetch from: the pool, and the two workers that hold the most
/// (one of them may be the worker itself).
#[derive(Debug)]
struct Sources {
    tokens: u32,
    pool: Option<Source>,
    peers: [Option<Source>; 2],
}

/// The worker that would fetch, and the length of the prompt.
#[derive(Clone, Copy, Debug)]
struct Asks<'a> {
    info: &'a WorkerInfo,
    tokens: u32,
}

#[derive(Debug)]
struct Source {
    pull: Pull,
    /// The time to compute what it does not have. Most workers are alike, so it is computed once.
    rest: Option<(PrefillCost, u32, Duration)>,
}

impl Source {
    const fn new(pull: Pull) -> Self {
        Self { pull, rest: None }
    }

    /// The cheaper of two ways: `best`, or the worker's `own` blocks and a fetch from here of what lies
    /// beyond the `held` blocks.
    fn or(&mut self, best: Way, own: Way, held: u32, cost: FetchCost, asks: &Asks<'_>) -> Way {
        if self.pull.blocks <= held {
            return best;
        }
        let load = own.load.max(cost.estimate(self.pull.blocks - held));
        let prefill = self.prefill(asks);
        if load + prefill < best.load + best.prefill {
            Way { load, prefill, pull: Some(self.pull) }
        } else {
            best
        }
    }

    fn prefill(&mut self, &Asks { info, tokens }: &Asks<'_>) -> Duration {
        let cached = self.pull.blocks.saturating_mul(info.block_size).min(tokens);
        match self.rest {
            Some((cost, same, rest)) if (cost, same) == (info.prefill, cached) => rest,
            _ => {
                let rest = info.prefill.estimate(tokens - cached, cached);
                self.rest = Some((info.prefill, cached, rest));
                rest
            }
        }
    }
}

impl Sources {
    fn of(overlap: &Overlap, view: &FleetView<'_>, tokens: u32) -> Self {
        let (mut pool, mut peers): (Option<Pull>, [Option<Pull>; 2]) = (None, [None; 2]);
        let most = |held: Option<Pull>| held.map_or(0, |pull| pull.blocks);
        let serves_fetches =
            |id| view.worker(id).is_some_and(|worker| worker.alike().peers.is_some());
        for entry in overlap.entries() {
            let pull = Pull { from: entry.source, blocks: entry.resident() };
            match entry.source {
                SourceId::Pool(_) if pull.blocks > most(pool) => pool = Some(pull),
                SourceId::Worker(id) if pull.blocks > most(peers[0]) && serves_fetches(id) => {
                    peers = [Some(pull), peers[0]];
                }
                SourceId::Worker(id) if pull.blocks > most(peers[1]) && serves_fetches(id) => {
                    peers[1] = Some(pull);
                }
                _ => {}
            }
        }
        let peers = peers.map(|peer| peer.map(Source::new));
        Self { tokens, pool: pool.map(Source::new), peers }
    }

    fn cheapest(&mut self, own: Way, id: Option<WorkerId>, info: &WorkerInfo, held: u32) -> Way {
        let asks = Asks { info, tokens: self.tokens };
        let mut best = own;
        if let (Some(pool), Some(cost)) = (&mut self.pool, info.pool) {
            best = pool.or(best, own, held, cost, &asks);
        }
        if let Some(cost) = info.peers {
            let other = |peer: &&mut Source| id.is_none_or(|id| peer.pull.from != id.into());
            if let Some(peer) = self.peers.iter_mut().flatten().find(other) {
                best = peer.or(best, own, held, cost, &asks);
            }
        }
        best
    }
}

/// Loading what it holds behind HBM.
fn load(info: &WorkerInfo, hit: &[u32; MAX_TIERS]) -> Duration {
    let mut cost = Duration::ZERO;
    for tier in &info.tiers {
        let blocks = hit.get(tier.tier.0 as usize).copied().unwrap_or(0);
        if blocks > 0 {
            let ns = tier.latency_ns + f64::from(blocks) * tier.load_ns_per_block;
            cost += Duration::from_nanos_f64(ns);
        }
    }
    cost
}
