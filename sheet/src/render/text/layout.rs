//! Which columns stand in which table, and how wide each is.

use super::strip::{Strip, spans};
use crate::column::Align;
use crate::sheet::Narrow;
use crate::width;

/// The least that a column which wraps shrinks to while other means are left.
const WRAPPED: usize = 24;
/// The least that a column of text shrinks to when no other means is left.
const BROKEN: usize = 8;
/// Columns stand this far apart.
const GAP: usize = 2;
/// They stand closer if that makes them fit, unless a blank in a heading would look like the end of a column.
const CLOSE: usize = 1;

/// One table: the columns in it, their widths, and the room between them.
#[derive(Clone, PartialEq, Debug)]
pub struct Piece {
    pub columns: Vec<usize>,
    pub widths: Vec<usize>,
    pub gap: usize,
}

/// What becomes of a sheet in a given width.
#[derive(Clone, PartialEq, Debug)]
pub struct Layout {
    pub pieces: Vec<Piece>,
    /// Columns that are left out, in their order.
    pub dropped: Vec<usize>,
    /// The width at which nothing is left out or broken.
    pub whole: usize,
}

pub fn layout(strips: &[Strip], labels: usize, narrow: Narrow, most: usize) -> Layout {
    let all: Vec<usize> = (0..strips.len()).collect();
    let whole = total(&natural(strips, &all, GAP), GAP);
    let mut kept = all.clone();
    let mut dropped = Vec::new();
    loop {
        if let Some(piece) = fit(strips, &kept, most) {
            return Layout { pieces: vec![piece], dropped, whole };
        }
        // Of two columns with the same rank the right one goes first.
        let first_to_go = kept.iter().copied().filter(|&column| strips[column].rank > 0);
        match first_to_go.max_by_key(|&column| (strips[column].rank, column)) {
            Some(column) if narrow == Narrow::Drop => {
                kept.retain(|&other| other != column);
                dropped.push(column);
                dropped.sort_unstable();
            }
            _ => return Layout { pieces: broken(strips, &kept, labels, most), dropped, whole },
        }
    }
}

/// The columns in one table, if that can be without cutting words.
fn fit(strips: &[Strip], columns: &[usize], most: usize) -> Option<Piece> {
    let has_blank = columns.iter().any(|&column| strips[column].heading.contains(' '));
    let closest = if has_blank { GAP } else { CLOSE };
    for gap in (closest..=GAP).rev() {
        let widths = natural(strips, columns, gap);
        if total(&widths, gap) <= most {
            return Some(Piece { columns: columns.to_vec(), widths, gap });
        }
    }
    shrunk(strips, columns, most, WRAPPED, |strip| strip.wraps)
}

/// Takes width from the widest columns that may shrink, if that is enough.
fn shrunk(
    strips: &[Strip],
    columns: &[usize],
    most: usize,
    least: usize,
    may_shrink: impl Fn(&Strip) -> bool,
) -> Option<Piece> {
    let gap = GAP;
    let mut widths = natural(strips, columns, gap);
    while total(&widths, gap) > most {
        let may = |&i: &usize| {
            let strip = &strips[columns[i]];
            may_shrink(strip) && widths[i] > least.max(width::of(&strip.heading))
        };
        let widest = (0..columns.len()).filter(may).max_by_key(|&i| widths[i])?;
        widths[widest] -= 1;
    }
    Some(Piece { columns: columns.to_vec(), widths, gap })
}

/// What heading and cells need. A heading over several columns may need more than they do.
fn natural(strips: &[Strip], columns: &[usize], gap: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|&column| strips[column].natural()).collect();
    for span in spans(strips, columns) {
        let group = strips[columns[span.start]].group.as_deref().map_or(0, width::of);
        let own = total(&widths[span.clone()], gap);
        widths[span.start] += group.saturating_sub(own);
    }
    widths
}

fn total(widths: &[usize], gap: usize) -> usize {
    widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1)
}

/// As few tables as possible, as equally wide as possible, each with the label columns.
fn broken(strips: &[Strip], columns: &[usize], labels: usize, most: usize) -> Vec<Piece> {
    let (labels, rest) = columns.split_at(labels.min(columns.len()));
    let greedy = split(strips, labels, rest, most);
    let least = total(&natural(strips, labels, CLOSE), CLOSE);
    let even = (least..most).map(|width| split(strips, labels, rest, width));
    let even = even.filter(|sets| sets.len() <= greedy.len()).find(|sets| {
        // In less room a word might have to be cut that need not be.
        sets.iter().all(|columns| fit(strips, columns, most).is_some())
    });
    let sets = even.unwrap_or(greedy);
    let piece = |columns: &Vec<usize>| {
        fit(strips, columns, most).unwrap_or_else(|| forced(strips, columns, most))
    };
    sets.iter().map(piece).collect()
}

/// Fills one table after the other with as many columns as fit. Columns under one heading stay together where they fit
/// in one table.
fn split(strips: &[Strip], labels: &[usize], rest: &[usize], most: usize) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let spans = spans(strips, rest).into_iter().rev();
    let mut units: Vec<Vec<usize>> = spans.map(|span| rest[span].to_vec()).collect();
    while let Some(unit) = units.pop() {
        let fits = |columns: &[usize]| fit(strips, columns, most).is_some();
        let alone = [labels, &unit].concat();
        match sets.last_mut() {
            Some(last) if fits(&[last, unit.as_slice()].concat()) => last.extend(unit),
            _ if fits(&alone) || unit.len() == 1 => sets.push(alone),
            _ => units.extend(unit.into_iter().rev().map(|column| vec![column])),
        }
    }
    if sets.is_empty() {
        sets.push(labels.to_vec());
    }
    sets
}

/// Breaks the text of any column; where that is not enough the table is wider than `most`.
fn forced(strips: &[Strip], columns: &[usize], most: usize) -> Piece {
    let is_text = |strip: &Strip| strip.align == Align::Left;
    let shrunk = shrunk(strips, columns, most, BROKEN, is_text);
    shrunk.unwrap_or_else(|| {
        let widths = natural(strips, columns, CLOSE);
        Piece { columns: columns.to_vec(), widths, gap: CLOSE }
    })
}
