//! The report a person reads.

use crate::fidelity::errors::Errors;
use crate::fidelity::published::Figure;
use crate::fidelity::report::Report;
use crate::fidelity::served::Served;
use crate::fidelity::steps::Phase;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;

/// What the figures are held to: rows, what is compared, and the most that median and p95 may be.
struct Gate<'a> {
    what: String,
    errors: Option<&'a Errors>,
    median: f64,
    p95: f64,
}

pub fn render(report: &Report) -> String {
    let mut text = String::new();
    steps(report, &mut text);
    served(report, &mut text);
    let published = &report.published;
    figures("Decode fits that vLLM published", &published.decode_anchors, &mut text);
    if let Some(errors) = &published.kv_transfer_errors {
        let _ = writeln!(
            text,
            "KV transfers over the links of deploy/profiles/links.toml: {}\n",
            line(errors)
        );
    }
    figures(
        "Rates on a laptop (unvalidated: constants taken from such rates)",
        &published.on_device,
        &mut text,
    );
    if let Some(errors) = &published.recompute_errors {
        let _ = writeln!(
            text,
            "Times to compute a prompt, against the formulas' authors' own constants: {}\n",
            line(errors)
        );
    }
    notes(report, &mut text);
    gates(report, &mut text);
    text
}

fn plain(header: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_row(header);
    for row in rows {
        table.add_row(row);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if i >= left && i + 1 < header.len() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n\n"
}

fn pair(errors: Option<&Errors>) -> String {
    errors.map_or_else(String::new, |one| {
        format!("{:.1} / {:.1}", one.median_percent, one.p95_percent)
    })
}

fn worst(errors: &Errors) -> String {
    format!("{:+.0} % {}", errors.worst_percent, errors.worst)
}

fn line(errors: &Errors) -> String {
    format!(
        "{} rows, median error {:.1} %, p95 {:.1} %; worst {}",
        errors.rows,
        errors.median_percent,
        errors.p95_percent,
        worst(errors)
    )
}

fn steps(report: &Report, text: &mut String) {
    let steps = &report.steps;
    if steps.groups.is_empty() {
        return;
    }
    *text += "Engine steps, kernels alone: median / p95 error in percent\n\n";
    let header = [
        "device",
        "precision",
        "model",
        "phase",
        "rows",
        "shipped",
        "fitted",
        "left out",
        "worst, shipped",
    ];
    for (provenance, what) in [
        ("composed_in_grid", "put together from measured kernels"),
        ("measured", "measured"),
        ("", "measured (no provenance given)"),
        ("composed_extrapolated", "put together, kernels extrapolated"),
        ("modelled_prefix", "another model's prefill behind a cached prefix (never measured)"),
        ("modelled_mixed", "another model's mixed steps"),
    ] {
        let groups = steps.groups.iter().filter(|group| group.provenance == provenance);
        let rows: Vec<Vec<String>> = groups
            .map(|group| {
                vec![
                    group.device.clone(),
                    group.precision.to_string(),
                    group.model.clone(),
                    group.phase.clone(),
                    group.shipped.rows.to_string(),
                    pair(Some(&group.shipped)),
                    pair(Some(&group.fitted)),
                    pair(group.left_out.as_ref()),
                    worst(&group.shipped),
                ]
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{what}:");
        *text += &plain(&header, 4, rows);
        for total in steps.totals.iter().filter(|total| total.provenance == provenance) {
            let Phase { phase, shipped, fitted, left_out, .. } = total;
            let _ = writeln!(
                text,
                "all {phase}: {} rows; shipped {}, fitted to these rows {}, with the model left out {}",
                shipped.rows,
                pair(Some(shipped)),
                pair(Some(fitted)),
                left_out.as_ref().map_or("-".to_owned(), |one| pair(Some(one))),
            );
        }
        *text += "\n";
    }
}

fn served(report: &Report, text: &mut String) {
    let served = &report.served;
    if served.lines.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "Served systems, run through the engine in a closed loop: median / p95 error in percent\n\
         ({}).\nThe constants are vLLM's: other engines are for comparison.\n",
        served.assumed
    );
    let header = [
        "source",
        "engine",
        "device",
        "model",
        "precision",
        "rows",
        "TPOT",
        "bias",
        "TTFT",
        "bias",
        "worst TPOT",
    ];
    let bias = |errors: &Option<Errors>| {
        errors.as_ref().map_or_else(String::new, |one| format!("{:+.0}", one.bias_percent))
    };
    let rows = served.lines.iter().map(|served: &Served| {
        vec![
            served.source.clone(),
            served.engine.clone(),
            served.device.clone(),
            served.model.clone(),
            served.precision.to_string(),
            served.tpot.as_ref().map_or(0, |one| one.rows).to_string(),
            pair(served.tpot.as_ref()),
            bias(&served.tpot),
            pair(served.ttft.as_ref()),
            bias(&served.ttft),
            served.tpot.as_ref().map(worst).unwrap_or_default(),
        ]
    });
    *text += &plain(&header, 5, rows.collect());
    for (what, errors) in [
        ("vLLM (InferenceX), concurrency 4 to 64, TPOT", &served.vllm_tpot),
        ("the same, TTFT", &served.vllm_ttft),
        ("the same, TTFT at concurrency 4", &served.vllm_ttft_at_4),
        ("vLLM beyond 64 (server limits not recorded), TPOT", &served.vllm_tpot_beyond_64),
    ] {
        if let Some(errors) = errors {
            let _ = writeln!(text, "{what}: {}", line(errors));
        }
    }
    *text += "\n";
}

fn figures(title: &str, figures: &[Figure], text: &mut String) {
    if figures.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}:");
    let rows = figures.iter().map(|figure| {
        vec![
            figure.name.clone(),
            format!("{:.4}", figure.published),
            format!("{:.4}", figure.modelled),
            figure.unit.to_owned(),
            format!("{:+.1} %", figure.error_percent),
        ]
    });
    *text += &plain(&["", "published", "modelled", "", "error"], 1, rows.collect());
}

fn notes(report: &Report, text: &mut String) {
    let steps = &report.steps;
    let mut note = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    if !steps.groups.is_empty() {
        note(format!("Suspect rows left out: {}.", steps.suspect_rows_left_out));
    }
    if !steps.one_model_only.is_empty() {
        note(format!(
            "One model only, so none can be left out: {}.",
            steps.one_model_only.join(", ")
        ));
    }
    for (engine, rows) in &steps.other_engines {
        note(format!("Steps of {engine}, which these constants are not for: {rows} rows."));
    }
    for (what, rows) in &report.unknown {
        note(format!("Not known here: {what}, {rows} rows."));
    }
    for (why, rows) in &report.served.left_out {
        note(format!("Served systems not run: {why}, {rows} rows."));
    }
    for what in &report.published.left_out {
        note(format!("Not compared: {what}."));
    }
    text.push('\n');
}

fn gates(report: &Report, text: &mut String) {
    let mut gates = Vec::new();
    for total in report.steps.totals.iter().filter(|total| total.provenance == "composed_in_grid") {
        let phase = &total.phase;
        let mut gate = |what: &str, errors, median, p95| {
            gates.push(Gate { what: format!("{phase} steps, {what}"), errors, median, p95 });
        };
        gate("constants as shipped", Some(&total.shipped), 5.0, 20.0);
        gate("constants fitted here (in-sample)", Some(&total.fitted), 5.0, 20.0);
        gate("model left out", total.left_out.as_ref(), 10.0, 45.0);
    }
    let tpot = report.served.vllm_tpot.as_ref();
    let what = "served TPOT, vLLM, concurrency 4 to 64".to_owned();
    gates.push(Gate { what, errors: tpot, median: 8.0, p95: 30.0 });
    let tpot = report.served.vllm_tpot_all.as_ref();
    let what = "the same, beyond 64 too (the servers' limits are not recorded)".to_owned();
    gates.push(Gate { what, errors: tpot, median: 8.0, p95: 30.0 });
    let anchors = report.published.decode_anchor_errors.as_ref();
    gates.push(Gate { what: "decode anchors".into(), errors: anchors, median: 15.0, p95: 15.0 });
    let transfers = report.published.kv_transfer_errors.as_ref();
    gates.push(Gate { what: "KV transfers".into(), errors: transfers, median: 20.0, p95: 20.0 });
    let rows: Vec<Vec<String>> = gates
        .iter()
        .filter_map(|gate| {
            let errors = gate.errors?;
            let is_met = errors.median_percent <= gate.median && errors.p95_percent <= gate.p95;
            Some(vec![
                gate.what.clone(),
                errors.rows.to_string(),
                pair(Some(errors)),
                format!("{} / {}", gate.median, gate.p95),
                if is_met { "met".into() } else { "MISSED".to_owned() },
            ])
        })
        .collect();
    if !rows.is_empty() {
        *text += &plain(&["", "rows", "median / p95 %", "at most", ""], 1, rows);
    }
}
