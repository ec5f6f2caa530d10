//! What happens around the decisions, the same on both sides: prompts are computed in the order in which they were
//! sent, their workers then store them, and answers end some time later.

use crate::Recorded;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

/// A prompt with the names of its blocks. Each name covers its whole prefix.
pub struct Prompt {
    /// The request's number.
    pub number: u64,
    /// The blocks as the trace numbers them.
    pub blocks: Vec<u64>,
    /// Their names.
    pub names: Vec<u64>,
    /// Tokens of the prompt and of the answer.
    pub tokens: (usize, u32),
}

/// A router under test.
pub trait Side {
    /// What the table calls it.
    fn name(&self) -> String;
    /// Prepares a request, outside of the time that is measured.
    fn prepare(&mut self, prompt: &Prompt);
    /// Decides about it and books it. Returns the worker.
    fn decide(&mut self) -> u32;
    /// A request's prompt is computed.
    fn first_token(&mut self, number: u64);
    /// A request ends.
    fn finished(&mut self, number: u64);
    /// A worker stores the blocks of a prompt from this one on.
    fn stored(&mut self, worker: u32, prompt: &Prompt, from: usize);
    /// The blocks of a prompt that each worker holds.
    fn held(&mut self, prompt: &Prompt) -> Vec<u32>;
}

/// A side with its fleet.
pub struct Fleet<'a> {
    side: Box<dyn Side>,
    trace: &'a [Recorded],
    next: usize,
    /// What each worker holds.
    holds: Vec<HashSet<u64>>,
    computing: VecDeque<(u32, Rc<Prompt>)>,
    answering: VecDeque<u64>,
    stored: Vec<(u32, Rc<Prompt>, usize)>,
}

impl<'a> Fleet<'a> {
    /// Of idle workers that hold nothing.
    pub fn new(workers: u32, side: Box<dyn Side>, trace: &'a [Recorded]) -> Self {
        let holds = vec![HashSet::new(); workers as usize];
        let (computing, answering, stored) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self { side, trace, next: 0, holds, computing, answering, stored }
    }

    pub fn name(&self) -> String {
        self.side.name()
    }

    pub fn held(&mut self, prompt: &Prompt) -> Vec<u32> {
        self.side.held(prompt)
    }

    /// What workers have stored since the last call.
    pub fn take_stored(&mut self) -> Vec<(u32, Rc<Prompt>, usize)> {
        std::mem::take(&mut self.stored)
    }

    /// Routes the next requests. Returns how long each decision took, in nanoseconds. Load is in proportion: as many
    /// requests are under way as there are workers, an eighth of them before their first tokens.
    pub fn play(&mut self, requests: usize) -> Vec<u64> {
        let workers = self.holds.len();
        let (most_computing, most_answering) = ((workers / 8).max(8), workers.max(64));
        let mut took = Vec::with_capacity(requests);
        for _ in 0..requests {
            let prompt = Rc::new(prompt(self.next, &self.trace[self.next]));
            self.next += 1;
            self.side.prepare(&prompt);
            let start = Instant::now();
            let worker = self.side.decide();
            took.push(start.elapsed().as_nanos() as u64);
            self.answering.push_back(prompt.number);
            self.computing.push_back((worker, prompt));
            if self.computing.len() > most_computing {
                self.compute();
            }
            if self.answering.len() > most_answering
                && let Some(number) = self.answering.pop_front()
            {
                self.side.finished(number);
            }
        }
        took
    }

    fn compute(&mut self) {
        let Some((worker, prompt)) = self.computing.pop_front() else { return };
        self.side.first_token(prompt.number);
        let holds = &mut self.holds[worker as usize];
        let from = prompt.names.iter().take_while(|name| holds.contains(name)).count();
        if from < prompt.names.len() {
            holds.extend(&prompt.names[from..]);
            self.side.stored(worker, &prompt, from);
            self.stored.push((worker, prompt, from));
        }
    }
}

/// The prompt of a recorded request.
pub fn prompt(number: usize, recorded: &Recorded) -> Prompt {
    let mut before = 0;
    let name = |&block: &u64| {
        before = warmpath_core::rng::hash_words(&[before, block]);
        before
    };
    let names = recorded.blocks.iter().map(name).collect();
    let number = number as u64 + 1;
    Prompt { number, blocks: recorded.blocks.clone(), names, tokens: recorded.tokens }
}
