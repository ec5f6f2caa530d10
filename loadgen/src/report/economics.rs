//! Energy and cost.

use super::columns;
use crate::economics::{Economics, Part};
use crate::figures::RunReport;
use warmpath_sheet::{Column, Form, Format, Sheet, Style, Value};

/// A run with prices, or a part of its fleet.
struct One<'a> {
    run: &'a RunReport,
    economics: &'a Economics,
    part: Option<&'a Part>,
}

/// A row for each run that has prices, and one for each part of its fleet where there are several.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Energy and cost").labels(3);
    for run in runs {
        let Some(economics) = &run.economics else { continue };
        sheet.push(form.row(&One { run, economics, part: None }));
        for part in economics.parts.iter().filter(|_| economics.parts.len() > 1) {
            sheet.push(form.row(&One { run, economics, part: Some(part) }));
        }
    }
    if !sheet.is_empty() {
        sheet.note(
            "Per million tokens: of all that was served, prompts (computed or reused) and answers; of \
             answers alone. Idle time is part of it. A dash: no price or power is known.",
        );
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Energy and cost")
}

fn form<'a>() -> Form<'static, One<'a>> {
    let number = |key, heading, unit, meaning| {
        Column::number(key, heading, unit, meaning).format(Format::of(Style::Amount))
    };
    let label = "The policy's label and variant; below it the parts of the fleet.";
    Form::new([
        Column::text("label", "policy", label).of(One::label),
        columns::mode().of(|one: &One<'_>| one.of_run(one.run.mode.name())),
        columns::rate().of(|one: &One<'_>| one.of_run(one.run.rate_scale)),
        Column::number("workers", "workers", "workers", "Workers or devices.").of(One::workers),
        columns::percent("utilisation", "busy %", "Share of the time in which a worker computed.")
            .of(One::busy),
        number("kwh", "all", "kWh", "Energy drawn, idle time included.").under("kWh").of(
            |one: &One<'_>| {
                one.part.map_or(one.economics.total, |part| part.busy.plus(part.idle)).kwh
            },
        ),
        number("idle_kwh", "idle", "kWh", "Energy drawn while idle.")
            .under("kWh")
            .of(|one: &One<'_>| one.sum(|part| part.idle.kwh)),
        number("usd", "all", "USD", "Cost, idle time included.").under("USD").of(
            |one: &One<'_>| {
                one.part.map_or(one.economics.total, |part| part.busy.plus(part.idle)).usd
            },
        ),
        number("idle_usd", "idle", "USD", "Cost of idle time.")
            .under("USD")
            .of(|one: &One<'_>| one.sum(|part| part.idle.usd)),
        number(
            "usd_per_m_served",
            "served",
            "USD/M tokens",
            "Cost of a million prompt and answer tokens.",
        )
        .under("USD/M")
        .of(|one: &One<'_>| one.of_run(one.economics.usd_per_m.served)),
        number("usd_per_m_output", "output", "USD/M tokens", "Cost of a million answer tokens.")
            .under("USD/M")
            .of(|one: &One<'_>| one.of_run(one.economics.usd_per_m.output)),
        number(
            "kwh_per_m_served",
            "kWh/M served",
            "kWh/M tokens",
            "Energy of a million prompt and answer tokens.",
        )
        .of(|one: &One<'_>| one.of_run(one.economics.kwh_per_m.served)),
    ])
}

impl One<'_> {
    fn label(&self) -> String {
        match self.part {
            Some(part) => format!("  of it {}", part.name),
            None => self.run.label(),
        }
    }

    /// What the row of a part does not repeat.
    fn of_run(&self, value: impl Into<Value>) -> Value {
        if self.part.is_some() { Value::Blank } else { value.into() }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let all = self.economics.parts.iter();
        all.filter(|&part| self.part.is_none_or(|own| std::ptr::eq(own, part)))
    }

    fn sum(&self, of: impl Fn(&Part) -> f64) -> f64 {
        self.parts().map(of).sum()
    }

    /// A part without rates has no workers, such as the network of a pool.
    fn workers(&self) -> Value {
        let counted = self.parts().filter(|part| part.rates.is_some());
        match self.part {
            Some(part) if part.rates.is_none() => Value::Blank,
            _ => counted.map(|part| part.count).sum::<u32>().into(),
        }
    }

    fn busy(&self) -> Value {
        if self.part.is_some_and(|part| part.rates.is_none()) {
            return Value::Blank;
        }
        let busy = self.sum(|part| part.busy.worker_s);
        let all = match self.part {
            Some(part) => part.busy.plus(part.idle).worker_s,
            None => self.economics.total.worker_s,
        };
        if all > 0.0 { (busy / all).into() } else { 0.0.into() }
    }
}
