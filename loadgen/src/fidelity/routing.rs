//! llm-d's 73-capacity run, played as its scenario says and held against the published figures.

use super::reference::read_csv;
use crate::args::What;
use crate::figures::RunReport;
use crate::play::{Cell, RunOptions, kv_room, parallel, scope, simulate};
use crate::report::Screen;
use crate::setup::Setup;
use anyhow::Result;
use clap::Parser;
use serde::Deserialize;
use std::path::Path;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Style, Value};

const SCENARIO: &str = include_str!("../../../deploy/scenarios/llm-d-73-capacity.toml");
const BENCH: &str = "73-capacity";
/// A policy here, and the published one that it stands for.
const POLICIES: [(&str, &str); 3] = [
    ("kv-aware", "precise-scheduling"),
    ("least-loaded", "load-scheduling"),
    ("random", "random-scheduling"),
];
/// The policy that ratios are over.
const OVER: &str = "random";

/// A published stage of one policy, or the mean of its stages.
#[derive(Clone, Debug, Deserialize)]
struct Row {
    bench: String,
    /// The rate, or "all".
    qps: String,
    policy: String,
    output_tok_s: f64,
    ttft_p90_s: f64,
}

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    what: What,
}

/// What one policy did, and what was published of it.
#[derive(Clone, Debug)]
struct Line {
    policy: String,
    published: Row,
    /// Published answer tokens a second at the lowest rate, over those of the model.
    reading: f64,
    output_tok_s: f64,
    ttft_p90_s: f64,
}

/// What a policy did with another room for KV.
type InRoom = (String, f64, f64, f64);

/// Plays the run if the folder has its published figures, and prints both.
pub fn run(reference: &Path, screen: Screen) -> Result<()> {
    let path = reference.join("routing_capacity.csv");
    if !path.exists() {
        return Ok(());
    }
    let rows: Vec<Row> = read_csv(&path)?;
    let flags = Flags::try_parse_from(["fidelity"]).expect("no flag is required");
    let setup = Setup::resolve_on(&flags.what, "built-in 73-capacity scenario", SCENARIO)?;
    let mut cells = Vec::new();
    for policy in &setup.policies {
        cells.extend([1.0, 0.9, 1.1].map(|room| (policy, room)));
    }
    let played = parallel::map(&cells, |&(policy, room)| play(&setup, policy, room));
    let played = played.into_iter().collect::<Result<Vec<RunReport>>>()?;
    let (mut lines, mut rooms) = (Vec::new(), Vec::new());
    for ((policy, room), run) in cells.iter().zip(&played) {
        let name = policy.label.clone();
        let stages = run.stages.as_ref().and_then(|stages| Some((stages.mean?, stages)));
        let (mean, stages) = stages.expect("the workload has stages");
        rooms.push((name.clone(), *room, mean.output_tokens_per_s, mean.ttft_p90_s));
        let lowest = stages.each.iter().filter(|stage| stage.counted);
        let lowest = lowest.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        let lowest = lowest.expect("a stage counts");
        let found = |rate: &dyn Fn(&str) -> bool| {
            let theirs = POLICIES.iter().find(|(own, _)| *own == name)?.1;
            let is_it = |row: &&Row| row.bench == BENCH && row.policy == theirs && rate(&row.qps);
            rows.iter().find(is_it)
        };
        let at_lowest = found(&|qps| qps.parse() == Ok(lowest.rate_per_s));
        let (Some(all), Some(at_lowest), 1.0) = (found(&|qps| qps == "all"), at_lowest, *room)
        else {
            continue;
        };
        lines.push(Line {
            policy: name,
            published: all.clone(),
            reading: at_lowest.output_tok_s / lowest.figures.throughput.output_tokens_per_s,
            output_tok_s: mean.output_tokens_per_s,
            ttft_p90_s: mean.ttft_p90_s,
        });
    }
    screen.show(&page(lines, rooms));
    Ok(())
}

fn play(setup: &Setup, policy: &NamedPolicy, room: f64) -> Result<RunReport> {
    let setup = &kv_room::with(setup, room).unwrap_or_else(|| setup.clone());
    let options = &RunOptions::default();
    let cell = Cell { policy, rate_scale: 1.0, seed: setup.seed, limit: None, options };
    simulate(setup, &setup.source.prepare(&scope(setup)), cell, None, &mut |_| ())
}

