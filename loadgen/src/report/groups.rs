//! The groups of a mixed fleet, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, mean, over_seeds};
use crate::figures::{GroupFigures, GroupWork, KvTransferFigures, LiveKvTransfer, RunReport};
use warmpath_core::event::Role;
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Value};

/// A group of runs that differ in their seed.
struct One<'a> {
    runs: Alike<'a>,
    group: usize,
}

/// A row for each policy, mode, rate and group; none where the fleet is of one kind.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let told = |run: &&RunReport| run.groups.iter().any(|group| group.work.is_some());
    let simulated: Vec<&RunReport> = runs.iter().filter(told).collect();
    let hands_over = simulated.iter().any(|run| kv_transfer(run).is_some());
    let form = form(hands_over);
    let mut sheet = form.sheet("Groups of workers").labels(2);
    for runs in over_seeds(simulated) {
        for group in 0..runs[0].groups.len() {
            sheet.push(form.row(&One { runs: runs.clone(), group }));
        }
    }
    if hands_over {
        sheet.note(
            "Handed: KV to workers that answer, over links that were busy so long; waited: for it.",
        );
    }
    runs.iter().filter_map(live).for_each(|line| sheet.note(line));
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form(true).sheet("Groups of workers")
}

fn form<'a>(hands_over: bool) -> Form<'static, One<'a>> {
    let number = Column::number;
    let group = "The group, and its role where its workers do only a part of a request.";
    let whole = Format::digits(0);
    let fields = vec![
        Column::text("group", "group", group).of(One::name),
        columns::label().of(|one: &One<'_>| one.first().label()),
        columns::mode().of(|one: &One<'_>| one.first().mode.name()),
        columns::rate().of(|one: &One<'_>| one.first().rate_scale),
        number("workers", "workers", "workers", "Workers in the group.")
            .of(|one: &One<'_>| one.figures(one.first()).workers),
        columns::percent("utilisation", "busy %", "Share of the time in which a worker computed.")
            .of(|one: &One<'_>| one.mean(|work| work.utilisation)),
        number(
            "prefill_tokens",
            "prefill tokens",
            "tokens",
            "Prompt tokens that the group computed.",
        )
        .format(whole)
        .of(|one: &One<'_>| one.mean(|work| work.prefill_tokens as f64)),
        number("output_tokens", "output tokens", "tokens", "Answer tokens that the group made.")
            .format(whole)
            .of(|one: &One<'_>| one.mean(|work| work.output_tokens as f64)),
    ];
    Form::new(fields.into_iter().chain(hands_over.then(transfers).into_iter().flatten()))
}

/// KV transfers from prefill workers to decode workers.
fn transfers<'a>() -> Vec<Field<'static, One<'a>>> {
    let sends = |one: &One<'_>, value: f64| match one.role() {
        Role::Decode => Value::Blank,
        _ => value.into(),
    };
    let link = "Share of the time in which the links to decode workers carried KV.";
    let waited = "Time that a request waited on average for KV from its prefill worker.";
    vec![
        Column::number(
            "kv_transfer_bytes",
            "handed GB",
            "bytes",
            "KV that the group sent to decode workers.",
        )
        .format(Format::gigabytes(1))
        .of(move |one: &One<'_>| sends(one, one.mean(|work| work.kv_transfer_bytes as f64))),
        columns::percent("kv_transfer_link_utilisation", "link %", link).of(
            move |one: &One<'_>| sends(one, one.mean(|work| work.kv_transfer_link_utilisation)),
        ),
        columns::seconds("kv_transfer_wait_s", "waited s/req", waited).of(One::waited),
    ]
}

impl One<'_> {
    fn first(&self) -> &RunReport {
        self.runs[0]
    }

    fn figures<'a>(&self, run: &'a RunReport) -> &'a GroupFigures {
        &run.groups[self.group]
    }

    fn role(&self) -> Role {
        self.figures(self.first()).role
    }

    fn name(&self) -> String {
        let name = &self.figures(self.first()).name;
        match self.role() {
            Role::Both => name.clone(),
            role => format!("{name} ({})", role.name()),
        }
    }

    fn mean(&self, of: impl Fn(&GroupWork) -> f64) -> f64 {
        mean(&self.runs, |run| self.figures(run).work.as_ref().map_or(0.0, &of))
    }

    fn waited(&self) -> Value {
        let waited = |run: &RunReport| {
            kv_transfer(run).map_or(0.0, |h| h.wait_s) / run.figures.requests as f64
        };
        match self.role() {
            Role::Decode => mean(&self.runs, waited).into(),
            _ => Value::Blank,
        }
    }
}

fn kv_transfer(run: &RunReport) -> Option<&KvTransferFigures> {
    run.engine.as_ref()?.kv_transfer.as_ref()
}

/// What was handed over in a live run.
fn live(run: &RunReport) -> Option<String> {
    let LiveKvTransfer { requests, tokens, bytes } = run.live.as_ref()?.kv_transfer?;
    let (label, gb) = (run.label(), bytes as f64 / 1e9);
    Some(format!(
        "{label}, live: {gb:.1} GB of KV handed over for {requests} requests, {tokens} tokens."
    ))
}
