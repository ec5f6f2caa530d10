//! A run with another room for KV.

use super::run::RunReport;
use serde::Serialize;

/// Figures at one load with a multiple of the workers' room for KV.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct AtRoom {
    /// The room, divided by the workers' own.
    pub kv_room: f64,
    pub hit_rate: Option<f64>,
    pub ttft_p90_s: Option<f64>,
    pub goodput_requests_per_s: f64,
    pub within_slo: f64,
}

impl AtRoom {
    pub fn of(kv_room: f64, run: &RunReport) -> Self {
        let figures = &run.figures;
        Self {
            kv_room,
            hit_rate: figures.hit_rate,
            ttft_p90_s: figures.ttft_s.map(|ttft| ttft.p90),
            goodput_requests_per_s: figures.goodput_requests_per_s,
            within_slo: figures.within_slo,
        }
    }
}