fn page(lines: Vec<Line>, rooms: Vec<InRoom>) -> Page {
    let mut page = Page::default();
    let reading = lines.iter().map(|line| line.reading).sum::<f64>() / lines.len().max(1) as f64;
    page.sheet(compared(&lines, reading));
    let mut sheet = Form::new(room_columns()).sheet("The same with other room for KV");
    let form = Form::new(room_columns());
    rooms.iter().for_each(|row| sheet.push(form.row(row)));
    page.sheet(sheet.labels(2));
    page.prose([
        "Figures are plain means of the stages, as in the published summary.".to_owned(),
        format!(
            "Published throughput counts the text tokenised again, which reads less than what was \
             generated. The model's is multiplied by {reading:.2}: published over modelled at the \
             lowest rate, where speed hardly matters."
        ),
        "The durations of the stages are assumed: they were not published.".to_owned(),
    ]);
    page
}

fn compared(lines: &[Line], reading: f64) -> Sheet {
    let over = lines.iter().find(|line| line.policy == OVER);
    let published = over.map(|line| line.published.output_tok_s);
    let modelled = over.map(|line| line.output_tok_s);
    let ratio = |own: f64, over: Option<f64>| Value::or_blank(over.map(|over| own / over));
    let tokens = "tokens/s";
    let number = |key, heading, unit, meaning| Column::number(key, heading, unit, meaning);
    let form: Form<'_, Line> = Form::new([
        Column::text("policy", "policy", "The policy here.").of(|line: &Line| line.policy.clone()),
        Column::text("as", "as", "The published one that it stands for.")
            .of(|line: &Line| line.published.policy.clone()),
        number("published", "published", tokens, "Published answer tokens a second.")
            .under("out tok/s")
            .format(Format::digits(0))
            .of(|line: &Line| line.published.output_tok_s),
        number("generated", "generated", tokens, "Answer tokens a second of the model.")
            .under("out tok/s")
            .format(Format::digits(0))
            .of(|line: &Line| line.output_tok_s),
        number("rescaled", "rescaled", tokens, "Generated, counted as the published figure is.")
            .under("out tok/s")
            .format(Format::digits(0))
            .of(move |line: &Line| line.output_tok_s * reading),
        number("error_percent", "error", "%", "Rescaled against published.")
            .under("out tok/s")
            .format(Format::of(Style::Signed(1)).suffix(" %"))
            .of(move |line: &Line| {
                (line.output_tok_s * reading / line.published.output_tok_s - 1.0) * 100.0
            }),
        number("ratio_published", "published", "ratio", "Throughput over that of random.")
            .under("over random")
            .format(Format::digits(2))
            .of(move |line: &Line| ratio(line.published.output_tok_s, published)),
        number("ratio_modelled", "modelled", "ratio", "The same of the model.")
            .under("over random")
            .format(Format::digits(2))
            .of(move |line: &Line| ratio(line.output_tok_s, modelled)),
        number("ttft_p90_published", "published", "s", "Published p90 of TTFT.")
            .under("TTFT p90 s")
            .format(Format::digits(2))
            .of(|line: &Line| line.published.ttft_p90_s),
        number("ttft_p90_modelled", "modelled", "s", "The model's p90 of TTFT.")
            .under("TTFT p90 s")
            .format(Format::digits(2))
            .of(|line: &Line| line.ttft_p90_s),
    ]);
    let mut sheet = form.sheet("llm-d's 73-capacity run, eight pods of two H100");
    lines.iter().for_each(|line| sheet.push(form.row(line)));
    sheet
}

fn room_columns() -> [warmpath_sheet::Field<'static, InRoom>; 4] {
    let room = "The change of each worker's room for KV.";
    [
        Column::text("policy", "policy", "The policy.").of(|row: &InRoom| row.0.clone()),
        Column::number("kv_room_change", "KV room", "%", room)
            .format(Format::of(Style::Signed(0)).suffix(" %"))
            .of(|row: &InRoom| (row.1 - 1.0) * 100.0),
        Column::number("generated", "out tok/s", "tokens/s", "Answer tokens a second.")
            .format(Format::digits(0))
            .of(|row: &InRoom| row.2),
        Column::number("ttft_p90_s", "TTFT p90 s", "s", "p90 of TTFT.")
            .format(Format::digits(2))
            .of(|row: &InRoom| row.3),
    ]
}
