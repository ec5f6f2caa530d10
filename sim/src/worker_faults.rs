//! The condition of each worker of a world, and its clock.
//!
//! A slow or a frozen worker is an engine whose clock runs slowly, or stands. So no engine knows of faults,
//! and all that it does takes longer alike.

use crate::faults::{Fault, FaultError, FaultKind, begin, changes, end};
use crate::fleet::Group;
use crate::scenario::Scenario;
use warmpath_core::time::{Duration, Instant};

/// What is wrong with a worker now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkerCondition {
    pub gone: bool,
    pub frozen: bool,
    pub failing: bool,
    pub slowness: f64,
    /// It was told to end.
    pub draining: bool,
    /// Nothing gets through between it and the router.
    pub unreachable: bool,
    pub feed: FeedCondition,
}

/// What is wrong with the messages of a worker's feed now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FeedCondition {
    pub cut: bool,
    /// Shares of messages.
    pub lossy: f64,
    pub doubled: f64,
    pub reordered: f64,
}

impl WorkerCondition {
    pub const SOUND: Self = Self {
        gone: false,
        frozen: false,
        failing: false,
        slowness: 1.0,
        draining: false,
        unreachable: false,
        feed: FeedCondition { cut: false, lossy: 0.0, doubled: 0.0, reordered: 0.0 },
    };

    /// Whether its router hears nothing of its answers.
    pub const fn is_quiet(&self) -> bool {
        self.frozen || self.unreachable
    }

    /// Whether nothing of its feed gets through.
    pub const fn is_feed_cut(&self) -> bool {
        self.unreachable || self.feed.cut
    }
}

/// The time of an engine, as a function of the world's time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Both at the last change.
    world: Instant,
    own: Instant,
    /// World time for each unit of own time. 1: as fast as the world's. Infinite: the clock stands.
    slowness: f64,
}

impl Clock {
    fn own(&self, at: Instant) -> Instant {
        let since = at.since(self.world);
        if self.slowness == 1.0 {
            return self.own + since;
        }
        self.own + Duration::from_nanos((since.as_nanos() as f64 / self.slowness) as u64)
    }

    /// The first instant of the world at which the engine's clock shows `own`. None: it stands before.
    fn world(&self, own: Instant) -> Option<Instant> {
        let ahead = own.since(self.own);
        if self.slowness == 1.0 || ahead == Duration::ZERO {
            return Some(self.world + ahead);
        }
        if self.slowness.is_infinite() {
            return None;
        }
        let span = (ahead.as_nanos() as f64 * self.slowness).ceil() as u64;
        let mut at = self.world + Duration::from_nanos(span);
        while self.own(at) < own {
            at = at + Duration::from_nanos(1);
        }
        Some(at)
    }
}

/// All workers' conditions and clocks.
#[derive(Debug)]
pub struct WorkerFaults {
    faults: Vec<Fault>,
    changes: Vec<Instant>,
    conditions: Vec<WorkerCondition>,
    clocks: Vec<Clock>,
    /// Workers that were told to end, have ended, and are not back yet.
    left: Vec<bool>,
    /// Whether any worker ever fails.
    any: bool,
}

impl WorkerFaults {
    pub fn new(scenario: &Scenario) -> Result<Self, FaultError> {
        check(scenario)?;
        let of_worker = scenario.faults.iter().copied().filter(|fault| !fault.kind.is_of_pool());
        let faults: Vec<Fault> = of_worker.collect();
        let workers = scenario.workers() as usize;
        let (world, own) = (Instant::START, Instant::START);
        Ok(Self {
            changes: changes(&faults),
            any: faults.iter().any(|fault| fault.kind.is_of_worker()),
            left: vec![false; workers],
            faults,
            conditions: vec![WorkerCondition::SOUND; workers],
            clocks: vec![Clock { world, own, slowness: 1.0 }; workers],
        })
    }

    /// Whether any worker ever fails. A fault of a feed is no failure of a worker.
    pub const fn any(&self) -> bool {
        self.any
    }

    /// Whether there is no process of this worker.
    pub fn is_away(&self, worker: u32) -> bool {
        self.of(worker).gone || self.left[worker as usize]
    }

    /// Whether a worker that was told to end has ended.
    pub fn is_left(&self, worker: u32) -> bool {
        self.left[worker as usize]
    }

    /// A worker that was told to end has ended, or is back. Returns whether it had ended before.
    pub fn set_left(&mut self, worker: u32, left: bool) -> bool {
        core::mem::replace(&mut self.left[worker as usize], left)
    }

    /// Whether a fault lasts until no request is left.
    pub fn last_forever(&self) -> bool {
        self.faults.iter().any(|fault| fault.for_s >= Fault::FOREVER_S)
    }

