//! What holds for every sheet at every width.

use super::text;
use crate::column::Column;
use crate::sheet::Sheet;
use crate::value::Value;
use crate::width;
use proptest::prelude::*;

/// A sheet of columns with the given widths. Each cell has a value that no other has; every third column has a heading
/// in common with its right neighbour.
fn sheet(widths: &[usize], rows: usize, labels: usize) -> Sheet {
    let column = |(i, width): (usize, &usize)| {
        let heading = format!("h{i}");
        let column = match i < labels || width % 2 == 0 {
            true => Column::text(format!("k{i}"), heading, "Text."),
            false => Column::number(format!("k{i}"), heading, "ratio", "A number."),
        };
        let column = if i % 3 < 2 { column.under(format!("g{}", i / 3)) } else { column };
        column.rank(if i < labels { 0 } else { (i % 5 + 1) as u8 })
    };
    let columns = widths.iter().enumerate().map(column).collect();
    let mut sheet = Sheet::new("", columns).labels(labels);
    for row in 0..rows {
        if row % 3 == 2 {
            sheet.begin_group();
        }
        let cell = |(i, &width): (usize, &usize)| value(row, i, width).into();
        sheet.push(widths.iter().enumerate().map(cell).collect::<Vec<Value>>());
    }
    sheet
}

/// At least four letters.
fn value(row: usize, column: usize, width: usize) -> String {
    format!("{}{:.<width$}", row + 1, format!("c{column}."))
}

fn longest(text: &str) -> usize {
    text.lines().map(width::of).max().unwrap_or(0)
}

/// In how many lines a value stands.
fn lines_with(text: &str, value: &str) -> usize {
    text.lines().filter(|line| line.split_whitespace().any(|word| word == value)).count()
}

proptest! {
    #[test]
    fn no_line_is_too_long_where_columns_can_be_dropped(
        widths in prop::collection::vec(4_usize..30, 1..16),
        rows in 1_usize..6,
        most in 40_usize..220,
    ) {
        let shown = text(&sheet(&widths, rows, 1).dropping(), most);
        prop_assert!(longest(&shown) <= most, "{most}:\n{shown}");
        // What is not shown is named.
        for i in 0..widths.len() {
            let heading = format!("h{i}");
            let names = shown.split(|c: char| !c.is_alphanumeric()).any(|word| word == heading);
            prop_assert!(names, "{heading} is lost at {most}:\n{shown}");
        }
    }

    #[test]
    fn no_value_is_lost_where_a_table_is_broken(
        widths in prop::collection::vec(4_usize..20, 1..16),
        rows in 1_usize..6,
        labels in 1_usize..3,
        most in 70_usize..220,
    ) {
        let labels = labels.min(widths.len());
        let shown = text(&sheet(&widths, rows, labels), most);
        prop_assert!(longest(&shown) <= most, "{most}:\n{shown}");
        for row in 0..rows {
            for (i, &width) in widths.iter().enumerate() {
                let times = lines_with(&shown, &value(row, i, width));
                let wanted = if i < labels { times.max(1) } else { 1 };
                prop_assert_eq!(times, wanted, "{} at {}:\n{}", value(row, i, width), most, shown);
            }
        }
    }

    #[test]
    fn the_width_that_is_named_shows_all(widths in prop::collection::vec(4_usize..30, 2..16)) {
        let sheet = sheet(&widths, 2, 1);
        let whole = text(&sheet, 10_000);
        let named = longest(&whole);
        prop_assert_eq!(text(&sheet, named), whole);
    }
}
