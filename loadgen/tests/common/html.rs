//! Pages that `--html` writes, as the tests read them.

use super::loadgen;
use roxmltree::{Document, Node, ParsingOptions};
use std::path::Path;

/// The file that a command writes, which must be well-formed.
pub fn written(folder: &Path, args: &[&str]) -> String {
    let output = loadgen(folder, &[args, &["--html", "out.html"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let html = std::fs::read_to_string(folder.join("out.html")).expect("a file");
    parsed(&html);
    html
}

pub fn parsed(html: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(html, options).expect("well-formed")
}

pub fn text(node: &Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// The titles of a page's plots.
pub fn plots(html: &str) -> Vec<String> {
    let document = parsed(html);
    let figures = document.descendants().filter(|node| node.has_tag_name("figure"));
    let title = |figure: Node<'_, '_>| {
        let title = figure.descendants().find(|node| node.has_tag_name("h3"));
        text(&title.expect("a title"))
    };
    figures.map(title).collect()
}
