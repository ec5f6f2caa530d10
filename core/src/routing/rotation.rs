//! Which workers are in rotation: the health of all of them, judged against each other.

use super::attempt::Failure;
use super::health::{Health, HealthLimits, Standing, Why};
use super::per_worker::PerWorker;
use crate::event::Role;
use crate::id::{RequestId, WorkerId};
use crate::time::{Duration, Instant};

/// How often waiting requests are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The health of all workers.
#[derive(Debug, Default)]
pub struct Rotation {
    /// None: no worker ever leaves rotation.
    limits: Option<HealthLimits>,
    of: PerWorker<Health>,
    /// Workers of the fleet that are not in rotation.
    out: u32,
    /// The fleet's typical ratio of a first token's time to what was expected, at least 1.
    typical: f64,
    /// First tokens since that was computed.
    since: usize,
    looked: Instant,
    /// Used again.
    ratios: Vec<f64>,
}

impl Rotation {
    pub(super) fn set_limits(&mut self, limits: Option<HealthLimits>) {
        (self.limits, self.typical) = (limits, 1.0);
    }

    /// The limits. None: no worker ever leaves rotation.
    pub const fn limits(&self) -> Option<&HealthLimits> {
        self.limits.as_ref()
    }

    /// What is known of a worker's calls. None: the worker never joined.
    pub fn health(&self, id: WorkerId) -> Option<&Health> {
        self.of.get(id)
    }

    /// Workers of the fleet that are out of rotation or probed.
    pub const fn out(&self) -> u32 {
        self.out
    }

    /// Whether a worker may get a request.
    pub fn takes(&self, now: Instant, id: WorkerId) -> bool {
        self.out == 0 || self.of.get(id).is_none_or(|health| health.takes(now))
    }

    /// How long a first token usually takes that is expected after this time, going by the fleet's
    /// typical ratio.
    pub(super) fn usual(&self, expected: Duration) -> Duration {
        match self.typical > 1.0 {
            true => Duration::from_secs_f64(expected.as_secs_f64() * self.typical),
            false => expected,
        }
    }

    /// When a request that waits for its first token is overdue. None: it is not judged.
    pub(super) fn due(&self, now: Instant, expected: Option<Duration>) -> Option<Instant> {
        let (limits, expected) = (self.limits?, expected?.as_secs_f64());
        let usual = expected.max(limits.least_expected_s) * self.typical * limits.slow_factor;
        Some(now + Duration::from_secs_f64(usual.max(limits.silent_s)))
    }

    /// Whether it is time to look at the requests that wait, and how many of a worker must be overdue.
    pub(super) fn look(&mut self, now: Instant) -> Option<u32> {
        let limits = self.limits?;
        if now.since(self.looked) < LOOK_EVERY {
            return None;
        }
        self.looked = now;
        Some(limits.failures)
    }

    pub(super) fn join(&mut self, now: Instant, id: WorkerId, role: Role) {
        self.of.of_mut(id).join(now, role);
        self.count();
    }

    pub(super) fn lose(&mut self, id: WorkerId) {
        if let Some(health) = self.of.get_mut(id) {
            health.present = false;
            self.count();
        }
    }

    pub(super) fn sent(&mut self, worker: WorkerId, id: RequestId) {
        if self.out > 0
            && let Some(health) = self.of.get_mut(worker)
        {
            health.sent(id);
        }
    }

