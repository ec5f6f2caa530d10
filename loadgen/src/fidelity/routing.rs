//! llm-d's 73-capacity run, played as its scenario says and held against the published figures.

use super::reference::RoutingRow;
use crate::args::What;
use crate::figures::RunReport;
use crate::play::{Cell, RunOptions, kv_room, parallel, scope, simulate};
use crate::setup::Setup;
use anyhow::Result;
use clap::Parser;
use serde::Serialize;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Style, Value};

const SCENARIO: &str = include_str!("../../../deploy/scenarios/llm-d-73-capacity.toml");
const BENCH: &str = "73-capacity";
/// A policy of the scenario, and the published one that it stands for.
const POLICIES: [(&str, &str); 4] = [
    ("precise", "precise-scheduling"),
    ("estimated", "estimated-scheduling"),
    ("load", "load-scheduling"),
    ("random", "random-scheduling"),
];
/// The policy that ratios are over.
const OVER: &str = "random";
const ROOMS: &str = "The same with other room for KV";

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    what: What,
}

/// The run, modelled and published.
#[derive(Clone, Debug, Serialize)]
pub struct Routing {
    /// Published answer tokens a second over generated ones: the mean of the policies.
    reading: f64,
    policies: Vec<Line>,
    rooms: Vec<InRoom>,
}

/// What one policy did, and what was published of it.
#[derive(Clone, Debug, Serialize)]
struct Line {
    policy: String,
    published: RoutingRow,
    /// Published answer tokens a second at the lowest rate, over those of the model.
    reading: f64,
    output_tokens_per_s: f64,
    ttft_p90_s: f64,
}

/// What a policy did with a multiple of the workers' room for KV.
#[derive(Clone, Debug, Serialize)]
struct InRoom {
    policy: String,
    kv_room: f64,
    output_tokens_per_s: f64,
    ttft_p90_s: f64,
}

/// Plays the run. None: the folder has no figures of it.
pub fn evaluate(rows: &[RoutingRow]) -> Result<Option<Routing>> {
    if !rows.iter().any(|row| row.bench == BENCH) {
        return Ok(None);
    }
    let flags = Flags::try_parse_from(["fidelity"]).expect("no flag is required");
    let setup = Setup::resolve_on(&flags.what, "built-in 73-capacity scenario", SCENARIO)?;
    let mut cells = Vec::new();
    for policy in &setup.policies {
        cells.extend([0.9, 1.0, 1.1].map(|room| (policy, room)));
    }
    let played = parallel::map(&cells, |&(policy, room)| play(&setup, policy, room));
    let played = played.into_iter().collect::<Result<Vec<RunReport>>>()?;
    let (mut policies, mut rooms) = (Vec::new(), Vec::new());
    for (&(policy, kv_room), run) in cells.iter().zip(&played) {
        let stages = run.stages.as_ref().expect("the workload has stages");
        let mean = stages.mean.expect("a stage counts");
        let output_tokens_per_s = mean.output_tokens_per_s;
        let ttft_p90_s = mean.ttft_p90_s.expect("a stage that counts has answers");
        let policy = policy.label.clone();
        rooms.push(InRoom { policy: policy.clone(), kv_room, output_tokens_per_s, ttft_p90_s });
        if kv_room != 1.0 {
            continue;
        }
        let counted = stages.each.iter().filter(|stage| stage.counted);
        let lowest = counted.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        let lowest = lowest.expect("a stage counts");
        let theirs = POLICIES.iter().find(|(own, _)| *own == policy).map(|&(_, theirs)| theirs);
        let of_policy =
            |row: &&RoutingRow| row.bench == BENCH && Some(row.policy.as_str()) == theirs;
        let rows = || rows.iter().filter(of_policy);
        let published = rows().find(|row| row.qps == "all");
        let at_lowest = rows().find(|row| row.qps.parse() == Ok(lowest.rate_per_s));
        let Some((published, at_lowest)) = published.zip(at_lowest) else { continue };
        let generated = lowest.figures.throughput.output_tokens_per_s;
        let reading = at_lowest.output_tok_s / generated;
        let published = published.clone();
        policies.push(Line { policy, published, reading, output_tokens_per_s, ttft_p90_s });
    }
    if policies.is_empty() {
        return Ok(None);
    }
    let all: f64 = policies.iter().map(|line| line.reading).sum();
    Ok(Some(Routing { reading: all / policies.len() as f64, policies, rooms }))
}

