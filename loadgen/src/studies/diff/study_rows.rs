//! Two reports of one study: tables, plots, and what changed in words.

use super::read::StudySide;
use super::sheets::settings;
use super::study::{Figure, KINDS, Kind, Row, Shown};
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Fact, Plot, Segment};
use warmpath_sheet::{Column, Format, Page, Sheet, Style, Value};

/// A row that both have.
#[derive(Clone, Copy, Debug)]
pub struct Twin<'a> {
    before: &'a Row,
    after: &'a Row,
}

impl Twin<'_> {
    fn change(&self, place: usize, figure: &Figure) -> Option<f64> {
        let (before, after) = (self.before.values[place]?, self.after.values[place]?);
        Some(figure.shown.difference(before, after)).filter(|change| change.is_finite())
    }
}

/// The rows that both have, in the order of the first.
pub fn twins<'a>(before: &'a StudySide, after: &'a StudySide) -> Vec<Twin<'a>> {
    let twin = |row: &'a Row| {
        let after = after.study.rows.iter().find(|other| other.name == row.name)?;
        Some(Twin { before: row, after })
    };
    before.study.rows.iter().filter_map(twin).collect()
}

/// Why differences are not those of what was changed alone.
fn not_comparable(before: &StudySide, after: &StudySide) -> Vec<String> {
    let sets = [("workload", "source."), ("seed", "seed")];
    let of = |side: &StudySide, begins: &str| -> Vec<(String, String)> {
        let all = side.settings.iter().filter(|(key, _)| key.starts_with(begins));
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let differ = sets.into_iter().filter(|(_, begins)| of(before, begins) != of(after, begins));
    differ
        .map(|(what, _)| format!("settings of the {what} differ, see the table of settings"))
        .collect()
}

fn title(kind: &Kind) -> String {
    format!("Differences of {}, {} by {}", kind.command, kind.of, kind.of)
}

/// What a person reads.
pub fn study_page(before: &StudySide, after: &StudySide, twins: &[Twin<'_>]) -> Page {
    let mut page = Page::default();
    page.prose([format!("A: {}; B: {}", before.name, after.name)]);
    page.prose(answers(before, after));
    let why = not_comparable(before, after);
    page.prose(why.iter().map(|why| format!("! Not comparable: {why}.")));
    let mut sheet = blank(before.study.kind);
    for twin in twins {
        let name = Value::from(twin.before.name.as_str());
        let cells = before.study.kind.figures.iter().enumerate().flat_map(|(place, figure)| {
            let value = |row: &Row| Value::or_blank(row.values[place]);
            [value(twin.before), value(twin.after), Value::or_blank(twin.change(place, figure))]
        });
        sheet.push(std::iter::once(name).chain(cells));
    }
    sheet.note(
        "B less A: of shares in points, of all others in percent of A. With several seeds: means, of TPOT the first seed.",
    );
    for (side, name) in [(before, "A"), (after, "B")] {
        let has = |row: &&Row| !twins.iter().any(|twin| twin.before.name == row.name);
        let alone: Vec<&str> =
            side.study.rows.iter().filter(has).map(|row| row.name.as_str()).collect();
        if !alone.is_empty() {
            sheet.note(format!("Only in {name}: {}.", alone.join("; ")));
        }
    }
    page.sheet(sheet);
    page.sheet(settings(&before.settings, &after.settings));
    page
}

/// What both answer, if their study has an answer.
fn answers(before: &StudySide, after: &StudySide) -> Option<String> {
    let (before, after) = (before.study.answer.as_ref()?, after.study.answer.as_ref()?);
    Some(match before == after {
        true => format!("Both advise: {before}."),
        false => format!("A advises: {before}. B advises: {after}."),
    })
}

/// The sheets without rows.
pub fn blanks() -> Vec<Sheet> {
    KINDS.map(blank).into()
}

fn blank(kind: &Kind) -> Sheet {
    let mut columns = vec![Column::text("name", kind.of, format!("The {}.", kind.of))];
    for figure in kind.figures {
        let (format, unit, suffix) = match figure.shown {
            Shown::Share => (Format::percent(1), "share", " %"),
            Shown::Seconds => (Format::of(Style::Seconds), "s", " s"),
            Shown::Milliseconds => (Format::milliseconds(1), "s", " ms"),
            Shown::Number => (Format::of(Style::Amount), "number", ""),
            Shown::Money => (Format::of(Style::Money), "amount", ""),
        };
        let group = format!("{}{suffix}", figure.heading);
        for (end, name) in [("a", "A"), ("b", "B")] {
            let meaning = format!("{}, in {name}.", figure.meaning);
            let column = Column::number(format!("{}_{end}", figure.key), name, unit, meaning);
            columns.push(column.format(format).under(group.clone()));
        }
        let of_change = figure.shown.of_change();
        let meaning = format!("{}: B less A, in {of_change}.", figure.meaning);
        let heading = format!("B-A {of_change}");
        let column = Column::number(format!("{}_change", figure.key), heading, of_change, meaning);
        columns.push(column.format(Format::of(Style::Signed(1))).under(group));
    }
    Sheet::new(title(kind), columns)
}

/// Adds the answer and the plots.
pub fn add_study(
    document: &mut Document,
    before: &StudySide,
    after: &StudySide,
    twins: &[Twin<'_>],
) {
    let kind = before.study.kind;
    document.title = format!("Two reports of {} side by side", kind.command);
    document.asked = format!("A: {}; B: {}", before.name, after.name);
    let why = not_comparable(before, after);
    document.answer.warnings = why.iter().map(|why| format!("Not comparable: {why}.")).collect();
    // The first plot is of what the study is about.
    let (place, main) = kind.main();
    let changes = || twins.iter().filter_map(|twin| Some((twin, twin.change(place, main)?)));
    let by = |one: &f64, other: &f64| one.total_cmp(other);
    let least = changes().min_by(|a, b| by(&a.1, &b.1));
    let most = changes().max_by(|a, b| by(&a.1, &b.1));
    let unit = main.shown.of_change();
    let ranged = match least.zip(most) {
        None => format!("No {} of both has {}.", kind.of, main.heading),
        Some(((_, low), (_, high))) if low == 0.0 && high == 0.0 => {
            format!("{} is the same in all {} rows.", main.meaning, twins.len())
        }
        Some(((_, low), (_, high))) => format!(
            "{} from A to B: {low:+.1} to {high:+.1} {unit}, over {} rows.",
            main.meaning,
            changes().count()
        ),
    };
    document.answer.headline = match answers(before, after) {
        Some(answers) => format!("{answers} {ranged}"),
        None => ranged,
    };
    let said = |label: &str, found: Option<(&Twin<'_>, f64)>| {
        found.map(|(twin, change)| {
            let note = format!("{} of \"{}\".", main.meaning, twin.before.name);
            Fact::new(label, format!("{change:+.1} {unit}"), note)
        })
    };
    document.answer.facts.extend(said("Highest change", most));
    document.answer.facts.extend(said("Lowest change", least));
    let plots = kind.figures.iter().enumerate().filter_map(|(place, figure)| {
        let factor = figure.shown.factor();
        let bars = twins.iter().flat_map(|twin| {
            let bar = |part: usize, side: &str, row: &Row| {
                let to = row.values[place]? * factor;
                let segments = vec![Segment { part, from: 0.0, to }];
                Some(Bar { name: format!("{side}: {}", row.name), segments })
            };
            [bar(0, "A", twin.before), bar(1, "B", twin.after)]
        });
        Some(Plot {
            title: figure.meaning.to_owned(),
            about: format!("By {}, of A and of B.", kind.of),
            chart: Chart::Bars(Bars {
                axis: Axis::linear(figure.axis?),
                of: kind.of.to_owned(),
                parts: vec!["A".to_owned(), "B".to_owned()],
                bars: bars.flatten().collect(),
                marks: Vec::new(),
            }),
        })
    });
    document.section("Side by side", "", plots);
}
