//! The part of the report that rests on whole steps, a served run and loads from host memory.

use super::carried::WholeSteps;
use super::layout::{pair, plain, worst};
use super::loading::Loading;
use super::report::Report;
use super::served_run::ServedRun;
use std::fmt::Write;

pub fn render(report: &Report, text: &mut String) {
    *text += "vLLM 0.26 on one H100, measured (deploy/measurements/h100-vllm-0.26)\n\n";
    steps(&report.carried.steps, text);
    served(&report.carried.served, text);
    loading(&report.carried.loading, text);
    if !report.whole.lines.is_empty() {
        *text += "Whole steps of the folder\n\n";
        steps(&report.whole, text);
    }
}

fn steps(steps: &WholeSteps, text: &mut String) {
    *text += "Whole steps, host and launching included: median / p95 error in percent\n\n";
    let header = [
        "device",
        "model",
        "format",
        "tp",
        "phase",
        "rows",
        "error",
        "bias",
        "beyond 5 %",
        "in repeats",
        "worst",
    ];
    let rows = steps.lines.iter().map(|line| {
        vec![
            line.device.clone(),
            line.model.clone(),
            line.precision.to_string(),
            line.tp.to_string(),
            line.phase.clone(),
            line.shipped.rows.to_string(),
            pair(Some(&line.shipped)),
            format!("{:+.1}", line.shipped.bias_percent),
            line.beyond_5_percent.to_string(),
            line.of_them_within_repeats.to_string(),
            worst(&line.shipped),
        ]
    });
    *text += &plain(&header, 5, rows.collect());
    if steps.left_out.is_empty() {
        return;
    }
    *text += "The same, left out of the fit in turn\n\n";
    let header = ["device", "phase", "left out", "rows", "error", "worst"];
    let rows = steps.left_out.iter().map(|one| {
        vec![
            one.device.clone(),
            one.phase.clone(),
            one.by.clone(),
            one.errors.rows.to_string(),
            pair(Some(&one.errors)),
            worst(&one.errors),
        ]
    });
    *text += &plain(&header, 3, rows.collect());
}

fn served(run: &ServedRun, text: &mut String) {
    let _ =
        writeln!(text, "A served run's steps, with the sequences they had ({}):\n", run.profile);
    let header = ["steps", "rows", "error", "bias", "measured s", "model s", "total"];
    let rows = run.kinds.iter().map(|kind| {
        vec![
            kind.steps.clone(),
            kind.errors.rows.to_string(),
            pair(Some(&kind.errors)),
            format!("{:+.1}", kind.errors.bias_percent),
            format!("{:.2}", kind.measured_s),
            format!("{:.2}", kind.model_s),
            format!("{:+.2} %", (kind.model_s / kind.measured_s - 1.0) * 100.0),
        ]
    });
    *text += &plain(&header, 1, rows.collect());
    *text += "The same requests through the engine here, from their arrivals:\n\n";
    let rows = run.figures.iter().map(|figure| {
        let unit = if figure.name.starts_with("hit") { "points" } else { "%" };
        let is_met = figure.error.abs() <= figure.at_most;
        vec![
            figure.name.clone(),
            format!("{:.3}", figure.measured),
            format!("{:.3}", figure.simulated),
            format!("{:+.1} {unit}", figure.error),
            format!("{} {unit}", figure.at_most),
            if is_met { "met".to_owned() } else { "MISSED".to_owned() },
        ]
    });
    let header = ["", "measured", "simulated", "error", "at most", ""];
    *text += &plain(&header, 1, rows.collect());
}

fn loading(rows: &[Loading], text: &mut String) {
    *text += "First token behind a prefix in host memory, and the same computed, in ms:\n\n";
    let header = ["prefix", "from host", "here", "error", "computed", "here", "error"];
    let percent = |here: f64, measured: f64| format!("{:+.1} %", (here / measured - 1.0) * 100.0);
    let rows = rows.iter().map(|row| {
        vec![
            row.prefix_tokens.to_string(),
            format!("{:.1}", row.from_host_ms),
            format!("{:.1}", row.simulated_from_host_ms),
            percent(row.simulated_from_host_ms, row.from_host_ms),
            format!("{:.1}", row.recompute_ms),
            format!("{:.1}", row.simulated_recompute_ms),
            percent(row.simulated_recompute_ms, row.recompute_ms),
        ]
    });
    *text += &plain(&header, 0, rows.collect());
}
