//! The course of a run: a row for each phase and each interval, and what happened in the fleet.

use super::columns;
use crate::figures::{CourseFigures, Mark, RunReport, SpanFigures};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

const PHASES: &str = "Phases of the run";
const INTERVALS: &str = "Intervals of the run";
const MARKS: &str = "In the fleet meanwhile";
const DUE: &str = "A row has the requests that were due in its time, also where they ended later.";
const STARTS: &str = "starts/s counts sessions (requests, for a trace or a set of prompts); the later requests of a \
                      session come on top.";

/// A span and what happened in it.
struct Line<'a> {
    label: String,
    kind: &'static str,
    span: &'a SpanFigures,
    marks: Vec<&'a Mark>,
}

/// Which columns a table has beside those of all.
#[derive(Clone, Copy)]
struct Shown {
    /// The policy of each row.
    label: bool,
    /// Whether a row is a phase or an interval.
    kind: bool,
    /// The rate that was asked for.
    asked: bool,
    /// What happened in the fleet.
    marks: bool,
}

const ALL: Shown = Shown { label: true, kind: true, asked: true, marks: true };

/// The phases, the intervals and the marks of a run; none where it has no course.
pub fn sheets(runs: &[RunReport]) -> Vec<Sheet> {
    let courses = || runs.iter().filter_map(|run| run.course.as_ref());
    let marked = courses().any(|course| course.marks.is_some());
    let label = courses().count() > 1;
    let of = |title: &str, spans: fn(&CourseFigures) -> &[SpanFigures], asked| {
        let form = form(Shown { label, kind: false, asked, marks: marked });
        let mut sheet = form.sheet(title).labels(if label { 2 } else { 1 });
        for run in runs {
            let Some(course) = &run.course else { continue };
            sheet.begin_group();
            for span in spans(course) {
                let (label, marks) = (run.label(), course.marks_in(span));
                sheet.push(form.row(&Line { label, kind: "", span, marks }));
            }
        }
        sheet
    };
    let mut phases = of(PHASES, |course| &course.phases, true);
    let mut intervals = of(INTERVALS, |course| &course.intervals, false);
    if !phases.is_empty() {
        phases.note(STARTS);
    }
    let first = if phases.is_empty() { &mut intervals } else { &mut phases };
    if !first.is_empty() {
        first.note(DUE);
    }
    vec![phases, intervals, marks(courses())]
}

/// The phases and the intervals in one sheet, for a file.
pub fn series(course: &CourseFigures) -> Sheet {
    let form = form(Shown { label: false, ..ALL });
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
    [form(ALL).sheet("Phases and intervals of the run"), marks(std::iter::empty())]
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

fn form<'a>(shown: Shown) -> Form<'static, Line<'a>> {
    type Of = fn(&Line<'_>) -> Value;
    let seconds = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "s", meaning).format(Format::digits(1))
    };
    let rate = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "1/s", meaning).format(Format::digits(2))
    };
    let starts = "Sessions that start a second, as the phase asks for at its start; requests, for a trace \
                  or a set of prompts.";
    let starts_end = "The same at its end; a ramp has another one than at its start.";
    let p99 = "Time to first token that 99 % of the answered requests do not exceed.";
    let columns: [(bool, Column, Of); 18] = [
        (shown.label, columns::label(), |line| line.label.as_str().into()),
        (shown.kind, Column::text("kind", "kind", "phase or interval."), |line| line.kind.into()),
        (
            true,
            Column::text("phase", "phase", "The phase's rate; of an interval, where it begins."),
            |line| Value::text_or_blank(line.span.name.as_str()),
        ),
        (
            true,
            seconds("from_s", "from s", "Model time of its start since the run began."),
            |line| line.span.from_s.into(),
        ),
        (true, seconds("to_s", "to s", "Model time of its end."), |line| line.span.to_s.into()),
        (shown.asked, rate("starts_per_s", "starts/s", starts), |line| {
            line.span.rate_per_s.map_or(Value::Blank, |(from, _)| from.into())
        }),
        (shown.asked, rate("starts_end_per_s", "to", starts_end), |line| {
            let ramp = line.span.rate_per_s.filter(|(from, to)| from != to);
            ramp.map_or(Value::Blank, |(_, to)| to.into())
        }),
        (true, rate("sent_per_s", "sent/s", "Requests a second that were due."), |line| {
            line.span.sent_per_s.into()
        }),
        (true, rate("good_per_s", "good/s", "Requests a second that kept the SLO."), |line| {
            line.span.good_per_s.into()
        }),
        (true, columns::requests(), |line| line.span.figures.requests.into()),
        (true, columns::failed(), |line| line.span.figures.errors.into()),
        (true, columns::hit_rate(), |line| line.span.figures.hit_rate.into()),
        (true, columns::ttft_mean(), |line| line.span.figures.ttft_s.map(|ttft| ttft.mean).into()),
        (
            true,
            columns::seconds("ttft_p50_s", "p50", "Median time to first token.").under("TTFT s"),
            |line| line.span.figures.ttft_s.map(|ttft| ttft.p50).into(),
        ),
        (true, columns::seconds("ttft_p99_s", "p99", p99).under("TTFT s"), |line| {
            line.span.figures.ttft_s.map(|ttft| ttft.p99).into()
        }),
        (true, columns::tpot_mean(), |line| line.span.figures.tpot_s.map(|tpot| tpot.mean).into()),
        (true, columns::within_slo(), |line| {
            let figures = &line.span.figures;
            (figures.offered > 0).then_some(figures.within_slo).into()
        }),
        (
            shown.marks,
            Column::text("marks", "meanwhile", "What happened in the fleet in this time.").wraps(),
            |line| {
                let marks: Vec<String> = line.marks.iter().map(|mark| mark.short()).collect();
                Value::text_or_blank(marks.join("; "))
            },
        ),
    ];
    let shown = columns.into_iter().filter(|(is_shown, ..)| *is_shown);
    Form::new(shown.map(|(_, column, of)| column.of(of)))
}
