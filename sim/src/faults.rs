//! What goes wrong in a world: faults of its pool, of its workers, and of the feeds of workers.
//!
//! A fetch that fails is a miss: the request computes what it does not get, after a wait that the worker's
//! profile bounds. What becomes of the requests of a failing worker is the router's matter
//! (`world/attempts.rs`).

use serde::{Deserialize, Serialize};
use warmpath_core::engine::{Engine, FetchError, FetchKey};
use warmpath_core::rng::hash_words;
use warmpath_core::time::{Duration, Instant};

/// A fault that begins and ends.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, in seconds of model time since the run began.
    pub at_s: f64,
    /// How long it lasts, in seconds of model time. 1e9: until no request is left.
    pub for_s: f64,
    /// What goes wrong.
    pub kind: FaultKind,
    /// For the faults of workers and feeds: the number of the worker, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// For `pool-slow` and `worker-slow`: how many times slower it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// For `pool-corrupt`: the share of fetches whose checksum is wrong. For `feed-lossy`, `feed-doubled` and
    /// `feed-reordered`: the share of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The process dies: it refuses connections, and open ones break. Routers forget what it held. It
    /// comes back empty.
    PoolGone,
    /// It still announces what it holds, but neither sends nor takes blocks, and no message says so. A
    /// worker that asks waits until its timeout. Afterwards the pool has what it had.
    PoolSilent,
    /// It sends more slowly, and announces that.
    PoolSlow,
    /// Some of the blocks arrive broken; their checksum shows it.
    PoolCorrupt,
    /// The process dies: its requests break off, and new ones are not taken. It comes back empty.
    WorkerGone,
    /// The process stops, as after SIGSTOP: it takes requests, but says nothing more. Afterwards it goes on
    /// where it stopped.
    WorkerFrozen,
    /// All that the worker does takes longer.
    WorkerSlow,
    /// It takes each request and fails it at once. Requests that it had before go on.
    WorkerFailing,
    /// It is told to end, as by SIGTERM: it takes no new requests, finishes those that it has, and leaves. When
    /// the fault ends, what it has not finished breaks off, and it comes back empty.
    WorkerDrain,
    /// Nothing gets through between the router and the worker. What is sent meanwhile arrives when the fault
    /// ends, as over TCP, unless the sender has closed the connection by then.
    WorkerUnreachable,
    /// Some messages of the worker's feed are lost.
    FeedLossy,
    /// Some messages of the worker's feed arrive twice.
    FeedDoubled,
    /// Some messages of the worker's feed are overtaken by later ones.
    FeedReordered,
    /// Nothing of the worker's feed gets through. Calls do.
    FeedCut,
}

impl FaultKind {
    /// Whether it befalls a worker, not the pool and not only a feed.
    pub const fn is_of_worker(self) -> bool {
        matches!(
            self,
            Self::WorkerGone
                | Self::WorkerFrozen
                | Self::WorkerSlow
                | Self::WorkerFailing
                | Self::WorkerDrain
                | Self::WorkerUnreachable
        )
    }

    /// Whether it befalls the messages of a worker's feed.
    pub const fn is_of_feed(self) -> bool {
        matches!(self, Self::FeedLossy | Self::FeedDoubled | Self::FeedReordered | Self::FeedCut)
    }

    /// Whether it befalls the pool.
    pub const fn is_of_pool(self) -> bool {
        !self.is_of_worker() && !self.is_of_feed()
    }

    /// Whether feeds are played message by message where it may happen.
    pub const fn plays_feeds(self) -> bool {
        self.is_of_feed() || matches!(self, Self::WorkerDrain | Self::WorkerUnreachable)
    }

    const fn has_share(self) -> bool {
        matches!(
            self,
            Self::PoolCorrupt | Self::FeedLossy | Self::FeedDoubled | Self::FeedReordered
        )
    }
}

/// What is wrong with a fault. `fault` counts from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("fault {fault}: {field}: {why}")]
pub struct FaultError {
    pub fault: usize,
    pub field: &'static str,
    pub why: String,
}

/// Longer than any run, and far from the end of what model time can count. A fault that lasts so long ends when no
/// request is left.
const MOST_SECONDS: f64 = 1e9;

/// Whether these faults are possible.
pub fn check_faults(faults: &[Fault], pool: bool) -> Result<(), FaultError> {
    for (i, fault) in faults.iter().enumerate() {
        fault.check(pool).map_err(|(field, why)| FaultError { fault: i + 1, field, why })?;
    }
    Ok(())
}

impl Fault {
    /// Longer than any run: a fault that lasts so long, in seconds, ends when no request is left.
    pub const FOREVER_S: f64 = MOST_SECONDS;

