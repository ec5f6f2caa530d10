//! What a seed draws: a fleet, questions, and what goes wrong.

use crate::common::faulty::Trouble;
use std::time::Duration;
use warmpath_core::rng::Rng;
use warmpath_core::routing::policy::PolicyConfig;

/// Everything that a run is made of.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub policy: PolicyConfig,
    /// How long a worker takes for what should take one second: its clock goes wrong.
    pub drift: Vec<f64>,
    /// HBM tokens of each worker.
    pub room: Vec<u64>,
    /// Requests that a worker has in its batch at most.
    pub seats: u32,
    /// One in so many batches of the feeds of these workers is spoilt.
    pub spoilt: Vec<Option<u64>>,
    /// Of a message, in milliseconds.
    pub latency: (u64, u64),
    pub questions: Vec<Question>,
    /// In the order of their instants.
    pub faults: Vec<Fault>,
    /// Only one worker is ever in trouble, and two more are well.
    pub others_are_well: bool,
}

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Question {
    pub at_ms: u64,
    /// The seeds and lengths of the two parts of its prompt. The first is common to several.
    pub prompt: [(u64, u32); 2],
    pub tokens: u32,
    /// Its client goes away when it has this many tokens.
    pub leaves_after: Option<u32>,
    pub deadline_ms: Option<u64>,
}

/// Something that goes wrong with one worker, and is put right later.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fault {
    pub worker: usize,
    pub from_ms: u64,
    pub until_ms: u64,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// The process dies, and comes back empty. Then it takes this many times as long for everything. Without power
    /// even the kernel says nothing of it.
    Crash { slow: f64, power: bool },
    /// It is told to stop, finishes what it has, and comes back empty.
    Stop,
    /// Nothing gets through, and nothing is lost: the host is frozen.
    Hold,
    /// Bytes are lost.
    Cut { way: Way, found_ms: u64 },
    /// Messages take up to this many milliseconds.
    Delay { most_ms: u64 },
    /// The operator drains it at the router.
    Drain,
    /// Its feed is well, and its calls are not.
    Calls(Trouble),
    /// The router's process dies, and comes back without a memory.
    RouterCrash,
}

/// Which bytes are lost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Way {
    Both,
    ToWorker,
    FromWorker,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Stop => "stop",
            Self::Hold => "hold",
            Self::Cut { .. } => "cut",
            Self::Delay { .. } => "delay",
            Self::Drain => "drain",
            Self::Calls(_) => "calls",
            Self::RouterCrash => "router crash",
        }
    }
}

const POLICIES: [&str; 6] =
    ["kv-aware", "least-loaded", "warmpath", "round-robin", "session-affinity", "lpwl+hold"];

struct Draw(Rng);

impl Draw {
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.0.below(n) == 0
    }
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(Rng::named(seed, &[1]));
        let others_are_well = draw.one_in(2);
        let workers = draw.between(if others_are_well { 3 } else { 2 }, 4) as usize;
        let policy = POLICIES[draw.between(0, POLICIES.len() as u64 - 1) as usize];
        let drift = (0..workers).map(|_| 0.95 + 0.1 * draw.0.unit()).collect();
        let room = (0..workers).map(|_| draw.between(100, 1_000) * 16).collect();
        let seats = [2, 8, 256][draw.between(0, 2) as usize];
        let spoilt = (0..workers).map(|_| draw.one_in(3).then(|| draw.between(2, 40))).collect();
        let least = draw.between(0, 3);
        let latency = (least, least + draw.between(1, 20));
        let mut questions: Vec<_> =
            (0..draw.between(5, 30)).map(|i| question(&mut draw, seed, i)).collect();
        questions.sort_by_key(|question| question.at_ms);
        let victim = draw.0.below(workers as u64) as usize;
        let mut faults = Vec::new();
        for worker in 0..workers {
            if worker == victim || !others_are_well {
                faults.extend(faults_of(&mut draw, worker));
            }
        }
        if !others_are_well && draw.one_in(4) {
            let from_ms = draw.between(500, 5_000);
            let until_ms = from_ms + draw.between(50, 2_000);
            faults.push(Fault { worker: 0, from_ms, until_ms, kind: Kind::RouterCrash });
        }
        if seats == 2 {
            // Else all questions together would take longer than a hang.
            for fault in &mut faults {
                if let Kind::Crash { slow, .. } = &mut fault.kind {
                    *slow = slow.min(4.0);
                }
            }
        }
        faults.sort_by_key(|fault| (fault.from_ms, fault.worker));
        let policy = policy.parse().expect("a policy");
        Self {
            seed,
            policy,
            drift,
            room,
            seats,
            spoilt,
            latency,
            questions,
            faults,
            others_are_well,
        }
    }
}

fn question(draw: &mut Draw, seed: u64, i: u64) -> Question {
    let common = (seed << 8 | draw.between(0, 2), draw.between(0, 20) as u32 * 16);
    let own = (seed << 8 | (16 + i), draw.between(1, 200) as u32);
    let tokens = draw.between(1, 200) as u32;
    let leaves_after = draw.one_in(10).then(|| draw.between(0, u64::from(tokens) - 1) as u32);
    let deadline_ms = draw.one_in(10).then(|| draw.between(50, 3_000));
    let at_ms = draw.between(0, 5_000);
    Question { at_ms, prompt: [common, own], tokens, leaves_after, deadline_ms }
}

/// One after the other, with time to recover in between.
fn faults_of(draw: &mut Draw, worker: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut from_ms = draw.between(300, 3_500);
    for _ in 0..draw.between(1, 3) {
        let kind = match draw.between(0, 9) {
            0 | 1 => Kind::Crash {
                slow: if draw.one_in(3) { 20.0 } else { 1.0 },
                power: !draw.one_in(4),
            },
            2 => Kind::Stop,
            3 => Kind::Hold,
            4 | 5 => {
                let ways = [Way::Both, Way::ToWorker, Way::FromWorker];
                let way = ways[draw.between(0, 2) as usize];
                Kind::Cut {
                    way,
                    found_ms: if draw.one_in(8) { 20_000 } else { draw.between(1_000, 8_000) },
                }
            }
            6 => Kind::Delay { most_ms: draw.between(50, 1_500) },
            7 => Kind::Drain,
            _ => Kind::Calls(trouble(draw)),
        };
        let until_ms = from_ms + draw.between(50, 3_000);
        faults.push(Fault { worker, from_ms, until_ms, kind });
        from_ms = until_ms + draw.between(500, 2_000);
    }
    faults
}

fn trouble(draw: &mut Draw) -> Trouble {
    let messages = draw.between(0, 20) as usize;
    match draw.between(0, 6) {
        0 => Trouble::Fails,
        1 => Trouble::NoHeaders,
        2 => Trouble::NoTokens,
        3 => Trouble::BreaksAfter(messages),
        4 => Trouble::EndsAfter(messages),
        5 => Trouble::StallsAfter(messages),
        _ => Trouble::Late(Duration::from_millis(draw.between(50, 1_500))),
    }
}

impl Plan {
    /// Then its clients lose what is under way.
    pub fn router_dies(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == Kind::RouterCrash)
    }

    /// Whether something is in front of a worker.
    pub fn has_front(&self, worker: usize) -> bool {
        let calls = |fault: &Fault| matches!(fault.kind, Kind::Calls(_)) && fault.worker == worker;
        self.spoilt[worker].is_some() || self.faults.iter().any(calls)
    }
}
