//! Reports of studies, as far as two of them are compared: rows with names, and figures of each.

use serde_json::Value;

/// A kind of report.
#[derive(Debug)]
pub struct Kind {
    pub schema: &'static str,
    /// The command that writes it.
    pub command: &'static str,
    /// What a row is.
    pub of: &'static str,
    /// The key of the figure that the study is about.
    main: &'static str,
    pub figures: &'static [Figure],
    rows: fn(&Value) -> Vec<Row>,
    /// What the report says in a word. None: it has no single answer.
    answer: fn(&Value) -> Option<String>,
}

impl Kind {
    /// The figure that the study is about, and its place.
    pub fn main(&self) -> (usize, &'static Figure) {
        let place = self.figures.iter().position(|figure| figure.key == self.main);
        let place = place.expect("it is one of them");
        (place, &self.figures[place])
    }
}

/// A figure of a row.
#[derive(Debug)]
pub struct Figure {
    pub key: &'static str,
    /// Where it is in a row, as a JSON pointer.
    pointer: &'static str,
    pub heading: &'static str,
    pub meaning: &'static str,
    pub shown: Shown,
    /// The label of the axis, with its unit, if it has a plot.
    pub axis: Option<&'static str>,
}

/// How a figure is shown, and its difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// In percent; differences are points.
    Share,
    Seconds,
    Milliseconds,
    Number,
    Money,
}

impl Shown {
    /// The unit of a difference.
    pub const fn of_change(self) -> &'static str {
        if matches!(self, Self::Share) { "points" } else { "%" }
    }

    pub fn difference(self, before: f64, after: f64) -> f64 {
        match self {
            Self::Share => (after - before) * 100.0,
            _ if before == after => 0.0,
            _ => (after / before - 1.0) * 100.0,
        }
    }

    /// The factor of a value on an axis.
    pub const fn factor(self) -> f64 {
        match self {
            Self::Share => 100.0,
            Self::Milliseconds => 1e3,
            Self::Seconds | Self::Number | Self::Money => 1.0,
        }
    }
}

/// A row of a report.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// In the order of [`Kind::figures`]. None: it has no such figure.
    pub values: Vec<Option<f64>>,
}

/// A report of a study.
#[derive(Debug)]
pub struct Study {
    pub kind: &'static Kind,
    pub rows: Vec<Row>,
    pub answer: Option<String>,
}

impl Study {
    /// None: its schema is that of no study.
    pub fn of(schema: &str, report: &Value) -> Option<Self> {
        let kind = KINDS.into_iter().find(|kind| kind.schema == schema)?;
        Some(Self { kind, rows: (kind.rows)(report), answer: (kind.answer)(report) })
    }
}

/// All kinds.
pub static KINDS: [&Kind; 2] = [&SHARING, &ADVICE];

const fn figure(
    key: &'static str,
    pointer: &'static str,
    heading: &'static str,
    meaning: &'static str,
    shown: Shown,
    axis: Option<&'static str>,
) -> Figure {
    Figure { key, pointer, heading, meaning, shown, axis }
}

static SHARING: Kind = Kind {
    schema: crate::studies::sharing::SCHEMA,
    command: "sharing",
    of: "rung",
    main: "requests_per_s_at_slo",
    figures: &[
        figure(
            "hit_rate",
            "/hit_rate",
            "hit",
            "Cached prompt tokens divided by all of them",
            Shown::Share,
            Some("hit rate, % of prompt tokens"),
        ),
        figure(
            "ttft_mean_s",
            "/ttft_s/mean",
            "TTFT",
            "Mean time to first token",
            Shown::Seconds,
            Some("mean time to first token, s"),
        ),
        figure(
            "tpot_mean_s",
            "/tpot_s/mean",
            "TPOT",
            "Mean time per further token",
            Shown::Milliseconds,
            None,
        ),
        figure(
            "within_slo",
            "/within_slo",
            "in SLO",
            "Requests within the SLO divided by those sent",
            Shown::Share,
            None,
        ),
        figure(
            "requests_per_s_at_slo",
            "/at_slo/requests_per_s",
            "req/s at SLO",
            "Requests a second at the highest load within the SLO",
            Shown::Number,
            Some("requests at the highest load within the SLO, 1/s"),
        ),
        figure(
            "usd_per_m_served",
            "/usd_per_m_served",
            "USD/M served",
            "Cost of a million tokens, reused ones included",
            Shown::Money,
            Some("cost of a million tokens served, USD"),
        ),
        figure(
            "kwh_per_m_served",
            "/kwh_per_m_served",
            "kWh/M served",
            "Energy of a million tokens, reused ones included",
            Shown::Money,
            None,
        ),
    ],
    rows: |report| {
        let rungs = report["rungs"].as_array().into_iter().flatten();
        let rungs = rungs.map(|rung| with_means(rung, &report["over_seeds"])).collect();
        rows_of(&SHARING, &Value::Array(rungs), |rung| rung["name"].as_str().map(String::from))
    },
    answer: |_| None,
};