    fn check(&self, pool: bool) -> Result<(), (&'static str, String)> {
        let of_worker = !self.kind.is_of_pool();
        match self.worker {
            None if of_worker => {
                return Err(("worker", "missing, expected the number of a worker, from 0".into()));
            }
            Some(_) if !of_worker => {
                return Err((
                    "worker",
                    "set, expected only with the faults of workers and feeds".into(),
                ));
            }
            _ => {}
        }
        if !pool && !of_worker {
            return Err((
                "kind",
                "needs a pool, but the scenario has none, expected [pool]".into(),
            ));
        }
        if !(0.0..=MOST_SECONDS).contains(&self.at_s) {
            return Err(("at_s", format!("{}, expected 0 to {MOST_SECONDS}", self.at_s)));
        }
        if !(self.for_s > 0.0 && self.for_s <= MOST_SECONDS) {
            let why = format!("{}, expected more than 0, at most {MOST_SECONDS}", self.for_s);
            return Err(("for_s", why));
        }
        let slow = matches!(self.kind, FaultKind::PoolSlow | FaultKind::WorkerSlow);
        match (slow, self.factor) {
            (true, Some(factor)) if (1.0..=1e6).contains(&factor) => {}
            (true, Some(factor)) => {
                return Err(("factor", format!("{factor}, expected 1 to 1000000")));
            }
            (true, None) => return Err(("factor", "missing, expected 1 or more".into())),
            (false, None) => {}
            (false, Some(_)) => {
                let why = "set, expected only with pool-slow and worker-slow";
                return Err(("factor", why.into()));
            }
        }
        match (self.kind.has_share(), self.share) {
            (true, Some(share)) if share > 0.0 && share <= 1.0 => Ok(()),
            (true, Some(share)) => {
                Err(("share", format!("{share}, expected more than 0, at most 1")))
            }
            (true, None) => Err(("share", "missing, expected more than 0, at most 1".into())),
            (false, None) => Ok(()),
            (false, Some(_)) => {
                let why = "set, expected only with pool-corrupt, feed-lossy, feed-doubled and \
                           feed-reordered";
                Err(("share", why.into()))
            }
        }
    }
}

/// What is wrong now. Faults that overlap add up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Condition {
    pub gone: bool,
    pub silent: bool,
    pub slowness: f64,
    /// The share of fetches that arrive broken.
    pub corrupt: f64,
}

impl Condition {
    pub const SOUND: Self = Self { gone: false, silent: false, slowness: 1.0, corrupt: 0.0 };
}

/// The faults of a run's pool, by the times at which they begin and end.
#[derive(Debug)]
pub struct Faults {
    faults: Vec<Fault>,
    /// When a fault begins or ends, latest first.
    changes: Vec<Instant>,
    seed: u64,
}

impl Faults {
    pub fn new(faults: &[Fault], seed: u64) -> Self {
        let of_pool = faults.iter().copied().filter(|fault| fault.kind.is_of_pool());
        let faults: Vec<Fault> = of_pool.collect();
        Self { changes: changes(&faults), faults, seed }
    }

    pub fn next_change(&self) -> Option<Instant> {
        self.changes.last().copied()
    }

    /// What is wrong from the next change on, if that is due by `now`.
    pub fn change(&mut self, now: Instant) -> Option<(Instant, Condition)> {
        let at = self.changes.pop_if(|at| *at <= now)?;
        let mut condition = Condition::SOUND;
        for fault in self.faults.iter().filter(|fault| begin(fault) <= at && at < end(fault)) {
            match fault.kind {
                FaultKind::PoolGone => condition.gone = true,
                FaultKind::PoolSilent => condition.silent = true,
                FaultKind::PoolSlow => condition.slowness *= fault.factor.unwrap_or(1.0),
                FaultKind::PoolCorrupt => {
                    condition.corrupt = condition.corrupt.max(fault.share.unwrap_or(0.0));
                }
                _ => {}
            }
        }
        Some((at, condition))
    }

