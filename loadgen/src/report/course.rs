//! The course of a run: a row for each phase and each interval, and what happened in the fleet.

use super::columns;
use crate::figures::{CourseFigures, Mark, RunReport, SpanFigures};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

const PHASES: &str = "Phases of the run";
const INTERVALS: &str = "Intervals of the run";
const MARKS: &str = "In the fleet meanwhile";

/// A span and what happened in it.
struct Line<'a> {
    label: String,
    kind: &'static str,
    span: &'a SpanFigures,
    marks: Vec<&'a Mark>,
}

/// The phases, the intervals and the marks of a run; none where it has no course.
pub fn sheets(runs: &[RunReport]) -> Vec<Sheet> {
    let courses = || runs.iter().filter_map(|run| run.course.as_ref());
    let marked = courses().any(|course| course.marks.is_some());
    let several = courses().count() > 1;
    let of = |title: &str, spans: fn(&CourseFigures) -> &[SpanFigures], kind| {
        let form = form(several, marked);
        let mut sheet = form.sheet(title).labels(2);
        for run in runs {
            let Some(course) = &run.course else { continue };
            sheet.begin_group();
            for span in spans(course) {
                let (label, marks) = (run.label(), course.marks_in(span));
                sheet.push(form.row(&Line { label, kind, span, marks }));
            }
        }
        sheet
    };
    let mut phases = of(PHASES, |course| &course.phases, "phase");
    let mut intervals = of(INTERVALS, |course| &course.intervals, "interval");
    let due = "A row has the requests that were due in its time, also where they ended later.";
    let first = if phases.is_empty() { &mut intervals } else { &mut phases };
    if !first.is_empty() {
        first.note(due);
    }
    vec![phases, intervals, marks(courses())]
}

/// The phases and the intervals in one sheet, for a file.
pub fn series(course: &CourseFigures) -> Sheet {
    let form = form(false, true);
    let mut sheet = form.sheet("Series");
    let phases = course.phases.iter().map(|span| ("phase", span));
    for (kind, span) in phases.chain(course.intervals.iter().map(|span| ("interval", span))) {
        let (label, marks) = (String::new(), course.marks_in(span));
        sheet.push(form.row(&Line { label, kind, span, marks }));
    }
    sheet
}

/// The sheets without rows, with every column that they can have.
pub fn blanks() -> [Sheet; 2] {
    [form(true, true).sheet("Phases and intervals of the run"), marks(std::iter::empty())]
}

fn marks<'a>(courses: impl Iterator<Item = &'a CourseFigures>) -> Sheet {
    let text = Column::text;
    let columns = vec![
        Column::number("at_s", "at s", "s", "Model time since the run began.")
            .format(Format::digits(1)),
        text("what", "what", "What happened, as the router saw it."),
        text("worker", "worker", "The worker's number."),
        text("name", "name", "The name that the worker gives itself."),
        text("detail", "detail", "The reason, or what was set.").wraps(),
    ];
    let mut sheet = Sheet::new(MARKS, columns);
    for mark in courses.flat_map(|course| course.marks.iter().flatten()) {
        sheet.push(vec![
            mark.at_s.into(),
            mark.what.as_str().into(),
            Value::text_or_blank(mark.worker.as_str()),
            Value::text_or_blank(mark.name.as_str()),
            Value::text_or_blank(mark.detail.as_str()),
        ]);
    }
    sheet
}

/// `several`: with the policy of each row. `marked`: with what happened in the fleet.
fn form<'a>(several: bool, marked: bool) -> Form<'static, Line<'a>> {
    let seconds = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "s", meaning).format(Format::digits(1))
    };
    let asked = "Arrivals a second that the phase asks for at its start: sessions, or requests of a \
                 trace or a set of prompts.";
    let asked_end = "The same at its end; a ramp has another one than at its start.";
    let sent = "Requests a second that were due.";
    let good = "Requests a second that kept the SLO.";
    let p99 = "Time to first token that 99 % of the answered requests do not exceed.";
    let p50 = "Median time to first token.";
    let ttft = |of: fn(&warmpath_core::report::Spread) -> f64| {
        move |line: &Line<'_>| line.span.figures.ttft_s.as_ref().map(of)
    };
    let rate = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "1/s", meaning).format(Format::digits(2))
    };
    let mut fields = vec![
        Column::text("kind", "kind", "phase or interval.").of(|line: &Line<'_>| line.kind),
        Column::text("phase", "phase", "The phase's rate, as it was written.")
            .of(|line: &Line<'_>| Value::text_or_blank(line.span.name.as_str())),
        seconds("from_s", "from s", "Model time of its start since the run began.")
            .of(|line: &Line<'_>| line.span.from_s),
        seconds("to_s", "to s", "Model time of its end.").of(|line: &Line<'_>| line.span.to_s),
        rate("asked_per_s", "asked/s", asked).of(|line: &Line<'_>| {
            line.span.rate_per_s.map_or(Value::Blank, |(from, _)| from.into())
        }),
        rate("asked_end_per_s", "to", asked_end).of(|line: &Line<'_>| match line.span.rate_per_s {
            Some((from, to)) if from != to => to.into(),
            _ => Value::Blank,
        }),
        rate("sent_per_s", "sent/s", sent).of(|line: &Line<'_>| line.span.sent_per_s),
        rate("good_per_s", "good/s", good).of(|line: &Line<'_>| line.span.good_per_s),
        columns::requests().of(|line: &Line<'_>| line.span.figures.requests),
        columns::failed().of(|line: &Line<'_>| line.span.figures.errors),
        columns::hit_rate().of(|line: &Line<'_>| line.span.figures.hit_rate),
        columns::ttft_mean().of(ttft(|ttft| ttft.mean)),
        columns::seconds("ttft_p50_s", "p50", p50).under("TTFT s").of(ttft(|ttft| ttft.p50)),
        columns::seconds("ttft_p99_s", "p99", p99).under("TTFT s").of(ttft(|ttft| ttft.p99)),
        columns::tpot_mean().of(|line: &Line<'_>| line.span.figures.tpot_s.map(|tpot| tpot.mean)),
        columns::within_slo().of(|line: &Line<'_>| {
            let any = line.span.figures.offered > 0;
            any.then_some(line.span.figures.within_slo)
        }),
    ];
    if several {
        fields.insert(0, columns::label().of(|line: &Line<'_>| line.label.clone()));
    }
    if marked {
        let marks = "What happened in the fleet in this time.";
        fields.push(Column::text("marks", "meanwhile", marks).wraps().of(|line: &Line<'_>| {
            let marks: Vec<String> = line.marks.iter().map(|mark| mark.short()).collect();
            Value::text_or_blank(marks.join("; "))
        }));
    }
    Form::new(fields)
}
