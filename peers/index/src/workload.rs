//! The events and look-ups that every index is given.

use kv_index::{ContentHash, SequenceHash, chain_prefix_hash};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use warmpath_core::rng::{Rng, mix64};
use warmpath_core::runs::anchor_above;

/// A change of what a worker holds.
#[derive(Clone)]
pub enum Event {
    /// A worker stored blocks that follow one another.
    Stored {
        /// The worker.
        worker: u32,
        /// The name of the block before them.
        parent: Option<u64>,
        /// The hash of each block's tokens.
        contents: Vec<u64>,
        /// The name of each block, which covers its whole prefix.
        names: Vec<u64>,
        /// The same for us.
        stretch: Stretch,
    },
    /// A worker removed blocks.
    Removed {
        /// The worker.
        worker: u32,
        /// Their names.
        names: Vec<u64>,
        /// The same as stretches of paths, the deepest first.
        stretches: Vec<Stretch>,
    },
}

/// The blocks from `start` on, as our events have them: with the names from the anchor above it on.
#[derive(Clone, Default)]
pub struct Stretch {
    /// The depth of the first name.
    pub base: u32,
    /// The first block that was stored or removed.
    pub start: u32,
    /// The names from `base` on.
    pub names: Vec<u64>,
}

/// What the indexes are fed with and asked for.
pub struct Workload {
    /// Workers are numbered from 0.
    pub workers: u32,
    /// The events in order.
    pub events: Vec<Event>,
    /// Prompts, as the hashes of their blocks' tokens.
    pub look_ups: Vec<Vec<u64>>,
    /// Blocks stored and removed by the events.
    pub moved: u64,
    /// (worker, block) pairs held at the end.
    pub members: u64,
    /// Where each name stands: the name before it, and its depth.
    places: HashMap<u64, (u64, u32)>,
}

/// The names of a text's blocks.
pub fn names(contents: &[u64]) -> Vec<u64> {
    let mut before: Option<SequenceHash> = None;
    let named = contents.iter().map(|&content| {
        let name = match before {
            None => SequenceHash(content),
            Some(name) => chain_prefix_hash(name, ContentHash(content)),
        };
        before = Some(name);
        name.0
    });
    named.collect()
}

#[derive(serde::Deserialize)]
struct Row {
    hash_ids: Vec<u64>,
}

/// Mooncake's conversation trace over `workers`. Each request goes to the worker where the blocks to
/// compute and the backlog are least. A worker has room for `room` blocks and evicts the ones used
/// longest ago, the ends of prompts first.
pub fn conversation(path: &Path, workers: u32, room: usize) -> std::io::Result<Workload> {
    let text = std::fs::read_to_string(path)?;
    let mut load = Workload::new(workers);
    let mut fleet: Vec<Lru> = (0..workers).map(|_| Lru::default()).collect();
    let mut backlog = vec![0.0f64; workers as usize];
    for (time, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let row: Row = serde_json::from_str(line)?;
        let contents: Vec<u64> = row.hash_ids.iter().map(|&id| mix64(id)).collect();
        let names = names(&contents);
        let cost = |worker: &usize| {
            (names.len() - fleet[*worker].overlap(&names)) as f64 + backlog[*worker]
        };
        let costs = (0..workers as usize).map(|worker| (cost(&worker), worker));
        let (_, to) = costs.min_by(|a, b| a.0.total_cmp(&b.0)).expect("a fleet has a worker");
        let had = fleet[to].overlap(&names);
        backlog[to] += (names.len() - had) as f64;
        backlog.iter_mut().for_each(|left| *left = (*left - 16.0 / f64::from(workers)).max(0.0));
        fleet[to].touch(time as u64, &names);
        let mut evicted = fleet[to].evict(room);
        // What had no room was never stored.
        let fresh: HashSet<u64> = names[had..].iter().copied().collect();
        evicted.retain(|name| !fresh.contains(name));
        load.remove(to as u32, evicted);
        let kept = names[had..].iter().take_while(|name| fleet[to].holds(name)).count();
        load.store(to as u32, &contents[..had + kept], &names[..had + kept], had);
        load.look_ups.push(contents);
    }
    Ok(load)
}