static ADVICE: Kind = Kind {
    schema: crate::studies::advise::SCHEMA,
    command: "advise",
    of: "option",
    main: "usd_per_month",
    figures: &[
        figure(
            "usd_per_month",
            "/usd_per_month",
            "USD/month",
            "Cost of a month",
            Shown::Money,
            Some("cost of a month, USD"),
        ),
        figure(
            "usd_per_request",
            "/usd_per_request",
            "USD/request",
            "Cost of a request",
            Shown::Money,
            Some("cost of a request, USD"),
        ),
        figure(
            "usd_per_m_served",
            "/usd_per_m_served",
            "USD/M served",
            "Cost of a million tokens, reused ones included",
            Shown::Money,
            None,
        ),
        figure(
            "share_on_devices",
            "/share_on_devices",
            "on devices",
            "Requests that devices serve divided by all of them",
            Shown::Share,
            None,
        ),
        figure("workers", "/workers", "workers", "Workers", Shown::Number, Some("workers")),
        figure(
            "full_at_peak",
            "/full_at_peak",
            "full",
            "The part of the workers' capacity that the busiest time takes",
            Shown::Share,
            None,
        ),
    ],
    rows: |report| {
        let option = |option: &Value| {
            let choice = option["choice"].as_str()?.replace('_', " ");
            let misses = if option["keeps_slo"] == true { "" } else { ", misses the SLO" };
            Some(format!("{choice}{misses}"))
        };
        let api = |api: &Value| Some(format!("API \"{}\"", api["name"].as_str()?));
        let decision = &report["decision"];
        let mut rows = rows_of(&ADVICE, &decision["options"], option);
        rows.extend(rows_of(&ADVICE, &decision["api"], api));
        rows
    },
    answer: |report| Some(report["decision"]["choice"].as_str()?.replace('_', " ")),
};

fn rows_of(kind: &Kind, rows: &Value, name: impl Fn(&Value) -> Option<String>) -> Vec<Row> {
    let row = |row: &Value| {
        // A figure with a band counts by its mean.
        let value = |figure: &Figure| {
            let found = row.pointer(figure.pointer)?;
            found.as_f64().or_else(|| found["mean"].as_f64())
        };
        Some(Row { name: name(row)?, values: kind.figures.iter().map(value).collect() })
    };
    rows.as_array().into_iter().flatten().filter_map(row).collect()
}

/// A rung with its means over all seeds in place of the figures of the first one, where there are several.
fn with_means(rung: &Value, over_seeds: &Value) -> Value {
    let mut rung = rung.clone();
    let mut all = over_seeds.as_array().into_iter().flatten();
    let Some(means) = all.find(|means| means["name"] == rung["name"]) else {
        return rung;
    };
    for (pointer, key) in [
        ("/hit_rate", "hit_rate"),
        ("/ttft_s/mean", "ttft_mean_s"),
        ("/within_slo", "within_slo"),
        ("/at_slo/requests_per_s", "requests_per_s"),
        ("/usd_per_m_served", "usd_per_m_served"),
        ("/kwh_per_m_served", "kwh_per_m_served"),
    ] {
        if let Some(value) = rung.pointer_mut(pointer) {
            *value = means[key]["mean"].clone();
        }
    }
    rung
}
