//! The least mean time against schedules in small steps.

use proptest::collection::vec;
use proptest::prelude::*;
use warmpath_bounds::waiting::{Job, least_mean};

fn jobs() -> impl Strategy<Value = Vec<Job>> {
    vec((0..20u32, 1..9u32), 1..7).prop_map(|mut jobs| {
        jobs.sort_unstable();
        let job = |(arrival, work): (u32, u32)| Job { arrival: arrival.into(), work: work.into() };
        jobs.into_iter().map(job).collect()
    })
}

/// The mean of a schedule: each step of time, each worker takes the job that `order` says, one that is there.
fn schedule(jobs: &[Job], workers: u32, mut order: impl FnMut(&[usize]) -> usize) -> f64 {
    let mut left: Vec<f64> = jobs.iter().map(|job| job.work).collect();
    let (mut sum, mut now) = (0.0, 0.0);
    while left.iter().any(|left| *left > 0.0) {
        let mut there: Vec<usize> =
            (0..jobs.len()).filter(|i| left[*i] > 0.0 && jobs[*i].arrival <= now).collect();
        for _ in 0..workers {
            if there.is_empty() {
                break;
            }
            let job = there.remove(order(&there) % there.len());
            left[job] -= 1.0;
            if left[job] <= 0.0 {
                sum += now + 1.0 - jobs[job].arrival;
            }
        }
        now += 1.0;
    }
    sum / jobs.len() as f64
}

proptest! {
    #[test]
    fn no_schedule_passes_the_bound(jobs in jobs(), workers in 1..4u32, picks in vec(any::<usize>(), 60)) {
        let mut picks = picks.into_iter().cycle();
        let mean = schedule(&jobs, workers, |_| picks.next().unwrap_or_default());
        prop_assert!(least_mean(&jobs, workers) <= mean + 1e-9);
    }

    /// All in whole steps, so the best order is a schedule too.
    #[test]
    fn one_worker_reaches_the_bound(jobs in jobs()) {
        let mut left: Vec<f64> = jobs.iter().map(|job| job.work).collect();
        let mean = schedule(&jobs, 1, |there| {
            let (at, job) = there
                .iter()
                .enumerate()
                .min_by(|a, b| left[*a.1].total_cmp(&left[*b.1]))
                .map(|(at, job)| (at, *job))
                .unwrap_or_default();
            left[job] -= 1.0;
            at
        });
        prop_assert!((least_mean(&jobs, 1) - mean).abs() < 1e-9);
    }
}