    /// No request is left: the faults that would last forever end now.
    pub fn end_those_that_last(&mut self, now: Instant) {
        for fault in self.faults.iter_mut().filter(|fault| fault.for_s >= Fault::FOREVER_S) {
            fault.for_s = now.since(begin(fault)).as_secs_f64();
        }
        self.changes = changes(&self.faults);
        self.changes.retain(|&at| at > now);
        self.changes.push(now);
    }

    pub fn next_change(&self) -> Option<Instant> {
        self.changes.last().copied()
    }

    pub fn of(&self, worker: u32) -> WorkerCondition {
        self.conditions[worker as usize]
    }

    /// The time of a worker's engine.
    pub fn own(&self, worker: u32, at: Instant) -> Instant {
        self.clocks[worker as usize].own(at)
    }

    /// When a worker's engine has this time. None: not while its clock stands.
    pub fn world(&self, worker: u32, own: Instant) -> Option<Instant> {
        self.clocks[worker as usize].world(own)
    }

    /// What changes at `now`: the workers, with their conditions before and after.
    pub fn change(&mut self, now: Instant) -> Vec<(u32, WorkerCondition, WorkerCondition)> {
        if self.changes.pop_if(|at| *at <= now).is_none() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for i in 0..self.conditions.len() as u32 {
            let (before, after) = (self.of(i), self.condition(i, now));
            if before == after {
                continue;
            }
            self.conditions[i as usize] = after;
            let clock = &mut self.clocks[i as usize];
            let slowness = if after.frozen { f64::INFINITY } else { after.slowness };
            *clock = Clock { world: now, own: clock.own(now), slowness };
            changed.push((i, before, after));
        }
        changed
    }

    fn condition(&self, worker: u32, now: Instant) -> WorkerCondition {
        let mut condition = WorkerCondition::SOUND;
        let own = self.faults.iter().filter(|fault| fault.worker == Some(worker));
        for fault in own.filter(|fault| begin(fault) <= now && now < end(fault)) {
            match fault.kind {
                FaultKind::WorkerGone => condition.gone = true,
                FaultKind::WorkerFrozen => condition.frozen = true,
                FaultKind::WorkerFailing => condition.failing = true,
                FaultKind::WorkerSlow => condition.slowness *= fault.factor.unwrap_or(1.0),
                FaultKind::WorkerDrain => condition.draining = true,
                FaultKind::WorkerUnreachable => condition.unreachable = true,
                FaultKind::FeedCut => condition.feed.cut = true,
                FaultKind::FeedLossy => add(&mut condition.feed.lossy, fault),
                FaultKind::FeedDoubled => add(&mut condition.feed.doubled, fault),
                FaultKind::FeedReordered => add(&mut condition.feed.reordered, fault),
                FaultKind::PoolGone
                | FaultKind::PoolSilent
                | FaultKind::PoolSlow
                | FaultKind::PoolCorrupt => {}
            }
        }
        condition
    }
}

/// Of two faults of one kind the larger share holds.
fn add(share: &mut f64, fault: &Fault) {
    *share = share.max(fault.share.unwrap_or(0.0));
}

/// Whether the scenario has these workers, and they are of a kind whose faults can be played.
fn check(scenario: &Scenario) -> Result<(), FaultError> {
    let count = scenario.workers();
    let shares = |group: &Group| !group.role.is_both() || group.profile.peers.is_some();
    for (i, fault) in scenario.faults.iter().enumerate() {
        let Some(worker) = fault.worker else { continue };
        let bad = |field, why| Err(FaultError { fault: i + 1, field, why });
        if worker >= count {
            return bad("worker", format!("{worker}, expected less than {count}, the workers"));
        }
        let of_worker = fault.kind.is_of_worker();
        if of_worker && (scenario.pool.is_some() || scenario.groups.iter().any(shares)) {
            let why = "a worker's, expected a fleet without pool, peers and roles";
            return bad("kind", why.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_each_time_first_when_it_says() {
        let at = Instant::from_nanos;
        for slowness in [1.0, 1.5, 3.0, 20.0, 333.3] {
            let clock = Clock { world: at(1_000), own: at(70), slowness };
            for own in [70, 71, 100, 12_345, 9_876_543_210] {
                let world = clock.world(at(own)).expect("it runs");
                assert!(clock.own(world) >= at(own), "{slowness} {own}: not before");
                if world > at(1_000) {
                    let before = at(world.as_nanos() - 1);
                    assert!(clock.own(before) < at(own), "{slowness} {own}: and not later");
                }
            }
        }
        let stands = Clock { world: at(1_000), own: at(70), slowness: f64::INFINITY };
        assert_eq!((stands.own(at(5_000)), stands.world(at(71))), (at(70), None));
    }
}
