//! The options: a row for each.

use super::asked::Asked;
use super::figures::Advice;
use super::options::{Alternative, ApiCost, Decision};
use crate::studies::measure::BOUNDS;
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Style, Value};

const TABLE: [&str; 10] = [
    "name",
    "keeps_slo",
    "share_on_devices",
    "workers",
    "gpus",
    "full_at_peak",
    "usd_per_month",
    "band",
    "usd_per_request",
    "usd_per_m_served",
];
const DATA: [&str; 12] = [
    "option",
    "chosen",
    "keeps_slo",
    "share_on_devices",
    "workers",
    "gpus",
    "full_at_peak",
    "usd_per_month",
    "usd_per_month_low",
    "usd_per_month_high",
    "usd_per_request",
    "usd_per_m_served",
];

/// An option that was weighed, or an API beside them.
enum Line<'a> {
    Option { option: &'a Alternative, chosen: bool },
    Api { api: &'a ApiCost, usd_per_m_served: f64 },
}

/// Writes the table, with its figures.
pub fn write(advice: &mut Advice, asked: &Asked<'_>) {
    let form = form();
    let mut sheet = form.sheet("");
    for line in lines(asked.decision) {
        tell_option(advice, &line);
        sheet.push(form.row(&line));
    }
    let tokens = asked.facts.prompt_tokens + asked.facts.output_tokens;
    for api in &asked.decision.api {
        let line = Line::Api { api, usd_per_m_served: api.usd_per_request * 1e6 / tokens };
        tell_api(advice, &line);
        sheet.push(form.row(&line));
    }
    let mut sheet = sheet.pick(TABLE);
    let seeds = asked.facts.seeds;
    let of = if seeds == 1 { "seed" } else { "seeds" };
    let seeds = advice.count("facts.seeds", seeds as f64);
    let step = advice.amount("facts.capacity_step_percent", BOUNDS.within * 100.0);
    sheet.note(format!(
        "Full: the part of the workers' capacity that the busiest time takes. Band: of USD/month, over \
         {seeds} {of} and the {step} % within which a capacity is found."
    ));
    advice.sheet(sheet);
}

/// What programs read: the options without the APIs.
pub fn data(decision: &Decision) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("");
    lines(decision).iter().for_each(|line| sheet.push(form.row(line)));
    sheet.pick(DATA)
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Advice: a row for each option")
}

fn lines(decision: &Decision) -> Vec<Line<'_>> {
    let line = |option: &'_ Alternative| option.choice == decision.choice;
    decision.options.iter().map(|option| Line::Option { option, chosen: line(option) }).collect()
}

fn form<'a>() -> Form<'static, Line<'a>> {
    Form::new(what().into_iter().chain(size()).chain(costs()))
}

