//! A table as a file: CSV, or Parquet where the file's name ends so.

use super::requests::write_column;
use crate::files::PendingFile;
use anyhow::Result;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use warmpath_sheet::{Sheet, Value, render};

/// Writes a sheet whose cells are single values.
pub fn write(file: PendingFile, path: &Path, sheet: &Sheet) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return file.write(|file| encode(file, sheet).map_err(std::io::Error::other));
    }
    file.finish(render::csv(sheet).as_bytes())
}

fn encode(file: impl Write + Send, sheet: &Sheet) -> Result<(), ParquetError> {
    let kind = |quantity| if quantity { "double" } else { "byte_array" };
    let field = |column: &warmpath_sheet::Column| {
        let text = if column.is_quantity() { "" } else { " (string)" };
        format!("optional {} {}{text}", kind(column.is_quantity()), column.key)
    };
    let fields: Vec<String> = sheet.columns().iter().map(field).collect();
    let schema = parse_message_type(&format!("message series {{ {}; }}", fields.join("; ")))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("warmpath loadgen ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (place, column) in sheet.columns().iter().enumerate() {
        let cells = sheet.rows().map(|row| &row[place]);
        match column.is_quantity() {
            true => write_column::<DoubleType, _>(&mut group, cells.map(number))?,
            false => write_column::<ByteArrayType, _>(&mut group, cells.map(text))?,
        }
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Whole(count) => Some(*count as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn text(value: &Value) -> Option<ByteArray> {
    match value {
        Value::Text(text) => Some(ByteArray::from(text.clone().into_bytes())),
        _ => None,
    }
}