/// `target` memberships over `workers`. Prompts have 64 to 512 blocks. 2,000 groups share a prefix of
/// 16 to 256 blocks each and are drawn by Zipf's law with exponent 1; each has 16 workers. Two prompts
/// of five extend an earlier one, four of five of these on its worker. Of the look-ups, 60 % extend a
/// prompt that is held, 25 % begin like a group, and 15 % are new.
pub fn synthetic(workers: u32, target: u64, look_ups: usize) -> Workload {
    let mut rng = Rng::named(42, &[]);
    let groups = Groups::new(2_000, workers, &mut rng);
    let mut load = Workload::new(workers);
    let mut fresh = 1u64 << 48;
    let mut held: Vec<HashSet<u64>> = vec![HashSet::new(); workers as usize];
    let mut prompts: Vec<(Vec<u64>, u32, usize)> = Vec::new();
    while load.moved < target {
        let extends = !prompts.is_empty() && rng.unit() < 0.4;
        let (contents, worker, group) = if extends {
            let (prompt, before, group) = &prompts[rng.below(prompts.len() as u64) as usize];
            if prompt.len() > 500 {
                continue;
            }
            let to = prompt.len() + between(8, 64, &mut rng).min(512 - prompt.len());
            let same = rng.unit() < 0.8;
            let worker = if same { *before } else { groups.worker(*group, &mut rng) };
            (extended(prompt.clone(), to, &mut fresh), worker, *group)
        } else {
            let group = groups.draw(&mut rng);
            let contents = groups.prompt(group, &mut fresh, &mut rng);
            (contents, groups.worker(group, &mut rng), group)
        };
        let names = names(&contents);
        let held = &mut held[worker as usize];
        let had = names.iter().take_while(|name| held.contains(name)).count();
        held.extend(&names[had..]);
        load.store(worker, &contents, &names, had);
        prompts.push((contents, worker, group));
    }
    for _ in 0..look_ups {
        let kind = rng.unit();
        let asked = if kind < 0.6 {
            let prompt = &prompts[rng.below(prompts.len() as u64) as usize].0;
            extended(prompt.clone(), prompt.len() + 4, &mut fresh)
        } else if kind < 0.85 {
            let group = groups.draw(&mut rng);
            groups.prompt(group, &mut fresh, &mut rng)
        } else {
            extended(Vec::new(), between(64, 512, &mut rng), &mut fresh)
        };
        load.look_ups.push(asked);
    }
    load
}

impl Workload {
    fn new(workers: u32) -> Self {
        let (events, look_ups, places) = (Vec::new(), Vec::new(), HashMap::new());
        Self { workers, events, look_ups, moved: 0, members: 0, places }
    }

    /// `worker` stores the blocks of a text from `from` on.
    fn store(&mut self, worker: u32, contents: &[u64], names: &[u64], from: usize) {
        if from == names.len() {
            return;
        }
        for (depth, &name) in names.iter().enumerate().skip(from) {
            let before = depth.checked_sub(1).map_or(0, |above| names[above]);
            self.places.insert(name, (before, depth as u32));
        }
        let base = anchor_above(from as u32);
        let stretch = Stretch { base, start: from as u32, names: names[base as usize..].to_vec() };
        self.moved += (names.len() - from) as u64;
        self.members += (names.len() - from) as u64;
        self.events.push(Event::Stored {
            worker,
            parent: from.checked_sub(1).map(|above| names[above]),
            contents: contents[from..].to_vec(),
            names: names[from..].to_vec(),
            stretch,
        });
    }

    fn remove(&mut self, worker: u32, names: Vec<u64>) {
        if names.is_empty() {
            return;
        }
        self.moved += names.len() as u64;
        self.members -= names.len() as u64;
        let stretches = self.stretches(&names);
        self.events.push(Event::Removed { worker, names, stretches });
    }

    /// Events by which every worker removes all that it holds, 64 blocks at a time, the deepest first.
    pub fn removal(&self) -> Vec<Event> {
        let mut held = vec![HashSet::new(); self.workers as usize];
        for event in &self.events {
            match event {
                Event::Stored { worker, names, .. } => held[*worker as usize].extend(names),
                Event::Removed { worker, names, .. } => {
                    names.iter().for_each(|name| _ = held[*worker as usize].remove(name));
                }
            }
        }
        let mut events = Vec::new();
        for (worker, held) in held.into_iter().enumerate() {
            let mut names: Vec<u64> = held.into_iter().collect();
            names.sort_unstable_by_key(|name| (u32::MAX - self.places[name].1, *name));
            for names in names.chunks(64) {
                let stretches = self.stretches(names);
                let (worker, names) = (worker as u32, names.to_vec());
                events.push(Event::Removed { worker, names, stretches });
            }
        }
        events
    }

