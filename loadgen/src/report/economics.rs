//! Energy and cost as a table.

use super::layout::{align, plain, trimmed};
use super::numbers::amount;
use crate::economics::Economics;
use crate::figures::RunReport;

/// One row per run that has prices, and one per part of it if there are several parts.
pub fn render(runs: &[RunReport]) -> String {
    let mut table = plain(&[
        "energy and cost",
        "mode",
        "rate",
        "workers",
        "busy %",
        "kWh",
        "idle",
        "USD",
        "idle",
        "USD/M served",
        "output",
        "kWh/M served",
    ]);
    let mut any = false;
    for run in runs {
        let Some(economics) = &run.economics else { continue };
        any = true;
        rows(run, economics).into_iter().for_each(|row| {
            table.add_row(row);
        });
    }
    if !any {
        return String::new();
    }
    align(&mut table, 3);
    format!(
        "{}Per million tokens: of all that was served, prompts (computed or reused) and answers; of answers \
         alone. Idle time is part of it. A dash: no price or power is known.\n",
        trimmed(&table)
    )
}

fn rows(run: &RunReport, economics: &Economics) -> Vec<[String; 12]> {
    let Economics { parts, total, usd_per_m, kwh_per_m, .. } = economics;
    let workers: u32 = parts.iter().filter(|part| part.rates.is_some()).map(|p| p.count).sum();
    let (busy_s, idle) = parts.iter().fold((0.0, [0.0; 2]), |(busy, [kwh, usd]), part| {
        (busy + part.busy.worker_s, [kwh + part.idle.kwh, usd + part.idle.usd])
    });
    let percent = |busy: f64, all: f64| if all > 0.0 { busy / all * 100.0 } else { 0.0 };
    let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), amount);
    let mut rows = vec![[
        run.label(),
        run.mode.name().to_owned(),
        run.rate_scale.to_string(),
        workers.to_string(),
        format!("{:.1}", percent(busy_s, total.worker_s)),
        amount(total.kwh),
        amount(idle[0]),
        amount(total.usd),
        amount(idle[1]),
        known(usd_per_m.served),
        known(usd_per_m.output),
        known(kwh_per_m.served),
    ]];
    for part in parts.iter().filter(|_| parts.len() > 1) {
        let all = part.busy.plus(part.idle);
        rows.push([
            format!("  of it {}", part.name),
            String::new(),
            String::new(),
            part.rates.map_or_else(String::new, |_| part.count.to_string()),
            part.rates.map_or_else(String::new, |_| {
                format!("{:.1}", percent(part.busy.worker_s, all.worker_s))
            }),
            amount(all.kwh),
            amount(part.idle.kwh),
            amount(all.usd),
            amount(part.idle.usd),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    rows
}
