//! The classes of a mixed workload as a table.

use super::layout::{align, plain, trimmed};
use crate::figures::RunReport;

/// One row per class of each run. Empty if there are no classes.
pub fn render(runs: &[RunReport]) -> String {
    let mut table = plain(&[
        "class",
        "policy",
        "mode",
        "rate",
        "requests",
        "on devices %",
        "hit %",
        "TTFT s mean",
        "p90",
        "TPOT ms",
        "in SLO %",
    ]);
    if runs.iter().all(|run| run.classes.is_empty()) {
        return String::new();
    }
    for run in runs {
        for class in &run.classes {
            let on_devices = class.on_devices as f64 / class.requests.max(1) as f64;
            table.add_row([
                class.name.clone(),
                run.label(),
                run.mode.name().to_owned(),
                run.rate_scale.to_string(),
                class.requests.to_string(),
                format!("{:.1}", on_devices * 100.0),
                format!("{:.1}", class.hit_rate * 100.0),
                format!("{:.3}", class.ttft_s.mean),
                format!("{:.3}", class.ttft_s.p90),
                format!("{:.1}", class.tpot_mean_s * 1e3),
                format!("{:.1}", class.within_slo * 100.0),
            ]);
        }
    }
    align(&mut table, 3);
    trimmed(&table)
}
