//! The main table: a row for each run.

use super::columns;
use crate::figures::{Mode, RunReport};
use warmpath_core::id::MAX_TIERS;
use warmpath_core::report::Spread;
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Style, Value, render};

type Of = Field<'static, RunReport>;

/// Columns of the table that people read.
const TABLE: [&str; 16] = [
    "label",
    "marked_mode",
    "hit_rate",
    "prefill_tokens_computed",
    "prefill_tokens_cached",
    "ttft_mean_s",
    "ttft_p50_s",
    "ttft_p90_s",
    "ttft_p99_s",
    "tpot_mean_s",
    "requests_per_s",
    "input_tokens_per_s",
    "output_tokens_per_s",
    "goodput_requests_per_s",
    "balance_max_over_mean",
    "router_overhead_s",
];

/// Columns that the CSV leaves out: it has its own columns for policy, variant and valid runs.
const TEXT_ONLY: [&str; 3] = ["label", "marked_mode", "router_overhead_s"];

/// The runs as people read them, those of each mode together.
pub fn table(title: &str, runs: &[&RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet(title);
    for mode in [Mode::Live, Mode::SimSlice, Mode::Sim] {
        sheet.begin_group();
        for run in runs.iter().filter(|run| run.mode == mode) {
            sheet.push(form.row(run));
        }
    }
    sheet.pick(TABLE).labels(2)
}

/// The runs for programs, in their order.
pub fn csv(runs: &[RunReport]) -> String {
    let form = form();
    let mut sheet = form.sheet("");
    runs.iter().for_each(|run| sheet.push(form.row(run)));
    let keys = sheet.columns().iter().map(|column| column.key.to_string());
    let keys: Vec<String> = keys.filter(|key| !TEXT_ONLY.contains(&key.as_str())).collect();
    render::csv(&sheet.pick(keys))
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    let sheet = form().sheet("Main table: a row for each run");
    let keys = sheet.columns().iter().map(|column| column.key.to_string());
    let others: Vec<String> = keys.filter(|key| !TABLE.contains(&key.as_str())).collect();
    sheet.pick(TABLE.map(str::to_owned).into_iter().chain(others))
}

/// Columns in the order of the CSV.
fn form() -> Form<'static, RunReport> {
    let ends = |run: &RunReport| run.figures.ttft_s;
    let fields = which_run().into_iter().chain(counts()).chain(cache());
    let ttft = spread("ttft", "time to first token", Format::of(Style::Seconds), "TTFT s", ends);
    let tpot = spread("tpot", "time per output token after the first", MS, "TPOT", |run| {
        run.figures.tpot_s
    });
    let e2e = spread("e2e", "time from send to last token", Format::digits(3), "E2E s", |run| {
        run.figures.e2e_s
    });
    let times = [ttft, tpot, e2e].into_iter().flatten();
    Form::new(fields.chain(times).chain(rates()).chain(origins()))
}

const MS: Format = Format::milliseconds(1);

fn which_run() -> Vec<Of> {
    let text = Column::text;
    let marked = "As mode, with the number of requests that failed; an exclamation mark says that the run is \
         not valid, and a line below says why.";
    let validated = "Whether the profile's times were compared with measurements.";
    vec![
        columns::label().of(RunReport::label),
        text("policy", "policy", "The policy's label.").of(|run: &RunReport| {
            Value::or_blank(run.policy.as_ref().map(|policy| policy.label.clone()))
        }),
        text("variant", "variant", "The scenario's variant, where it has several.")
            .of(|run: &RunReport| Value::or_blank(run.variant.clone())),
        columns::mode().of(|run: &RunReport| run.mode.name()),
        text("marked_mode", "mode", marked).of(marked_mode),
        text("workload", "workload", "The workload or trace.")
            .of(|run: &RunReport| run.workload.clone()),
        text(
            "profile",
            "profile",
            "The profiles of the workers; empty where the target has its own engines.",
        )
        .of(|run: &RunReport| Value::or_blank(run.profile.clone())),
        text("profile_validated", "validated", validated)
            .of(|run: &RunReport| run.profile_validated),
        columns::rate().of(|run: &RunReport| run.rate_scale),
        text("seed", "seed", "The seed of everything that is drawn at random.")
            .right()
            .of(|run: &RunReport| run.seed),
        text("valid", "valid", "Whether the run's figures can be used.")
            .of(|run: &RunReport| run.valid),
    ]
}

