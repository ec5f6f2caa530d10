//! The cells of reports that `sim` and `compare` wrote.

use crate::files::{self, bad};
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// All policies at one rate of one report.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The report's file, and the variant where there are several.
    pub report: String,
    pub rate_scale: f64,
    /// By the policy's label, in the report's order.
    pub policies: Vec<(String, Figures)>,
}

/// Means over the seeds of a cell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    pub ttft_mean_s: f64,
    pub ttft_p99_s: f64,
    pub e2e_mean_s: f64,
    pub goodput_per_s: f64,
}

#[derive(Deserialize)]
struct Report {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    policy: Option<String>,
    label: Option<String>,
    variant: Option<String>,
    mode: String,
    rate_scale: f64,
    offered: u64,
    errors: u64,
    ttft_s: Option<Times>,
    e2e_s: Option<Times>,
    goodput_requests_per_s: Option<f64>,
}

#[derive(Deserialize)]
struct Times {
    mean: Option<f64>,
    p99: Option<f64>,
}

/// The cells of a report, none if no two of its policies can be compared. Only simulated whole runs count. A policy that left more than 1 % of the
/// requests of a run without an answer is not in the cell: its latencies cover too few.
pub fn read(path: &Path) -> Result<Vec<Cell>> {
    let text = files::read(path)?;
    let expected = "expected a report that `loadgen sim --json FILE` or `compare` wrote";
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| bad(format!("{}: {error}; {expected}", path.display())))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut cells: Vec<Cell> = Vec::new();
    let mut sums: BTreeMap<(usize, String), Vec<Figures>> = BTreeMap::new();
    for run in report.runs.into_iter().filter(|run| run.mode == "sim") {
        let report = match &run.variant {
            Some(variant) => format!("{name}, {variant}"),
            None => name.clone(),
        };
        let of_cell = |cell: &Cell| cell.report == report && cell.rate_scale == run.rate_scale;
        let at = cells.iter().position(of_cell).unwrap_or_else(|| {
            let (rate_scale, policies) = (run.rate_scale, Vec::new());
            cells.push(Cell { report: report.clone(), rate_scale, policies });
            cells.len() - 1
        });
        if let (Some(label), Some(figures)) = (run.name(), run.figures()) {
            sums.entry((at, label)).or_default().push(figures);
        }
    }
    for ((at, label), runs) in sums {
        cells[at].policies.push((label, Figures::mean(&runs)));
    }
    cells.retain(|cell| cell.policies.len() > 1);
    Ok(cells)
}

impl Run {
    fn name(&self) -> Option<String> {
        self.label.clone().or_else(|| self.policy.clone())
    }

    fn figures(&self) -> Option<Figures> {
        if self.errors.saturating_mul(100) > self.offered {
            return None;
        }
        let (ttft, e2e) = (self.ttft_s.as_ref()?, self.e2e_s.as_ref()?);
        Some(Figures {
            ttft_mean_s: ttft.mean?,
            ttft_p99_s: ttft.p99?,
            e2e_mean_s: e2e.mean?,
            goodput_per_s: self.goodput_requests_per_s?,
        })
    }
}

impl Figures {
    fn mean(runs: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        Self {
            ttft_mean_s: mean(|run| run.ttft_mean_s),
            ttft_p99_s: mean(|run| run.ttft_p99_s),
            e2e_mean_s: mean(|run| run.e2e_mean_s),
            goodput_per_s: mean(|run| run.goodput_per_s),
        }
    }
}
