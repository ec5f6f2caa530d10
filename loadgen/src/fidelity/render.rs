//! The report a person reads.

use super::error_columns::line;
use super::report::Report;
use super::{
    gates_sheet, loading_sheet, published_sheet, routing, served_left_out_sheet, served_run_sheet,
    served_sheet, steps_sheet, whole_sheet,
};
use warmpath_sheet::{Page, Sheet};

/// The measurements that are carried, then those of a folder: steps, served systems, published figures, what
/// was left out, and the gates.
pub fn page(report: &Report) -> Page {
    let mut page = Page::default();
    page.prose(["vLLM 0.26 on one H100, measured (deploy/measurements/h100-vllm-0.26)"]);
    let carried = &report.carried;
    whole_sheet::sheets(&carried.steps).into_iter().for_each(|sheet| page.sheet(sheet));
    served_run_sheet::sheets(&carried.served).into_iter().for_each(|sheet| page.sheet(sheet));
    page.sheet(loading_sheet::sheet(&carried.loading));
    if !report.whole.lines.is_empty() {
        page.prose(["Whole steps that were given"]);
        whole_sheet::sheets(&report.whole).into_iter().for_each(|sheet| page.sheet(sheet));
    }
    if !report.steps.groups.is_empty() {
        page.prose(["Engine steps, kernels alone: median/p95 error in percent"]);
        steps_sheet::sheets(&report.steps).into_iter().for_each(|sheet| page.sheet(sheet));
    }
    if !report.served.lines.is_empty() {
        page.prose([
            "Served systems, run through the engine in a closed loop: median/p95 error in percent"
                .to_owned(),
            format!("({}).", report.served.assumed),
            "The constants are vLLM's: other engines are for comparison.".to_owned(),
        ]);
        page.sheet(served_sheet::sheet(&report.served));
        page.sheet(served_left_out_sheet::sheet(&report.served.vllm_left_out));
    }
    let published = &report.published;
    page.sheet(published_sheet::sheet(
        "Decode fits that vLLM published",
        &published.decode_anchors,
    ));
    if let Some(errors) = &published.kv_transfer_errors {
        let links = "KV transfers over the links of deploy/profiles/links.toml";
        page.prose([format!("{links}: {}", line(errors))]);
    }
    let laptop = "Rates on a laptop (unvalidated: constants taken from such rates)";
    page.sheet(published_sheet::sheet(laptop, &published.on_device));
    if let Some(errors) = &published.recompute_errors {
        let formulas = "Times to compute a prompt, against the formulas' authors' own constants";
        page.prose([format!("{formulas}: {}", line(errors))]);
    }
    if let Some(found) = &report.routing {
        routing::show(&mut page, found);
    }
    page.prose(notes(report));
    page.sheet(gates_sheet::sheet(report));
    page
}

/// How many of the limits that errors are held to are kept.
pub fn headline(page: &Page) -> String {
    let verdicts = page.sheets().flat_map(|sheet| {
        let place = sheet.columns().iter().position(|column| column.key == "verdict");
        place.into_iter().flat_map(|place| sheet.rows().map(move |row| &row[place]))
    });
    let verdicts: Vec<bool> = verdicts.map(|verdict| *verdict == "met".into()).collect();
    let met = verdicts.iter().filter(|met| **met).count();
    format!(
        "{met} of {} limits are kept: the most that errors of the timing model may be.",
        verdicts.len()
    )
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    let [steps, left_out] = whole_sheet::blanks();
    let [served_steps, served_run] = served_run_sheet::blanks();
    let [compared, rooms] = routing::blanks();
    vec![
        steps,
        left_out,
        served_steps,
        served_run,
        loading_sheet::blank(),
        steps_sheet::blank(),
        served_sheet::blank(),
        served_left_out_sheet::blank(),
        published_sheet::blank(),
        compared,
        rooms,
        gates_sheet::blank(),
    ]
}

fn notes(report: &Report) -> Vec<String> {
    let steps = &report.steps;
    let mut notes = Vec::new();
    let mut note = |line: String| notes.push(line);
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
    notes
}
