//! What policies are ranked by.

use super::parts::Part;
use warmpath_core::report::Figures;

/// A figure that policies are ranked by.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// None: the run has no such figure.
    pub figure: fn(&Figures) -> Option<f64>,
    /// The same of a part of a run, as a sum over its requests.
    pub part: fn(&Part) -> f64,
    /// Whether a lower figure is better.
    pub lower: bool,
    /// Whether it is a latency: then it covers answered requests only.
    pub is_latency: bool,
}

pub const TTFT: Goal = Goal {
    figure: |figures| Some(figures.ttft_s?.mean),
    part: |part| part.ttft_s,
    lower: true,
    is_latency: true,
};
pub const E2E: Goal = Goal {
    figure: |figures| Some(figures.e2e_s?.mean),
    part: |part| part.e2e_s,
    lower: true,
    is_latency: true,
};
pub const GOODPUT: Goal = Goal {
    figure: |figures| Some(figures.goodput_requests_per_s),
    part: |part| part.good,
    lower: false,
    is_latency: false,
};
