//! Both sides decide about the same states, one after the other.

use crate::fleet::{Fleet, Settings, Shape};
use crate::ours::Ours;
use crate::theirs::{Cost, Theirs};
use std::fmt;
use tokio::runtime::Runtime;

/// Decisions of one fleet.
const DECISIONS: usize = 25;

/// Draws until a worker that may be one of 16 equals has surely come: (15 / 16)^500 is below 1e-14.
const DRAWS: usize = 500;

/// How far their index looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// At all full blocks, as the crate does.
    Whole,
    /// At the blocks that a request may reuse, as our index does: at least one token is computed, so a
    /// prompt of full blocks cannot reuse its last one.
    Reusable,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The states follow from it.
    pub seed: u64,
    /// How many.
    pub states: usize,
    /// How far their index looks.
    pub look: Look,
    /// The settings that our rule is given for theirs: the same, or a planted fault.
    pub ours: fn(Settings) -> Settings,
}

/// The outcome of some decisions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Decisions.
    pub states: usize,
    /// Ours was theirs, or one of those among which theirs draws.
    pub agreed: usize,
    /// States where two workers and more had the least cost.
    pub tied: usize,
    /// States with two workers and more.
    pub with_choice: usize,
    /// The rest.
    pub disagreements: Vec<Disagreement>,
    /// Those of the rest that came before any prompt of their fleet was cached whole.
    pub unexplained: usize,
}

/// A state where ours is not among theirs.
#[derive(Clone, PartialEq, Debug)]
pub struct Disagreement {
    fleet: u64,
    shape: Shape,
    settings: Settings,
    request: u64,
    tokens: usize,
    ours: u32,
    theirs: u32,
    costs: Vec<Cost>,
    /// Blocks of the prompt by our index, for each worker.
    held: Vec<[u32; 4]>,
}

impl Comparison {
    /// Lets both sides decide.
    pub fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime of one thread");
        let _entered = runtime.enter();
        let mut outcome = Outcome::default();
        for number in 0.. {
            let left = self.states - outcome.states;
            if left == 0 {
                break;
            }
            self.play(&runtime, number, left.min(DECISIONS), &mut outcome);
        }
        outcome
    }

    /// The decisions of one fleet.
    fn play(self, runtime: &Runtime, number: u64, decisions: usize, outcome: &mut Outcome) {
        let (mut fleet, mut news) = Fleet::draw(self.seed, number);
        let (shape, settings) = (fleet.shape, fleet.settings);
        let mut ours = Ours::new(shape, (self.ours)(settings), number);
        let mut theirs = Theirs::new(runtime, shape, settings, number);
        let mut was_cached_whole = false;
        for _ in 0..decisions {
            news.extend(fleet.live());
            for news in news.drain(..) {
                ours.hear(&news);
                theirs.hear(&news);
            }
            let prompt = fleet.prompt();
            let tokens = prompt.tokens.len();
            let reusable = (tokens - 1) / shape.block as usize;
            let looked_at = if self.look == Look::Reusable { reusable } else { usize::MAX };
            let question = theirs.question(&prompt, looked_at);
            let held = ours.held(&prompt);
            let (our_worker, their_worker) = (ours.decide(&prompt), theirs.draw(&question));
            let costs = theirs.costs(&question);
            let least = costs.iter().map(|cost| cost.cost).fold(f64::INFINITY, f64::min);
            let their_cost = costs[their_worker as usize].cost;
            assert_eq!(their_cost, least, "the formula that explains is not the selector's");
            let block = shape.block as usize;
            let is_whole = |cost: &Cost| cost.held.iter().sum::<usize>() * block == tokens;
            was_cached_whole |= costs.iter().any(is_whole);
            outcome.states += 1;
            outcome.with_choice += usize::from(shape.workers > 1);
            outcome.tied += usize::from(costs.iter().filter(|cost| cost.cost == least).count() > 1);
            let mut draws = (0..DRAWS).map(|_| theirs.draw(&question));
            if our_worker == their_worker || draws.any(|worker| worker == our_worker) {
                outcome.agreed += 1;
            } else {
                outcome.unexplained += usize::from(!was_cached_whole);
                outcome.disagreements.push(Disagreement {
                    fleet: number,
                    shape,
                    settings,
                    request: prompt.id,
                    tokens,
                    ours: our_worker,
                    theirs: their_worker,
                    costs,
                    held,
                });
            }
            // Both go on from our choice, so that the next state is the same again.
            theirs.book(question, our_worker);
            fleet.sent(&prompt, our_worker);
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, shape, settings, request, tokens, ours, theirs, costs, held } = self;
        writeln!(f, "fleet {fleet}, {shape:?}, {settings:?}")?;
        writeln!(f, "request {request} of {tokens} tokens: ours w{ours}, theirs w{theirs}")?;
        for (cost, by_tier) in costs.iter().zip(held) {
            let Cost { worker, cost, held, queued, active, requests } = cost;
            writeln!(
                f,
                "  w{worker}: cost {cost}, held {held:?} (our index {by_tier:?}), queued {queued} \
                 tokens, active {active} blocks, {requests} requests"
            )?;
        }
        Ok(())
    }
}
