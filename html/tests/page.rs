//! The page as a browser gets it: well-formed, complete, and harmless whatever the names in it.

use roxmltree::{Document as Xml, Node, ParsingOptions};
use warmpath_html::{
    Answer, Axis, Bar, Bars, Chart, Document, Fact, Heat, Line, Lines, Mark, Plot, Segment, render,
};
use warmpath_sheet::{Column, Page, Sheet, Value};

const HOSTILE: &str = "<script>alert('x')</script> & \"quoted\" ]]> \u{1b}[31m";

fn plot(title: &str, chart: Chart) -> Plot {
    Plot { title: title.to_owned(), about: "How it is read.".to_owned(), chart }
}

fn lines(name: &str) -> Chart {
    let points = vec![(1.0, 10.0), (2.0, f64::NAN), (4.0, 40.0), (0.0, 1.0)];
    Chart::Lines(Lines {
        x: Axis::log("load, requests/s"),
        y: Axis::linear("share, %").up_to(100.0),
        of: "policy".to_owned(),
        lines: vec![Line::new(name, points.clone()), Line::dots("other", points)],
        marks: vec![Mark::upright("SLO", 3.0), Mark::across("limit", 90.0)],
    })
}

fn bars(name: &str) -> Chart {
    let odd = Bar { name: "odd".into(), segments: vec![Segment { part: 1, from: 2.0, to: 5.0 }] };
    Chart::Bars(Bars {
        axis: Axis::linear("time, s"),
        of: "request".to_owned(),
        parts: vec!["queue".to_owned(), "prefill".to_owned()],
        bars: vec![Bar::stacked(name, [1.0, 3.0]), odd],
        marks: vec![Mark::upright("now", 2.0)],
    })
}

fn heat(name: &str) -> Chart {
    Chart::Heat(Heat {
        x: Axis::linear("time, s"),
        from: 0.0,
        to: 8.0,
        of: "worker".to_owned(),
        unit: "requests".to_owned(),
        rows: vec![name.to_owned(), "w1".to_owned()],
        cells: vec![vec![0.0, 1.0, 2.0, 3.0], vec![3.0, 3.0, 0.0, 0.0]],
        most: 3.0,
    })
}

fn document(name: &str) -> Document {
    let columns = vec![
        Column::text("name", "policy", "The policy."),
        Column::number("ttft", "mean", "s", "The mean.").under("TTFT s").interval(),
        Column::text("remark", "", "A remark."),
    ];
    let mut sheet = Sheet::new("Runs", columns);
    sheet.push([name.into(), Value::interval(2.5, Some(0.1)), Value::Blank]);
    sheet.push(["b".into(), Value::Absent, "slow".into()]);
    sheet.note(name);
    let mut page = Page::default();
    page.sheet(sheet);
    page.prose([format!("- {name}"), "! a warning".to_owned()]);
    let answer = Answer {
        headline: format!("{name} leads by 5 %."),
        facts: vec![Fact::new(name, name, name)],
        more: vec![name.to_owned()],
        warnings: vec![name.to_owned()],
    };
    let made = vec![(name.to_owned(), name.to_owned())];
    let (title, asked) = (name.to_owned(), name.to_owned());
    let mut document = Document { title, asked, answer, page, made, ..Document::default() };
    let all = [lines(name), bars(name), heat(name)].map(|chart| plot(name, chart));
    document.section(name, name, all);
    document
}

fn parsed(html: &str) -> Xml<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Xml::parse_with_options(html, options).expect("well-formed")
}

fn all<'a>(xml: &'a Xml<'_>, tag: &'a str) -> Vec<Node<'a, 'a>> {
    xml.descendants().filter(|node| node.has_tag_name(tag)).collect()
}

