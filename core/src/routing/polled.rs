//! A worker's load as a router sees it that polls. A real router reads the load of its workers at a
//! fixed interval, not at each change, so what it decides by may be old.

use crate::event::LoadReport;
use crate::time::{Duration, Instant};

/// The reports of one worker. Polls happen at the multiples of an interval. A report that came after
/// the last poll is not visible yet.
#[derive(Default, Debug)]
pub struct Polled {
    latest: Option<(Instant, LoadReport)>,
    /// The last report that came before the poll before `latest`.
    before: Option<(Instant, LoadReport)>,
}

impl Polled {
    /// Takes a report.
    pub fn take(&mut self, poll: Option<Duration>, now: Instant, report: LoadReport) {
        let latest = self.latest.replace((now, report));
        let is_visible = |at: Instant| poll.is_none_or(|poll| at <= last_poll(poll, now));
        if latest.as_ref().is_some_and(|(at, _)| is_visible(*at)) {
            self.before = latest;
        }
    }

    /// The last report, polled or not, and when it came.
    pub fn latest(&self) -> Option<(Instant, &LoadReport)> {
        self.latest.as_ref().map(|(at, report)| (*at, report))
    }

    /// The last report that came before the last poll, and when it came.
    pub fn read(&self, poll: Option<Duration>, now: Instant) -> Option<(Instant, &LoadReport)> {
        let polled = poll.map_or(now, |poll| last_poll(poll, now));
        let visible = |seen: &&(Instant, LoadReport)| seen.0 <= polled;
        let seen = self.latest.as_ref().filter(visible).or(self.before.as_ref())?;
        Some((seen.0, &seen.1))
    }
}

fn last_poll(poll: Duration, now: Instant) -> Instant {
    let interval = poll.as_nanos().max(1);
    Instant::from_nanos(now.as_nanos() / interval * interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MAX_TIERS, WorkerId};

    fn report(waiting: u32) -> LoadReport {
        LoadReport {
            worker: WorkerId(0),
            epoch: 1,
            seq: 0,
            waiting,
            running: 0,
            queued_prefill_tokens: 0,
            blocks_by_tier: [0; MAX_TIERS],
            blocks_in_use: 0,
            digest: None,
        }
    }

    #[test]
    fn a_report_is_visible_from_the_next_poll_on() {
        let (at, poll) = (Instant::from_nanos, Some(Duration::from_nanos(10)));
        let mut polled = Polled::default();
        let seen = |polled: &Polled, now| polled.read(poll, at(now)).map(|(_, load)| load.waiting);
        polled.take(poll, at(3), report(1));
        assert_eq!(seen(&polled, 9), None, "no poll since");
        assert_eq!(seen(&polled, 10), Some(1));
        polled.take(poll, at(12), report(2));
        polled.take(poll, at(14), report(3));
        assert_eq!((seen(&polled, 19), seen(&polled, 20)), (Some(1), Some(3)));
        polled.take(poll, at(55), report(4));
        assert_eq!((seen(&polled, 59), seen(&polled, 60)), (Some(3), Some(4)));
        assert_eq!(polled.read(None, at(55)).unwrap().1.waiting, 4, "read as it comes");
    }
}
