//! The groups of a mixed fleet, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, mean, over_seeds};
use crate::figures::{GroupFigures, GroupWork, HandoverFigures, LiveHandover, RunReport};
use warmpath_core::event::Role;
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Value};

/// KV transfers of live runs, one line each.
fn live(runs: &[RunReport]) -> String {
    let line = |run: &RunReport| {
        let LiveHandover { requests, tokens, bytes } = run.live.as_ref()?.handover?;
        let (who, gb) = (run.label(), bytes as f64 / 1e9);
        Some(format!(
            "{who}, live: {gb:.1} GB of KV handed over for {requests} requests, {tokens} tokens.\n"
        ))
    };
    runs.iter().filter_map(line).collect()
}

/// One row per policy, mode, rate and group, as means over all seeds. Empty if the fleet has no
/// groups.
pub fn render(runs: &[RunReport]) -> String {
    let live = live(runs);
    let told = |run: &&RunReport| run.groups.iter().any(|group| group.work.is_some());
    let simulated: Vec<&RunReport> = runs.iter().filter(told).collect();
    let hands_over = simulated.iter().any(|run| handover(run).is_some());
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
            "handed_over_bytes",
            "handed GB",
            "bytes",
            "KV that the group sent to decode workers.",
        )
        .format(Format::gigabytes(1))
        .of(move |one: &One<'_>| sends(one, one.mean(|work| work.handed_over_bytes as f64))),
        columns::percent("handover_link_utilisation", "link %", link)
            .of(move |one: &One<'_>| sends(one, one.mean(|work| work.handover_link_utilisation))),
        columns::seconds("handover_wait_s", "waited s/req", waited).of(One::waited),
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
            handover(run).map_or(0.0, |h| h.wait_s) / run.figures.requests.max(1) as f64
        };
        match self.role() {
            Role::Decode => mean(&self.runs, waited).into(),
            _ => Value::Blank,
        }
    }
}

fn handover(run: &RunReport) -> Option<&HandoverFigures> {
    run.engine.as_ref()?.handover.as_ref()
}

/// The cells of one group, over runs that differ only in their seed.
fn row(runs: &[&RunReport], i: usize, hands_over: bool) -> Vec<String> {
    let (run, group) = (runs[0], &runs[0].groups[i]);
    let mean = |of: &dyn Fn(&GroupWork) -> f64| {
        let each = runs.iter().filter_map(|run| run.groups[i].work.as_ref().map(of));
        each.sum::<f64>() / runs.len() as f64
    };
    let name = match group.role {
        Role::Both => group.name.clone(),
        role => format!("{} ({})", group.name, role.name()),
    };
    let mut cells = vec![name, run.label(), run.mode.name().to_owned(), run.rate_scale.to_string()];
    cells.extend([
        group.workers.to_string(),
        format!("{:.1}", mean(&|work| work.utilisation * 100.0)),
        format!("{:.0}", mean(&|work| work.prefill_tokens as f64)),
        format!("{:.0}", mean(&|work| work.output_tokens as f64)),
    ]);
    if hands_over && group.role == Role::Decode {
        let waited = |run: &&RunReport| {
            hand_over(run).map_or(0.0, |h| h.wait_s) / run.figures.requests.max(1) as f64
        };
        let mean = runs.iter().map(waited).sum::<f64>() / runs.len() as f64;
        cells.extend([String::new(), String::new(), format!("{mean:.3}")]);
    } else if hands_over {
        cells.push(format!("{:.1}", mean(&|work| work.handed_over_bytes as f64 / 1e9)));
        cells.push(format!("{:.1}", mean(&|work| work.handover_link_utilisation * 100.0)));
    }
    cells
}