    /// Whether this fetch is one of the broken ones. A hash of its name decides, so no order matters.
    pub fn breaks(&self, share: f64, (worker, transfer): FetchKey) -> bool {
        let bits = hash_words(&[self.seed, 0x434f_5252, u64::from(worker.0), transfer.0]);
        let drawn = (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        drawn < share
    }
}

/// When any of these begins or ends, latest first.
pub fn changes(faults: &[Fault]) -> Vec<Instant> {
    let ends = |fault: &Fault| [begin(fault), end(fault)];
    let mut changes: Vec<Instant> = faults.iter().flat_map(ends).collect();
    changes.sort_unstable_by(|a, b| b.cmp(a));
    changes.dedup();
    changes
}

pub fn begin(fault: &Fault) -> Instant {
    Instant::START + Duration::from_secs_f64(fault.at_s)
}

pub fn end(fault: &Fault) -> Instant {
    begin(fault) + Duration::from_secs_f64(fault.for_s)
}

/// How many fetches failed, by reason. Their blocks were computed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct FailedFetches {
    /// The source did not have the blocks any more.
    pub missing: u64,
    pub gone: u64,
    /// The blocks did not come in time.
    pub late: u64,
    pub corrupt: u64,
}

impl FailedFetches {
    pub fn count(&mut self, why: FetchError) {
        match why {
            FetchError::Missing => self.missing += 1,
            FetchError::Gone => self.gone += 1,
            FetchError::Late => self.late += 1,
            FetchError::Corrupt => self.corrupt += 1,
        }
    }

    /// With the fetches that engines gave up on, which only the engines know.
    pub fn of(self, engines: &[Engine]) -> Self {
        let all: u64 = engines.iter().map(|engine| engine.stats().failed_fetches).sum();
        Self { late: all - self.missing - self.gone - self.corrupt, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(at_s: f64, for_s: f64, kind: FaultKind) -> Fault {
        Fault { at_s, for_s, kind, worker: None, factor: None, share: None }
    }

    #[test]
    fn overlapping_faults_add_up_and_each_ends_at_its_time() {
        let slow = Fault { factor: Some(3.0), ..fault(1.0, 4.0, FaultKind::PoolSlow) };
        let slower = Fault { factor: Some(2.0), ..fault(2.0, 1.0, FaultKind::PoolSlow) };
        let mut faults = Faults::new(&[slow, slower, fault(3.0, 1.0, FaultKind::PoolGone)], 1);
        assert_eq!(faults.change(Instant::START), None);
        let late = Instant::START + Duration::from_secs_f64(100.0);
        let seen: Vec<(f64, f64, bool)> = core::iter::from_fn(|| faults.change(late))
            .map(|(at, now)| (at.as_secs_f64(), now.slowness, now.gone))
            .collect();
        let expected = [
            (1.0, 3.0, false),
            (2.0, 6.0, false),
            (3.0, 3.0, true),
            (4.0, 3.0, false),
            (5.0, 1.0, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(faults.next_change(), None);
    }

    #[test]
    fn an_error_names_the_field() {
        let why = |fault: Fault, pool| check_faults(&[fault], pool).unwrap_err().to_string();
        let slow = fault(0.0, 1.0, FaultKind::PoolSlow);
        assert_eq!(why(slow, true), "fault 1: factor: missing, expected 1 or more");
        let slow = Fault { factor: Some(0.5), ..slow };
        assert_eq!(why(slow, true), "fault 1: factor: 0.5, expected 1 to 1000000");
        let gone = fault(0.0, 0.0, FaultKind::PoolGone);
        assert!(why(gone, true).starts_with("fault 1: for_s: 0, expected more than 0"));
        let gone = Fault { share: Some(0.5), ..fault(0.0, 1.0, FaultKind::PoolGone) };
        assert!(
            why(gone, true).starts_with("fault 1: share: set, expected only with pool-corrupt")
        );
        let silent = fault(f64::NAN, 1.0, FaultKind::PoolSilent);
        assert!(why(silent, true).starts_with("fault 1: at_s: NaN"));
        let gone = fault(0.0, 1.0, FaultKind::PoolGone);
        assert!(why(gone, false).contains("expected [pool]"));
        assert!(check_faults(&[gone], true).is_ok());
        let frozen = fault(0.0, 1.0, FaultKind::WorkerFrozen);
        assert!(why(frozen, false).starts_with("fault 1: worker: missing, expected the number"));
        let frozen = Fault { worker: Some(0), ..frozen };
        assert!(check_faults(&[frozen], false).is_ok());
        let lossy = Fault { kind: FaultKind::FeedLossy, ..frozen };
        assert_eq!(why(lossy, false), "fault 1: share: missing, expected more than 0, at most 1");
        assert!(check_faults(&[Fault { share: Some(0.1), ..lossy }], false).is_ok());
        let slow = Fault { kind: FaultKind::WorkerSlow, ..frozen };
        assert_eq!(why(slow, false), "fault 1: factor: missing, expected 1 or more");
        let gone = Fault { worker: Some(0), ..gone };
        assert!(why(gone, true).starts_with("fault 1: worker: set, expected only"));
    }
}