fn play(setup: &Setup, policy: &NamedPolicy, room: f64) -> Result<RunReport> {
    let setup = &kv_room::with(setup, room).unwrap_or_else(|| setup.clone());
    let options = &RunOptions::default();
    let cell = Cell { policy, rate_scale: 1.0, seed: setup.seed, limit: None, options };
    simulate(setup, &setup.source.prepare(&scope(setup)), cell, None, &mut |_| ())
}

/// The tables, and what to know about them.
pub fn show(page: &mut Page, routing: &Routing) {
    page.sheet(compared(&routing.policies, routing.reading));
    let form = Form::new(room_columns());
    let mut sheet = form.sheet(ROOMS);
    routing.rooms.iter().for_each(|row| sheet.push(form.row(row)));
    page.sheet(sheet.labels(2));
    let readings = || routing.policies.iter().map(|line| line.reading);
    page.prose([
        "73-capacity: figures are plain means of the stages, as in the published summary.".to_owned(),
        format!(
            "Published throughput counts the text tokenised again, which reads less than what was \
             generated. The model's is multiplied by {:.2} ({:.2} to {:.2} by policy): published \
             over modelled at the lowest rate. In that stage the last answers take about as long as \
             the sending, so an error of the time per token is in this factor too.",
            routing.reading,
            readings().fold(f64::INFINITY, f64::min),
            readings().fold(0.0, f64::max),
        ),
    ]);
}

/// The tables without rows.
pub fn blanks() -> [Sheet; 2] {
    [compared(&[], 1.0), Form::new(room_columns()).sheet(ROOMS)]
}

fn compared(lines: &[Line], reading: f64) -> Sheet {
    let over = lines.iter().find(|line| line.policy == OVER);
    let published = over.map(|line| line.published.output_tok_s);
    let modelled = over.map(|line| line.output_tokens_per_s);
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
            .of(|line: &Line| line.output_tokens_per_s),
        number("rescaled", "rescaled", tokens, "Generated, counted as the published figure is.")
            .under("out tok/s")
            .format(Format::digits(0))
            .of(move |line: &Line| line.output_tokens_per_s * reading),
        number("error_percent", "error", "%", "Rescaled against published.")
            .under("out tok/s")
            .format(Format::of(Style::Signed(1)).suffix(" %"))
            .of(move |line: &Line| {
                (line.output_tokens_per_s * reading / line.published.output_tok_s - 1.0) * 100.0
            }),
        number("ratio_published", "published", "ratio", "Throughput over that of random.")
            .under("over random")
            .format(Format::digits(2))
            .of(move |line: &Line| ratio(line.published.output_tok_s, published)),
        number("ratio_modelled", "modelled", "ratio", "The same of the model.")
            .under("over random")
            .format(Format::digits(2))
            .of(move |line: &Line| ratio(line.output_tokens_per_s, modelled)),
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
        Column::text("policy", "policy", "The policy.").of(|row: &InRoom| row.policy.clone()),
        Column::number("kv_room_change", "KV room", "%", room)
            .format(Format::of(Style::Signed(0)).suffix(" %"))
            .of(|row: &InRoom| (row.kv_room - 1.0) * 100.0),
        Column::number("generated", "out tok/s", "tokens/s", "Answer tokens a second.")
            .format(Format::digits(0))
            .of(|row: &InRoom| row.output_tokens_per_s),
        Column::number("ttft_p90_s", "TTFT p90 s", "s", "p90 of TTFT.")
            .format(Format::digits(2))
            .of(|row: &InRoom| row.ttft_p90_s),
    ]
}
