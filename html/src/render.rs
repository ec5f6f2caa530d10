//! The page.

use crate::document::{Answer, Document};
use crate::escape::escape;
use crate::figure::figure;
use crate::notes::lines;
use crate::palette::{DARK, LIGHT};
use crate::svg;
use crate::table::{legend, table};
use warmpath_sheet::{Part, Sheet};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The page may load nothing: not even a script of its own that is not in the file.
const POLICY: &str = include_str!("policy.txt");

/// The document as one HTML file, which is well-formed XML too. Equal documents give equal bytes.
pub fn render(document: &Document) -> String {
    let title = escape(&document.title);
    let style = style();
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <link rel=\"icon\" href=\"data:,\"/><title>{title}</title><style>{style}</style></head>\n<body>\
         <a class=\"skip\" href=\"#tables\">To the tables</a>{}\n<header><h1>{title}</h1>",
        escape(POLICY.trim_end()),
        svg::patterns()
    );
    if !document.asked.is_empty() {
        html.push_str(&format!("<p class=\"asked\">{}</p>", escape(&document.asked)));
    }
    html.push_str("</header>\n<main>");
    html.push_str(&answer(&document.answer));
    html.push_str(&plots(document));
    html.push_str(&tables(document));
    html.push_str(&made(&document.made));
    html.push_str(&format!(
        "</main>\n<div id=\"tip\" role=\"presentation\"></div>\n<script>{SCRIPT}</script>\n</body></html>\n"
    ));
    html
}

fn style() -> String {
    let (light, dark) = (LIGHT.declarations(), DARK.declarations());
    let series = (0..crate::palette::SERIES)
        .map(|i| format!(".c{i}{{--c:var(--s{i})}}"))
        .collect::<String>();
    format!(
        ":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{series}\n{STYLE}"
    )
}

/// Text in which no line ends before a percent sign.
fn held(text: &str) -> String {
    escape(text).replace(" %", "\u{a0}%")
}

fn answer(answer: &Answer) -> String {
    let mut html = String::from("<section id=\"answer\" aria-label=\"Answer\">");
    if !answer.headline.is_empty() {
        html.push_str(&format!("<p class=\"headline\">{}</p>", held(&answer.headline)));
    }
    for warning in &answer.warnings {
        html.push_str(&format!("<p class=\"warning\">{}</p>", escape(warning)));
    }
    if !answer.facts.is_empty() {
        html.push_str("<dl class=\"facts\">");
        for fact in &answer.facts {
            let [label, value, note] =
                [&fact.label, &fact.value, &fact.note].map(|text| held(text));
            html.push_str(&format!(
                "<div><dt>{label}</dt><dd><b>{value}</b><span>{note}</span></dd></div>"
            ));
        }
        html.push_str("</dl>");
    }
    html + &lines(&answer.more) + "</section>\n"
}

fn plots(document: &Document) -> String {
    let mut html = String::new();
    let mut number = 0;
    for section in &document.sections {
        html.push_str(&format!(
            "<section><h2>{}</h2>{}<div class=\"plots\">\n",
            escape(&section.title),
            noted(&section.note)
        ));
        for plot in &section.plots {
            number += 1;
            html.push_str(&figure(plot, &format!("plot{number}")));
        }
        html.push_str("</div></section>\n");
    }
    html
}

fn noted(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", escape(note)) }
}

fn tables(document: &Document) -> String {
    let mut html = String::from("<section id=\"tables\"><h2>Tables</h2>\n");
    if document.page.sheets().next().is_none() {
        html = String::from("<section id=\"tables\">");
    }
    let mut number = 0;
    for part in &document.page.parts {
        match part {
            Part::Prose(prose) => {
                html.push_str(&format!("<div class=\"prose\">{}</div>\n", lines(prose)))
            }
            Part::Sheet(sheet) => {
                number += 1;
                html.push_str(&titled_table(sheet, number));
            }
        }
    }
    html + "</section>\n"
}

fn titled_table(sheet: &Sheet, number: usize) -> String {
    let title = match sheet.title.trim_end_matches(':') {
        "" => format!("Table {number}"),
        title => title.to_owned(),
    };
    format!(
        "<section class=\"table\"><h3>{}</h3>{}{}<details><summary>What the columns mean</summary>{}</details></section>\n",
        escape(&title),
        table(sheet, &format!("table{number}"), &title),
        lines(&sheet.notes),
        legend(sheet)
    )
}

fn made(made: &[(String, String)]) -> String {
    if made.is_empty() {
        return String::new();
    }
    let mut html =
        String::from("<section id=\"made\"><h2>What this rests on</h2><dl class=\"made\">");
    for (name, value) in made {
        html.push_str(&format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value)));
    }
    html + "</dl></section>\n"
}
