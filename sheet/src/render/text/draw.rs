//! The lines of one table.

use super::layout::Piece;
use super::strip::{Strip, spans};
use super::wrap;
use crate::column::Align;
use crate::width;

/// The table with its headings. `rows`: how many rows each group has; a blank line stands between groups.
pub fn table(strips: &[Strip], rows: &[usize], piece: &Piece) -> String {
    let of = |column: &usize| &strips[*column];
    let mut lines: Vec<String> = Vec::new();
    if piece.columns.iter().map(of).any(|strip| strip.group.is_some()) {
        lines.push(over(strips, piece));
    }
    let headings = piece.columns.iter().map(|column| vec![of(column).heading.clone()]).collect();
    lines.extend(row(strips, piece, headings));
    let mut next = 0;
    for count in rows {
        if next > 0 {
            lines.push(String::new());
        }
        for i in next..next + count {
            let cells = piece.columns.iter().zip(&piece.widths);
            let cells = cells.map(|(column, &width)| wrap::cell(&of(column).cells[i], width));
            lines.extend(row(strips, piece, cells.collect()));
        }
        next += count;
    }
    lines.join("\n") + "\n"
}

/// Headings over several columns begin where the first of these begins; one over a single column stands as its cells.
fn over(strips: &[Strip], piece: &Piece) -> String {
    let mut line = String::new();
    for span in spans(strips, &piece.columns) {
        let strip = &strips[piece.columns[span.start]];
        let gaps = piece.gap * (span.len() - 1);
        let room = piece.widths[span.clone()].iter().sum::<usize>() + gaps;
        let align = if span.len() == 1 { strip.align } else { Align::Left };
        let before = if span.start == 0 { 0 } else { piece.gap };
        line += &" ".repeat(before);
        line += &padded(strip.group.as_deref().unwrap_or_default(), room, align);
    }
    line.trim_end().to_owned()
}

/// The lines of one row, given the lines of each cell.
fn row(strips: &[Strip], piece: &Piece, cells: Vec<Vec<String>>) -> Vec<String> {
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |i: usize| {
        let cells = cells.iter().zip(&piece.columns).zip(&piece.widths);
        let padded = cells.map(|((cell, &column), &width)| {
            let text = cell.get(i).map_or("", String::as_str);
            padded(text, width, strips[column].align)
        });
        let line = padded.collect::<Vec<_>>().join(&" ".repeat(piece.gap));
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn padded(text: &str, room: usize, align: Align) -> String {
    let blanks = " ".repeat(room.saturating_sub(width::of(text)));
    match align {
        Align::Left => format!("{text}{blanks}"),
        Align::Right => format!("{blanks}{text}"),
    }
}