    /// An attempt failed. `counts`: the worker is to blame, as far as one can tell.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        (worker, id): (WorkerId, RequestId),
        how: Failure,
        counts: bool,
    ) {
        let Some(limits) = self.limits else { return };
        let Some(health) = self.of.get_mut(worker).filter(|health| health.present) else { return };
        match health.standing() {
            Standing::Probed { by, why } if by == id => health.eject(now, why, &limits),
            Standing::In if counts => {
                if let Some(why) = health.failed(how, &limits) {
                    self.eject(now, worker, why);
                }
            }
            Standing::In | Standing::Out { .. } | Standing::Probed { .. } => {}
        }
    }

    /// A first token came, or a prompt was computed. `took`: in which time, and what was expected.
    pub(super) fn first_token(
        &mut self,
        now: Instant,
        (worker, id): (WorkerId, RequestId),
        took: Option<(Duration, Duration)>,
    ) {
        let Some(limits) = self.limits else { return };
        let Some(health) = self.of.get_mut(worker) else { return };
        let ratio = took.map(|(took, expected)| limits.ratio(took, expected));
        let usual = |ratio: f64| ratio <= limits.slow_factor * self.typical;
        match health.standing() {
            Standing::In => {
                health.first_token(ratio);
                self.since += 1;
                if self.since >= self.of.iter().len() {
                    self.refresh_typical(&limits);
                }
                if ratio.is_some_and(|ratio| ratio > limits.slow_factor) {
                    self.judge(now, worker, &limits);
                }
            }
            Standing::Probed { by, why } if by == id && why != Why::Breaking => {
                if ratio.is_none_or(usual) {
                    health.recover(now);
                    self.count();
                } else {
                    health.eject(now, Why::Slow, &limits);
                }
            }
            Standing::Out { .. } | Standing::Probed { .. } => {}
        }
    }

    /// An answer is complete.
    pub(super) fn finished(&mut self, now: Instant, worker: WorkerId, id: RequestId) {
        if self.limits.is_none() {
            return;
        }
        let Some(health) = self.of.get_mut(worker) else { return };
        health.finished();
        if health.probe().is_some_and(|(by, _)| by == id) {
            health.recover(now);
            self.count();
        }
    }

    /// A request ended without an answer, and the worker is not to blame.
    pub(super) fn withdrawn(&mut self, now: Instant, worker: WorkerId, id: RequestId) {
        if self.out > 0
            && let Some(health) = self.of.get_mut(worker)
            && health.probe().is_some_and(|(by, _)| by == id)
        {
            health.probe_again(now);
        }
    }

    /// The oldest requests of this worker are overdue, or its probe is. Whether it left rotation by that.
    pub(super) fn overdue(&mut self, now: Instant, worker: WorkerId) -> bool {
        let Some(limits) = self.limits else { return false };
        let Some(health) = self.of.get_mut(worker) else { return false };
        match health.standing() {
            Standing::In => self.eject(now, worker, Why::Silent),
            Standing::Probed { .. } => health.eject(now, Why::Silent, &limits),
            Standing::Out { .. } => return false,
        }
        self.of.get(worker).is_some_and(|health| !health.is_in())
    }

    /// The request by which a worker is probed. Then that one being overdue is enough.
    pub(super) fn probe(&self, worker: WorkerId) -> Option<RequestId> {
        if self.out == 0 {
            return None;
        }
        self.of.get(worker).and_then(Health::probe).map(|(by, _)| by)
    }

    /// Takes a worker out, unless too many of its role are out already.
    fn eject(&mut self, now: Instant, id: WorkerId, why: Why) {
        let Some(limits) = self.limits else { return };
        let Some(role) = self.of.get(id).map(|health| health.role) else { return };
        let alike = || self.of.values().filter(move |other| other.present && other.role == role);
        let (size, out) = (alike().count(), alike().filter(|other| !other.is_in()).count());
        if (out + 1) as f64 > limits.most_out * size as f64 {
            return;
        }
        if let Some(health) = self.of.get_mut(id) {
            health.eject(now, why, &limits);
        }
        self.count();
    }

    /// Takes a worker out if it is slow beside the others.
    fn judge(&mut self, now: Instant, id: WorkerId, limits: &HealthLimits) {
        let least = self.of.get(id).and_then(|health| health.least_ratio(limits.slow_calls));
        let Some(least) = least else { return };
        // Without another worker to compare with, slow means nothing.
        if self.refresh_typical(limits) >= 2 && least > limits.slow_factor * self.typical {
            self.eject(now, id, Why::Slow);
        }
    }

    /// The median of the workers' ratios, the lower one of two. Returns how many workers have one.
    fn refresh_typical(&mut self, limits: &HealthLimits) -> usize {
        self.since = 0;
        self.ratios.clear();
        let well = self.of.values().filter(|health| health.present && health.is_in());
        self.ratios.extend(well.filter_map(|health| health.least_ratio(limits.slow_calls)));
        let count = self.ratios.len();
        if count > 0 {
            let (_, median, _) =
                self.ratios.select_nth_unstable_by((count - 1) / 2, f64::total_cmp);
            self.typical = median.max(1.0);
        }
        count
    }

    fn count(&mut self) {
        let out = self.of.values().filter(|health| health.present && !health.is_in());
        self.out = out.count() as u32;
    }
}
