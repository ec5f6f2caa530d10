//! A sheet as an HTML table.

use crate::escape::escape;
use warmpath_sheet::{Align, Column, Row, Sheet, Value};

/// The table. `id` tells it from the others of the page; `caption` says what it is about.
pub fn table(sheet: &Sheet, id: &str, caption: &str) -> String {
    let caption = escape(caption);
    let columns = sheet.columns();
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table: {caption}\">\
         <table id=\"{id}\"><caption class=\"away\">{caption}</caption><thead>"
    );
    html.push_str(&groups_of(columns));
    html.push_str("<tr>");
    for (place, column) in columns.iter().enumerate() {
        let (class, meaning) = (class(column), escape(&column.meaning));
        // A heading says its group too: a screen reader reads one heading at a time.
        let group = column.group.as_ref().map(|group| escape(group));
        let group = group.filter(|group| !group.is_empty());
        let group =
            group.map_or_else(String::new, |group| format!("<span class=\"away\">{group} </span>"));
        let heading = escape(&column.heading);
        html.push_str(&format!(
            "<th scope=\"col\" class=\"{class}\" id=\"{id}-{place}\" title=\"{meaning}\">{group}{heading}</th>"
        ));
    }
    html.push_str("</tr></thead>");
    for group in sheet.groups() {
        html.push_str("<tbody>");
        group.iter().for_each(|row| html.push_str(&row_of(row, columns, sheet.labels)));
        html.push_str("</tbody>\n");
    }
    html + "</table></div>\n"
}

/// The headings over several columns. Nothing, if no column has one.
fn groups_of(columns: &[Column]) -> String {
    let name =
        |column: &Column| column.group.as_ref().map_or("", |group| group.as_ref()).to_owned();
    if columns.iter().all(|column| name(column).is_empty()) {
        return String::new();
    }
    let runs = columns.chunk_by(|one, next| name(one) == name(next));
    let cell = |run: &[Column]| {
        let (text, span) = (escape(&name(&run[0])), run.len());
        let class = if text.is_empty() { "" } else { " class=\"g\"" };
        format!("<td colspan=\"{span}\"{class}>{text}</td>")
    };
    let cells: String = runs.map(cell).collect();
    format!("<tr aria-hidden=\"true\">{cells}</tr>")
}

const fn class(column: &Column) -> &'static str {
    match column.align {
        Align::Left => "l",
        Align::Right => "n",
    }
}

fn row_of(row: &Row, columns: &[Column], labels: usize) -> String {
    let mut html = String::from("<tr>");
    for (place, (column, value)) in columns.iter().zip(row).enumerate() {
        let shown = escape(&column.shown(value));
        let sorted_by = sort_key(value);
        let sorted_by = sorted_by.map_or_else(String::new, |key| format!(" data-v=\"{key}\""));
        let class = class(column);
        let wide = if class == "l" && shown.chars().count() > 40 { " long" } else { "" };
        let (tag, scope) = match place < labels && class == "l" {
            true => ("th", " scope=\"row\""),
            false => ("td", ""),
        };
        html.push_str(&format!("<{tag}{scope} class=\"{class}{wide}\"{sorted_by}>{shown}</{tag}>"));
    }
    html + "</tr>"
}

/// The number that a cell is sorted by. None: it is sorted by its text, or has nothing.
fn sort_key(value: &Value) -> Option<f64> {
    match *value {
        Value::Whole(count) => Some(count as f64),
        Value::Number(number) => Some(number),
        Value::Interval { mean, .. } => Some(mean),
        Value::Band { low, high } => low.or(high),
        Value::Pair(first, _) => Some(first),
        Value::Absent | Value::Blank | Value::Text(_) | Value::Flag(_) => None,
    }
}

/// What each column means, as a list.
pub fn legend(sheet: &Sheet) -> String {
    let mut html = String::from("<dl>");
    for column in sheet.columns() {
        let heading = column.full_heading();
        let name = if heading.is_empty() { column.key.to_string() } else { heading };
        let (name, meaning) = (escape(&name), escape(&column.meaning));
        html.push_str(&format!("<dt>{name}</dt><dd>{meaning}</dd>"));
    }
    html + "</dl>"
}
