//! Short notes on runs that show a sign of trouble.

use super::over_seeds::over_seeds;
use crate::figures::{RunReport, Sign};

/// A line for each policy and sign, with the figures of its first run.
pub fn signs(runs: &[RunReport]) -> Vec<String> {
    let shows = over_seeds(runs.iter().filter(|run| !run.signs.is_empty()));
    shows.iter().flat_map(|alike| alike[0].signs.iter().map(|sign| line(alike[0], sign))).collect()
}

fn line(run: &RunReport, sign: &Sign) -> String {
    let who = format!("{} {}", run.label(), run.mode.name());
    match *sign {
        Sign::Thrash { evictions_per_request, working_set_over_memory } => format!(
            "{who} thrashes: {evictions_per_request:.0} blocks are evicted for each request, and \
             between two turns of a session {working_set_over_memory:.1} times the workers' memory for \
             KV is written. More memory, or a tier behind HBM, would keep the sessions' blocks."
        ),
        Sign::Packed { max_over_mean, workers } => format!(
            "{who} packs: the busiest worker computes {max_over_mean:.1} times the mean of all \
             {workers}; {workers} would mean that it does everything."
        ),
    }
}