fn what<'a>() -> Vec<Field<'static, Line<'a>>> {
    let text = Column::text;
    let share = "Share of the requests that users' own devices serve.";
    vec![
        text("name", "option", "The way to serve the workload.").of(Line::name),
        text("option", "option", "The option's name for programs.")
            .of(|line: &Line<'_>| line.option(|option| option.choice.key())),
        text("chosen", "chosen", "Whether it is what the advice says.").of(|line: &Line<'_>| {
            match line {
                Line::Option { chosen, .. } => Value::from(*chosen),
                Line::Api { .. } => Value::Blank,
            }
        }),
        text("keeps_slo", "keeps SLO", "Whether 90 % of the requests of each class keep the SLO.")
            .right()
            .of(|line: &Line<'_>| line.option(|option| option.keeps_slo)),
        Column::number("share_on_devices", "on devices %", "share", share)
            .format(Format::percent(1))
            .of(|line: &Line<'_>| line.option(|option| option.share_on_devices)),
    ]
}

fn size<'a>() -> Vec<Field<'static, Line<'a>>> {
    let whole = Format::of(Style::Commas);
    let full = "Part of the workers' capacity within the SLO that the busiest time takes.";
    vec![
        Column::number("workers", "workers", "workers", "Workers that it takes.")
            .format(whole)
            .of(|line: &Line<'_>| line.option(|option| option.workers)),
        Column::number("gpus", "GPUs", "chips", "GPUs of these workers.")
            .format(whole)
            .of(|line: &Line<'_>| line.option(|option| option.chips)),
        Column::number("full_at_peak", "full %", "share", full)
            .format(Format::percent(0))
            .of(|line: &Line<'_>| line.option(|option| Value::or_blank(option.full_at_peak))),
    ]
}

fn costs<'a>() -> Vec<Field<'static, Line<'a>>> {
    let number = |key, heading, unit, meaning| {
        Column::number(key, heading, unit, meaning).format(Format::of(Style::Money))
    };
    let served = "Cost of a million prompt and answer tokens.";
    vec![
        number("usd_per_month", "USD/month", "USD/month", "Cost of a month.").of(
            |line: &Line<'_>| {
                line.cost(
                    |option| option.usd_per_month.map(|usd| usd.mean),
                    |api| api.usd_per_month,
                )
            },
        ),
        number("usd_per_month_low", "lowest USD/month", "USD/month", "The lower end of the band.")
            .of(|line: &Line<'_>| line.option(|option| option.usd_per_month.map(|usd| usd.low))),
        number(
            "usd_per_month_high",
            "highest USD/month",
            "USD/month",
            "The upper end of the band.",
        )
        .of(|line: &Line<'_>| line.option(|option| option.usd_per_month.map(|usd| usd.high))),
        number(
            "band",
            "band",
            "USD/month",
            "What a month may cost, by seeds and how closely a load is found.",
        )
        .band()
        .of(|line: &Line<'_>| {
            line.option(|option| {
                Value::or_blank(option.usd_per_month.map(|usd| Value::band(usd.low, usd.high)))
            })
        }),
        number("usd_per_request", "USD/request", "USD/request", "Cost of a request.").of(
            |line: &Line<'_>| line.cost(|option| option.usd_per_request, |api| api.usd_per_request),
        ),
        number("usd_per_m_served", "USD/M served", "USD/M tokens", served).of(|line: &Line<'_>| {
            match line {
                Line::Option { option, .. } => Value::from(option.usd_per_m_served),
                Line::Api { usd_per_m_served, .. } => Value::from(*usd_per_m_served),
            }
        }),
    ]
}

impl Line<'_> {
    fn name(&self) -> String {
        match self {
            Self::Option { option, .. } => option.choice.name().to_owned(),
            Self::Api { api, .. } => format!("API \"{}\"", api.name),
        }
    }

    /// What an API has no value for.
    fn option<V: Into<Value>>(&self, of: impl Fn(&Alternative) -> V) -> Value {
        match self {
            Self::Option { option, .. } => of(option).into(),
            Self::Api { .. } => Value::Blank,
        }
    }

    fn cost(
        &self,
        option_usd: impl Fn(&Alternative) -> Option<f64>,
        api_usd: impl Fn(&ApiCost) -> f64,
    ) -> Value {
        match self {
            Self::Option { option, .. } => option_usd(option).into(),
            Self::Api { api, .. } => api_usd(api).into(),
        }
    }
}

/// Puts the figures of an option's row among those of the advice.
fn tell_option(advice: &mut Advice, line: &Line<'_>) {
    let Line::Option { option, .. } = line else { return };
    let key = |figure: &str| format!("{}.{figure}", option.choice.key());
    let month = option.usd_per_month;
    let costs = [
        ("usd_per_month", month.map(|usd| usd.mean)),
        ("usd_per_request", option.usd_per_request),
        ("usd_per_m_served", option.usd_per_m_served),
        ("usd_per_month.low", month.map(|usd| usd.low)),
        ("usd_per_month.high", month.map(|usd| usd.high)),
    ];
    for (figure, usd) in costs {
        if let Some(usd) = usd {
            advice.usd(&key(figure), usd);
        }
    }
    advice.percent(&key("percent_on_devices"), option.share_on_devices);
    if let Some(full) = option.full_at_peak {
        let shown = Format::percent(0).number(full);
        advice.figure(&key("percent_full_at_peak"), full * 100.0, shown);
    }
    advice.count(&key("workers"), f64::from(option.workers));
    advice.count(&key("gpus"), f64::from(option.chips));
}

fn tell_api(advice: &mut Advice, line: &Line<'_>) {
    let Line::Api { api, usd_per_m_served } = line else { return };
    let key = |figure: &str| format!("api.{}.{figure}", api.name);
    advice.usd(&key("usd_per_month"), api.usd_per_month);
    advice.usd(&key("usd_per_request"), api.usd_per_request);
    advice.usd(&key("usd_per_m_served"), *usd_per_m_served);
}
