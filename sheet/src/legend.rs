//! What each column means, as a sheet.

use crate::column::Column;
use crate::sheet::Sheet;
use crate::value::Value;

/// A row for each column of `sheet`: its heading, its unit, its key and its meaning.
pub fn legend(sheet: &Sheet) -> Sheet {
    let mut legend = Sheet::new(
        sheet.title.clone(),
        vec![
            Column::text("heading", "column", "The column's heading in a table."),
            Column::text("shown_unit", "unit", "The unit that a table shows; empty for names."),
            Column::text("key", "key", "The column's name in CSV and JSON.")
                .under("in CSV and JSON")
                .wraps(),
            Column::text("unit", "unit", "The unit of the values in CSV and JSON.")
                .under("in CSV and JSON")
                .rank(1),
            Column::text("meaning", "meaning", "What the column says.").wraps(),
        ],
    )
    .dropping();
    for column in sheet.columns() {
        legend.push([
            Value::text_or_blank(column.full_heading()),
            Value::text_or_blank(column.shown_unit()),
            column.part_keys().join(" ").into(),
            Value::text_or_blank(column.unit.as_ref()),
            column.meaning.as_ref().into(),
        ]);
    }
    legend
}
