//! Paragraphs and lists.

use crate::escape::escape;

/// Lines as a paragraph each; those that begin with a hyphen are a list. Lines with ` !` at their front are
/// warnings.
pub fn lines(lines: &[String]) -> String {
    let mut html = String::new();
    let mut in_list = false;
    for line in lines {
        let item = line.strip_prefix("- ");
        if item.is_some() != in_list {
            html.push_str(if in_list { "</ul>" } else { "<ul>" });
            in_list = !in_list;
        }
        let text = escape(item.unwrap_or(line));
        let tag = if in_list { "li" } else { "p" };
        let class = if line.starts_with("! ") { " class=\"warning\"" } else { "" };
        html.push_str(&format!("<{tag}{class}>{text}</{tag}>"));
    }
    if in_list {
        html.push_str("</ul>");
    }
    html
}
