//! A bound on the mean time to the first token.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Work that arrives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Job {
    /// In seconds. Jobs are in order of arrival.
    pub arrival: f64,
    /// Seconds of one worker.
    pub work: f64,
}

/// The least mean time in seconds from arrival to end, on `workers` workers. Each works on one job at a time, or on
/// parts of several ones, and a job may be split over all of them.
///
/// It is the larger one of two: no job ends before one worker has done the work of it, and one server that is as fast
/// as all of them, and always takes up the job with the least work left, has the least mean (Schrage 1968).
pub fn least_mean(jobs: &[Job], workers: u32) -> f64 {
    if jobs.is_empty() {
        return 0.0;
    }
    let alone: f64 = jobs.iter().map(|job| job.work).sum();
    alone.max(shortest_first(jobs, workers.into())) / jobs.len() as f64
}

/// The sum of the times from arrival to end on one server of this speed that takes up the job with the least work
/// left, whenever one arrives or ends.
fn shortest_first(jobs: &[Job], speed: f64) -> f64 {
    let mut sum = 0.0;
    let mut now = 0.0_f64;
    // Work left, and when it arrived.
    let mut waiting: BinaryHeap<Reverse<(Seconds, Seconds)>> = BinaryHeap::new();
    let mut next = jobs.iter().peekable();
    loop {
        let until = next.peek().map_or(f64::INFINITY, |job| job.arrival);
        while now < until {
            let Some(Reverse((left, arrival))) = waiting.pop() else { break };
            let end = now + left.0 / speed;
            if end <= until {
                sum += end - arrival.0;
                now = end;
            } else {
                let left = left.0 - (until - now) * speed;
                waiting.push(Reverse((Seconds(left), arrival)));
                now = until;
            }
        }
        let Some(job) = next.next() else { return sum };
        now = now.max(job.arrival);
        waiting.push(Reverse((Seconds(job.work), Seconds(job.arrival))));
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Seconds(f64);

impl Eq for Seconds {}

impl PartialOrd for Seconds {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Seconds {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