fn text(node: &Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

#[test]
fn a_name_is_text_wherever_it_stands() {
    let html = render(&document(HOSTILE));
    let xml = parsed(&html);
    assert_eq!(all(&xml, "script").len(), 1, "the page's own");
    assert!(!html.contains("alert('x')"), "no name is as it was");
    let shown = HOSTILE.replace('\u{1b}', "?");
    let names = xml.descendants().filter(|node| node.is_text() && node.text() == Some(&shown));
    // Title twice, question, warning, fact three times, sentence, section and its note, three plots, a series, a
    // bar, a worker, and the tables.
    assert!(names.count() >= 20, "each stands where it should");
}

#[test]
fn the_control_of_the_parser() {
    let html = render(&document("a"));
    let broken = html.replacen("</h1>", "", 1);
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    assert!(Xml::parse_with_options(&broken, options).is_err(), "a missing tag is found");
}

#[test]
fn every_plot_has_a_name_a_drawing_and_its_data() {
    let html = render(&document("warmpath"));
    let xml = parsed(&html);
    let figures = all(&xml, "figure");
    assert_eq!(figures.len(), 3);
    for figure in &figures {
        let svg = figure.children().find(|node| node.has_tag_name("svg")).expect("a drawing");
        let label = svg.attribute("aria-labelledby").expect("it has a name");
        let named = xml.descendants().find(|node| node.attribute("id") == Some(label));
        assert_eq!(named.map(|node| text(&node)).as_deref(), Some("warmpath"));
        let shapes = svg.descendants().filter(|node| {
            ["d", "points"].iter().any(|name| node.attribute(*name).is_some_and(|d| !d.is_empty()))
                || node.has_tag_name("rect")
        });
        assert!(shapes.count() > 0, "something is drawn");
        let rows = figure.descendants().filter(|node| node.has_tag_name("tr"));
        assert!(rows.count() > 2, "a table with data");
    }
    let ids: Vec<&str> = xml.descendants().filter_map(|node| node.attribute("id")).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "an id stands for one thing: {ids:?}");
}

#[test]
fn a_broken_line_is_drawn_in_pieces_and_points_off_the_axis_are_left_out() {
    let mut page = Document::default();
    page.section("s", "", [plot("p", lines("a"))]);
    let html = render(&page);
    let xml = parsed(&html);
    let path = xml.descendants().find(|node| node.attribute("class") == Some("l c0")).expect("a");
    let drawn = path.attribute("d").expect("a path");
    assert_eq!(drawn.matches('M').count(), 2, "a gap: {drawn}");
    assert!(!html.contains("NaN") && !html.contains("inf"), "every place is a number");
    let values = xml.descendants().filter(|node| node.attribute("class") == Some("v"));
    assert_eq!(values.count(), 4, "two points of each series: not the gap, not 0 on a log axis");
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let html = render(&document("a"));
    let xml = parsed(&html);
    for node in xml.descendants() {
        for name in ["src", "href", "action", "poster", "data"] {
            let target = node.attribute(name).unwrap_or("#");
            assert!(target.starts_with('#') || target == "data:,", "{name}={target}");
        }
    }
    let script = text(&all(&xml, "script")[0]);
    let style = text(&all(&xml, "style")[0]);
    for loads in ["fetch", "XMLHttp", "import", "WebSocket", "http:", "https:", "@font-face"] {
        assert!(!script.contains(loads) && !style.contains(loads), "{loads}");
    }
    assert!(!style.contains("url("), "no file of a style");
    assert!(html.contains("default-src &#39;none&#39;"), "and the browser would refuse to");
}

#[test]
fn a_table_can_be_sorted_by_its_numbers_and_says_what_columns_mean() {
    let html = render(&document("a"));
    let xml = parsed(&html);
    let table = xml.descendants().find(|node| node.attribute("id") == Some("table1")).expect("it");
    let cells: Vec<_> =
        table.descendants().filter(|node| node.attribute("data-v").is_some()).collect();
    assert_eq!(cells.len(), 1, "a missing value has no number");
    assert_eq!(cells[0].attribute("data-v"), Some("2.5"));
    assert_eq!(text(&cells[0]), "2.5 ±0.1");
    let headings = table.descendants().filter(|node| node.attribute("scope") == Some("col"));
    let meanings: Vec<_> = headings.filter_map(|node| node.attribute("title")).collect();
    assert_eq!(meanings, ["The policy.", "The mean.", "A remark."]);
}

#[test]
fn a_plot_without_data_is_left_out() {
    let mut page = Document::default();
    let empty = Lines {
        x: Axis::log("x"),
        y: Axis::linear("y"),
        of: "policy".to_owned(),
        lines: vec![Line::new("a", vec![(0.0, 1.0), (f64::NAN, 2.0)])],
        marks: vec![Mark::upright("SLO", 1.0)],
    };
    page.section("s", "", [plot("p", Chart::Lines(empty))]);
    assert!(page.sections.is_empty());
    let html = render(&page);
    assert!(all(&parsed(&html), "figure").is_empty());
}

#[test]
fn equal_documents_are_equal_bytes() {
    assert_eq!(render(&document("a")), render(&document("a")));
    assert_ne!(render(&document("a")), render(&document("b")));
}