    /// A set of blocks as stretches of paths.
    fn stretches(&self, names: &[u64]) -> Vec<Stretch> {
        let set: HashSet<u64> = names.iter().copied().collect();
        let above = |name: &u64| {
            let (before, depth) = self.places[name];
            (depth > 0 && set.contains(&before)).then_some(before)
        };
        let mut below: HashMap<u64, u32> = HashMap::new();
        names.iter().filter_map(above).for_each(|before| *below.entry(before).or_default() += 1);
        let is_end = |name: &&u64| !below.contains_key(name);
        let mut ends: Vec<u64> = names.iter().filter(is_end).copied().collect();
        ends.sort_by_key(|name| u32::MAX - self.places[name].1);
        let mut stretches = Vec::new();
        for end in ends {
            let (mut first, mut path) = (end, vec![end]);
            while let Some(before) = above(&first) {
                // The last branch to come by takes the rest of the path.
                let branches = below.get_mut(&before).expect("a block with one below it");
                *branches -= 1;
                if *branches > 0 {
                    break;
                }
                path.push(before);
                first = before;
            }
            stretches.push(self.stretch(first, path));
        }
        stretches
    }

    /// `path`: names from the last to `first`.
    fn stretch(&self, first: u64, mut path: Vec<u64>) -> Stretch {
        let (mut before, start) = self.places[&first];
        let base = anchor_above(start);
        for _ in base..start {
            path.push(before);
            before = self.places[&before].0;
        }
        path.reverse();
        Stretch { base, start, names: path }
    }
}

/// Names by the time of their last use. Of one prompt, the end counts as used before the beginning.
#[derive(Default)]
struct Lru {
    keys: HashMap<u64, (u64, u32)>,
    order: BTreeMap<(u64, u32), u64>,
}

impl Lru {
    fn holds(&self, name: &u64) -> bool {
        self.keys.contains_key(name)
    }

    fn overlap(&self, names: &[u64]) -> usize {
        names.iter().take_while(|name| self.holds(name)).count()
    }

    fn touch(&mut self, time: u64, names: &[u64]) {
        for (depth, &name) in names.iter().enumerate() {
            let key = (time, u32::MAX - depth as u32);
            if let Some(before) = self.keys.insert(name, key) {
                self.order.remove(&before);
            }
            self.order.insert(key, name);
        }
    }

    fn evict(&mut self, room: usize) -> Vec<u64> {
        let mut evicted = Vec::new();
        while self.keys.len() > room {
            let (_, name) = self.order.pop_first().expect("as many keys as names");
            self.keys.remove(&name);
            evicted.push(name);
        }
        evicted
    }
}

/// Groups of prompts that begin alike.
struct Groups {
    /// Running sums of their weights.
    weights: Vec<f64>,
    lengths: Vec<usize>,
    workers: Vec<Vec<u32>>,
}

impl Groups {
    fn new(count: usize, workers: u32, rng: &mut Rng) -> Self {
        let mut sum = 0.0;
        let mut weigh = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        let weights = (1..=count).map(&mut weigh).collect();
        let lengths = (0..count).map(|_| between(16, 256, rng)).collect();
        let mut some = |_| (0..16).map(|_| rng.below(u64::from(workers)) as u32).collect();
        Self { weights, lengths, workers: (0..count).map(&mut some).collect() }
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.unit() * self.weights[self.weights.len() - 1];
        self.weights.partition_point(|&weight| weight < at).min(self.weights.len() - 1)
    }

    fn worker(&self, group: usize, rng: &mut Rng) -> u32 {
        self.workers[group][rng.below(16) as usize]
    }

    fn prompt(&self, group: usize, fresh: &mut u64, rng: &mut Rng) -> Vec<u64> {
        let length = between(64, 512, rng);
        let shared = self.lengths[group].min(length - 8) as u64;
        let begin = (0..shared).map(|block| mix64((group as u64) << 20 | block)).collect();
        extended(begin, length, fresh)
    }
}

/// A text with blocks that no other has, up to `length`.
fn extended(mut contents: Vec<u64>, length: usize, fresh: &mut u64) -> Vec<u64> {
    while contents.len() < length {
        *fresh += 1;
        contents.push(mix64(*fresh));
    }
    contents
}

fn between(low: usize, high: usize, rng: &mut Rng) -> usize {
    low + rng.below((high - low + 1) as u64) as usize
}