fn marked_mode(run: &RunReport) -> String {
    let mode = run.mode.name();
    let failed = match run.figures.errors {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{mode}{failed}{}", if run.valid { "" } else { " !" })
}

fn counts() -> Vec<Of> {
    let number = Column::number;
    vec![
        number("offered", "offered", "requests", "Requests sent.")
            .of(|run: &RunReport| run.figures.offered),
        columns::requests().of(|run: &RunReport| run.figures.requests),
        columns::failed().of(|run: &RunReport| run.figures.errors),
        number("duration_s", "duration s", "s", "Time from the first send to the last end.")
            .of(|run: &RunReport| run.figures.duration_s),
    ]
}

fn cache() -> Vec<Of> {
    let big = Format::of(Style::Si);
    let number = Column::number;
    let hit = Column { heading: "%".into(), ..columns::hit_rate().under("hit") };
    let blocks = "Cached prompt blocks divided by all full prompt blocks.";
    vec![
        hit.of(|run: &RunReport| run.figures.hit_rate),
        columns::percent("hit_rate_blocks", "hit % of blocks", blocks)
            .of(|run: &RunReport| run.figures.hit_rate_blocks),
        number(
            "prefill_tokens_computed",
            "computed",
            "tokens",
            "Prompt tokens that workers computed.",
        )
        .under("prefill tokens")
        .format(big)
        .of(|run: &RunReport| run.figures.prefill_tokens_computed),
        number("prefill_tokens_cached", "cached", "tokens", "Prompt tokens that were cached.")
            .under("prefill tokens")
            .format(big)
            .of(|run: &RunReport| run.figures.prefill_tokens_cached),
    ]
}

/// Mean and percentiles of a time. Of TPOT the main table has the mean alone, under its unit.
fn spread(
    name: &'static str,
    what: &'static str,
    format: Format,
    group: &'static str,
    of: fn(&RunReport) -> Option<Spread>,
) -> Vec<Of> {
    let part = |part: &'static str, meaning: String, value: fn(&Spread) -> f64| {
        let heading = if name == "tpot" && part == "mean" { "ms" } else { part };
        let column = Column::number(format!("{name}_{part}_s"), heading, "s", meaning);
        column.under(group).format(format).of(move |run: &RunReport| of(run).as_ref().map(value))
    };
    let most =
        |share: &str| format!("The {what} that {share} % of the answered requests do not exceed.");
    vec![
        part("mean", format!("Mean {what}."), |spread| spread.mean),
        part("p50", format!("Median {what}."), |spread| spread.p50),
        part("p90", most("90"), |spread| spread.p90),
        part("p99", most("99"), |spread| spread.p99),
    ]
}

fn rates() -> Vec<Of> {
    let big = Format::of(Style::Si);
    let number = Column::number;
    let input = "Prompt tokens of answered requests a second, computed or cached.";
    let balance =
        "Tokens computed by the busiest worker divided by the mean of all workers; 1 is even.";
    let router = "Wall time that the router itself spent on a request, median and p99.";
    vec![
        number("requests_per_s", "/s", "requests/s", "Requests answered a second.")
            .under("requests")
            .format(Format::digits(2))
            .of(|run: &RunReport| run.figures.throughput.requests_per_s),
        number("input_tokens_per_s", "in", "tokens/s", input)
            .under("tokens/s")
            .format(big)
            .of(|run: &RunReport| run.figures.throughput.input_tokens_per_s),
        number("output_tokens_per_s", "out", "tokens/s", "Answer tokens a second.")
            .under("tokens/s")
            .format(big)
            .of(|run: &RunReport| run.figures.throughput.output_tokens_per_s),
        number(
            "goodput_requests_per_s",
            "req/s",
            "requests/s",
            "Requests a second that kept the SLO.",
        )
        .under("good")
        .format(Format::digits(2))
        .of(|run: &RunReport| run.figures.goodput_requests_per_s),
        columns::within_slo().of(|run: &RunReport| run.figures.within_slo),
        number("balance_max_over_mean", "load", "ratio", balance)
            .under("max/mean")
            .format(Format::digits(2))
            .of(|run: &RunReport| run.figures.balance_max_over_mean),
        number("router_overhead_s", "p50/p99", "s", router)
            .under("router µs")
            .format(Format::digits(0).scaled(1e6, "µs"))
            .pair(["p50", "p99"])
            .of(|run: &RunReport| match &run.router_overhead_s {
                Some(spread) => Value::Pair(spread.p50, spread.p99),
                None => Value::Blank,
            }),
    ]
}

/// The parts of the hit rate by where the tokens lay.
fn origins() -> Vec<Of> {
    let names = ["pool", "peers"];
    let tier = |tier: usize| {
        let meaning =
            format!("The part of hit_rate that lay in a worker's tier {tier}; tier 0 is HBM.");
        (format!("tier{tier}"), meaning)
    };
    let other =
        |name: &str| (name.to_owned(), format!("The part of hit_rate that came from {name}."));
    let all = (0..MAX_TIERS).map(tier).chain(names.map(other)).enumerate();
    let field = |(place, (name, meaning)): (usize, (String, String))| {
        Column::number(format!("hit_rate_{name}"), format!("hit % {name}"), "share", meaning)
            .format(Format::percent(1))
            .of(move |run: &RunReport| run.figures.hit_rate_by_tier.map(|shares| shares[place]))
    };
    all.map(field).collect()
}
