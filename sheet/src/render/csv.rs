//! A sheet as CSV (RFC 4180, lines end in a line feed): the keys as header, then a line for each row.

use crate::column::Column;
use crate::sheet::Sheet;
use crate::value::Value;

/// The sheet as CSV. Numbers have full precision; a missing value is an empty field.
pub fn csv(sheet: &Sheet) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let keys = sheet.columns().iter().flat_map(Column::part_keys);
    let mut write = |fields: Vec<String>| {
        writer.write_record(fields).expect("memory takes all, and rows have as many fields");
    };
    write(keys.collect());
    for row in sheet.rows() {
        let cells = sheet.columns().iter().zip(row);
        let parts = cells.flat_map(|(column, value)| column.parts(value));
        write(parts.map(|part| field(&part)).collect());
    }
    let bytes = writer.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("all fields are text")
}

fn field(part: &Value) -> String {
    match part {
        Value::Text(text) => text.clone(),
        Value::Flag(flag) => flag.to_string(),
        Value::Whole(count) => count.to_string(),
        Value::Number(number) => number.to_string(),
        // A column's shape says how many parts there are, so nothing else comes here.
        _ => String::new(),
    }
}
