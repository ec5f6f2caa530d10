//! A sheet as JSON: title, columns with key, unit and meaning, rows as objects, notes.

use crate::column::{Column, Shape};
use crate::sheet::{Row, Sheet};
use crate::value::Value;
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// A sheet that serde can write.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a Sheet);

/// The sheet as indented JSON. A missing value is null.
pub fn json(sheet: &Sheet) -> String {
    serde_json::to_string_pretty(&Json(sheet)).expect("keys are text and memory takes all")
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sheet = self.0;
        let columns: Vec<_> = sheet.columns().iter().map(About).collect();
        let rows: Vec<_> = sheet.rows().map(|row| Members(sheet.columns(), row)).collect();
        let mut object = serializer.serialize_struct("Sheet", 4)?;
        object.serialize_field("title", &sheet.title)?;
        object.serialize_field("columns", &columns)?;
        object.serialize_field("rows", &rows)?;
        object.serialize_field("notes", &sheet.notes)?;
        object.end()
    }
}

struct About<'a>(&'a Column);

impl Serialize for About<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let column = self.0;
        let mut object = serializer.serialize_struct("Column", 4)?;
        object.serialize_field("key", &column.key)?;
        object.serialize_field("heading", &column.full_heading())?;
        object.serialize_field("unit", &column.unit)?;
        object.serialize_field("meaning", &column.meaning)?;
        object.end()
    }
}

struct Members<'a>(&'a [Column], &'a Row);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (column, value) in self.0.iter().zip(self.1) {
            object.serialize_entry(&column.key, &Cell(column.shape, value))?;
        }
        object.end()
    }
}

struct Cell<'a>(Shape, &'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self.1 {
            Value::Absent | Value::Blank => serializer.serialize_none(),
            Value::Text(ref text) => serializer.serialize_str(text),
            Value::Flag(flag) => serializer.serialize_bool(flag),
            Value::Whole(count) => serializer.serialize_u64(count),
            Value::Number(number) => serializer.serialize_f64(number),
            Value::Interval { mean, half } => {
                two(serializer, ["mean", "half_width_95"], (Some(mean), half))
            }
            Value::Band { low, high } => two(serializer, self.names(), (low, high)),
            Value::Pair(first, second) => {
                two(serializer, self.names(), (Some(first), Some(second)))
            }
        }
    }
}

impl Cell<'_> {
    /// What the two parts of the value are called.
    const fn names(&self) -> [&'static str; 2] {
        match self.0 {
            Shape::Band(names) | Shape::Pair(names) => names,
            Shape::One | Shape::Interval => ["first", "second"],
        }
    }
}

fn two<S: Serializer>(
    serializer: S,
    names: [&'static str; 2],
    values: (Option<f64>, Option<f64>),
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(2))?;
    object.serialize_entry(names[0], &values.0)?;
    object.serialize_entry(names[1], &values.1)?;
    object.end()
}
