//! A router that runs elsewhere, and what the workers behind it counted.

use serde::Serialize;

/// The largest difference between the hit rate that clients see and the one that workers count, in points.
const POINTS_APART: f64 = 1.0;

/// A router that ran elsewhere. The figures beside these are what clients saw.
#[derive(Clone, Debug, Serialize)]
pub struct TargetFigures {
    pub name: String,
    pub address: String,
    /// Requests that workers ended. More than were sent: the router tried some again.
    pub worker_requests: u64,
    /// Prompt tokens as the workers counted them, and those of them that were cached.
    pub worker_prompt_tokens: u64,
    pub worker_cached_tokens: u64,
    /// The hit rate by these. None: there was no prompt.
    pub worker_hit_rate: Option<f64>,
    /// Prompt tokens that each worker computed.
    pub computed_by_worker: Vec<u64>,
}

impl TargetFigures {
    /// A reason if workers and clients do not agree about the hit rate. `seen`: the clients'.
    pub fn apart(&self, seen: Option<f64>) -> Option<String> {
        let (seen, counted) = seen.zip(self.worker_hit_rate)?;
        let points = (seen - counted) * 100.0;
        (points.abs() > POINTS_APART).then(|| {
            format!(
                "the hit rate is {:.1} % as clients see it and {:.1} % as the workers count, more than \
                 {POINTS_APART} point apart",
                seen * 100.0,
                counted * 100.0
            )
        })
    }

    /// Tokens that the busiest worker computed divided by the mean. None: nothing was computed.
    pub fn balance(&self) -> Option<f64> {
        let most = *self.computed_by_worker.iter().max()?;
        let all: u64 = self.computed_by_worker.iter().sum();
        (all > 0).then(|| most as f64 * self.computed_by_worker.len() as f64 / all as f64)
    }

    /// Workers that computed anything.
    pub fn workers(&self) -> u32 {
        self.computed_by_worker.iter().filter(|&&computed| computed > 0).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_workers_must_agree_within_a_point() {
        let target = TargetFigures {
            name: "one".to_owned(),
            address: "http://r".to_owned(),
            worker_requests: 3,
            worker_prompt_tokens: 1_000,
            worker_cached_tokens: 400,
            worker_hit_rate: Some(0.4),
            computed_by_worker: vec![400, 0, 200],
        };
        assert_eq!(target.apart(Some(0.409)), None);
        let why = target.apart(Some(0.38)).unwrap();
        assert!(why.contains("38.0 % as clients see it and 40.0 %"), "{why}");
        assert_eq!((target.balance(), target.workers()), (Some(2.0), 2));
        let idle = TargetFigures { computed_by_worker: vec![0, 0], ..target };
        assert_eq!((idle.balance(), idle.workers()), (None, 0));
    }
}
