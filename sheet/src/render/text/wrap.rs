//! Breaks text into lines.

use crate::width;
use unicode_width::UnicodeWidthChar;

/// The lines of a cell, none wider than `most`. A word that is wider is broken.
pub fn cell(text: &str, most: usize) -> Vec<String> {
    wrap(text, most, "")
}

/// The lines of a paragraph. They are indented as the first is; those of a list item stand behind its dash.
pub fn paragraph(text: &str, most: usize) -> Vec<String> {
    let blanks = text.len() - text.trim_start_matches(' ').len();
    let dash = if text[blanks..].starts_with("- ") { 2 } else { 0 };
    wrap(text, most, &" ".repeat((blanks + dash).min(most / 2)))
}

fn wrap(text: &str, most: usize, indent: &str) -> Vec<String> {
    if width::of(text) <= most {
        return vec![text.to_owned()];
    }
    let most = most.max(1);
    let mut lines = Vec::new();
    // Blanks at the start are kept: they say what belongs to what.
    let blanks = text.len() - text.trim_start_matches(' ').len();
    let mut line = " ".repeat(blanks.min(most - 1));
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let gap = usize::from(!is_empty);
        if !is_empty && width::of(&line) + gap + width::of(word) > most {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if gap == 1 {
            line.push(' ');
        }
        is_empty = false;
        for letter in word.chars() {
            if width::of(&line) + letter.width().unwrap_or(0) > most {
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(cell("a fleet of workers", 8), ["a fleet", "of", "workers"]);
        assert_eq!(cell("fits", 4), ["fits"]);
        assert_eq!(cell("http://host:9000", 6), ["http:/", "/host:", "9000"]);
        assert_eq!(cell("ab longest", 4), ["ab", "long", "est"]);
    }

    #[test]
    fn a_list_item_stands_behind_its_dash() {
        assert_eq!(paragraph("- one two three", 9), ["- one two", "  three"]);
        assert_eq!(paragraph("  one two three", 9), ["  one two", "  three"]);
        assert_eq!(paragraph("one two three", 9), ["one two", "three"]);
    }

    #[test]
    fn a_letter_may_be_two_columns_wide() {
        assert_eq!(cell("日本語", 4), ["日本", "語"]);
    }
}
