//! What each memory held over time, and how busy each link was. It is sampled while a run is played.

use warmpath_core::id::MAX_TIERS;
use warmpath_core::time::{Duration, Instant};
use warmpath_sim::Memories;

/// The least number of samples that are kept, once a run is long enough. At most twice as many are.
const LEAST: usize = 48;
/// The first samples are so far apart.
const FIRST: Duration = Duration::from_millis(100);

/// Keeps samples at equal distances over a run whose length is not known: where there are too many, every other one
/// goes and the distance doubles.
#[derive(Clone, Debug)]
pub struct Sampler {
    every: Duration,
    samples: Vec<(Instant, Memories)>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { every: FIRST, samples: Vec::new() }
    }
}

impl Sampler {
    /// Takes a sample. Returns when to take the next.
    pub fn take(&mut self, now: Instant, memories: &Memories) -> Instant {
        self.samples.push((now, *memories));
        if self.samples.len() > 2 * LEAST {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.every = self.every + self.every;
        }
        now + self.every
    }
}

/// A memory or a link by name, with its points over time: seconds and percent.
pub type Course = (String, Vec<(f64, f64)>);

/// How full memories were and how busy links, over time.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Occupancy {
    /// Percent of its room that a memory held.
    pub held: Vec<Course>,
    /// Percent of the time in which something was under way on a link, since the sample before.
    pub busy: Vec<Course>,
}

/// The memories and links of a fleet.
#[derive(Clone, Default, Debug)]
pub struct Places {
    /// The tiers' names, HBM first, and their room over all workers in blocks. None: no limit.
    pub tiers: Vec<(String, Option<u64>)>,
    pub workers: u32,
    /// The pool's room in blocks. None: there is no pool.
    pub pool: Option<u64>,
    /// Workers that send to peers, and to decode workers. 0: none does.
    pub peers: u32,
    pub senders: u32,
}

impl Places {
    /// Whether there is more than HBM.
    pub fn has_several(&self) -> bool {
        self.tiers.len() > 1 || self.pool.is_some() || self.peers > 0 || self.senders > 0
    }
}

impl Occupancy {
    pub fn of(sampler: &Sampler, places: &Places) -> Self {
        let samples = &sampler.samples;
        let held = |name: &str, room: u64, of: &dyn Fn(&Memories) -> u64| -> Course {
            let share = |(at, memories): &(Instant, Memories)| {
                (at.as_secs_f64(), of(memories) as f64 / room.max(1) as f64 * 100.0)
            };
            (name.to_owned(), samples.iter().map(share).collect())
        };
        let busy = |name: String, links: u32, of: &dyn Fn(&Memories) -> Duration| -> Course {
            let share = |two: &[(Instant, Memories)]| {
                let ((from, before), (to, after)) = (two[0], two[1]);
                let passed = to.since(from).as_secs_f64() * f64::from(links.max(1));
                // A worker that crashed begins at nothing again.
                let busy = (of(&after).as_secs_f64() - of(&before).as_secs_f64()).max(0.0);
                let middle = f64::midpoint(from.as_secs_f64(), to.as_secs_f64());
                (middle, (busy / passed.max(f64::MIN_POSITIVE) * 100.0).min(100.0))
            };
            (name, samples.windows(2).map(share).collect())
        };
        let mut all = Self::default();
        let tiers = places.tiers.iter().enumerate().take(MAX_TIERS);
        for (tier, (name, room)) in tiers {
            all.held.extend(room.map(|room| held(name, room, &|all| all.blocks[tier])));
            if tier > 0 {
                let link = format!("loads from {name}");
                all.busy.push(busy(link, places.workers, &|all| all.loading[tier]));
            }
        }
        if let Some(room) = places.pool {
            all.held.push(held("pool", room, &|all| all.pool_blocks));
            all.busy.push(busy("out of the pool".to_owned(), 1, &|all| all.pool));
        }
        if places.peers > 0 {
            all.busy.push(busy("to peers".to_owned(), places.peers, &|all| all.peers));
        }
        if places.senders > 0 {
            let link = "to decode workers".to_owned();
            all.busy.push(busy(link, places.senders, &|all| all.kv_transfers));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    fn memories(blocks: u64, busy_ms: u64) -> Memories {
        let mut loading = [Duration::ZERO; MAX_TIERS];
        loading[1] = Duration::from_millis(busy_ms);
        Memories { blocks: [blocks, 2 * blocks, 0, 0], loading, ..Memories::default() }
    }

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_samples() {
        for end in [1_000, 100_000, 10_000_000] {
            let mut sampler = Sampler::default();
            let mut next = at(0);
            while next <= at(end) {
                next = sampler.take(next, &memories(1, 0));
            }
            let apart: Vec<u64> =
                sampler.samples.windows(2).map(|two| two[1].0.since(two[0].0).as_nanos()).collect();
            assert!(apart.windows(2).all(|two| two[0] == two[1]), "{end}: equally far apart");
            assert!(
                sampler.samples.len() <= 2 * LEAST && (end < 10_000 || apart.len() >= LEAST - 1)
            );
        }
    }

    /// Two workers with 10 blocks of HBM each and 80 in the tier behind; a link busy for half of the time.
    #[test]
    fn shares_worked_by_hand() {
        let mut sampler = Sampler::default();
        sampler.take(at(0), &memories(5, 0));
        sampler.take(at(1_000), &memories(20, 1_000));
        let tiers = vec![("hbm".to_owned(), Some(20)), ("host".to_owned(), Some(160))];
        let places = Places { tiers, workers: 2, ..Places::default() };
        assert!(places.has_several());
        let all = Occupancy::of(&sampler, &places);
        let hbm = ("hbm".to_owned(), vec![(0.0, 25.0), (1.0, 100.0)]);
        let host = ("host".to_owned(), vec![(0.0, 6.25), (1.0, 25.0)]);
        assert_eq!(all.held, [hbm, host]);
        assert_eq!(all.busy, [("loads from host".to_owned(), vec![(0.5, 50.0)])]);
    }
}
