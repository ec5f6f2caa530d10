//! One row per request as Parquet, for a closer look than the figures give.
//!
//! `docs/metrics.md` lists the columns. Runs follow each other; each is sorted by the time at which
//! its requests were due. The key-value metadata in the footer holds the configuration, so that the
//! file says how it was made. Equal runs give equal bytes.

use crate::figures::{RunReport, wire_name};
use crate::files::PendingFile;
use anyhow::Result;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;
use warmpath_core::report::Row;

pub const SCHEMA: &str = "warmpath.requests.v1";
/// Rows per row group, the unit in which readers skip and load.
const GROUP: usize = 1 << 20;

/// What all requests of a file have in common.
#[derive(Debug)]
pub struct Origin {
    /// The configuration of the command, as JSON.
    pub config: String,
}

pub fn write(file: PendingFile, origin: &Origin, runs: &[RunReport]) -> Result<()> {
    file.write(|file| encode(file, origin, runs).map_err(std::io::Error::other))
}

fn encode(
    file: impl Write + Send,
    origin: &Origin,
    runs: &[RunReport],
) -> Result<(), ParquetError> {
    let fields = COLUMNS.map(|(name, column)| column.declared(name));
    let schema = parse_message_type(&format!("message requests {{ {}; }}", fields.join("; ")))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("warmpath loadgen ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(metadata(origin, runs)))
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    for run in runs {
        for rows in run.rows.chunks(GROUP) {
            let mut group = writer.next_row_group()?;
            for (_, column) in COLUMNS {
                let cell = |row| Cell { run, row };
                column.write(&mut group, rows.iter().map(cell))?;
            }
            group.close()?;
        }
    }
    writer.close()?;
    Ok(())
}

fn metadata(origin: &Origin, runs: &[RunReport]) -> Vec<KeyValue> {
    let pair = |key: &str, value: String| KeyValue::new(format!("warmpath.{key}"), value);
    // The engines of a running router have no profile, so they count as not validated.
    let validated = runs.iter().all(|run| run.profile_validated);
    vec![
        pair("schema", SCHEMA.to_owned()),
        pair("config", origin.config.clone()),
        pair("profile_validated", validated.to_string()),
    ]
}

/// A request and its run.
struct Cell<'a> {
    run: &'a RunReport,
    row: &'a Row,
}

impl Cell<'_> {
    /// None: the request has no answer, or its worker does not report tiers.
    fn hit_tokens(&self, tier: usize) -> Option<i64> {
        let cached = self.row.cached?;
        let told = cached.tokens == 0 || cached.by_tier.iter().any(|&tokens| tokens > 0);
        told.then(|| i64::from(cached.by_tier[tier]))
    }
}

/// How a column gets its values. Each column may have nulls.
#[derive(Clone, Copy)]
enum Column {
    Text(fn(&Cell<'_>) -> Option<String>),
    Whole(fn(&Cell<'_>) -> Option<i64>),
    /// A whole number of 64 bits without sign.
    Wide(fn(&Cell<'_>) -> u64),
    Number(fn(&Cell<'_>) -> Option<f64>),
    Flag(fn(&Cell<'_>) -> bool),
}

const COLUMNS: [(&str, Column); 25] = [
    ("policy", Column::Text(|c| c.run.policy.as_ref().map(|policy| policy.label.clone()))),
    ("variant", Column::Text(|c| c.run.variant.clone())),
    ("mode", Column::Text(|c| Some(c.run.mode.name().to_owned()))),
    ("rate_scale", Column::Number(|c| Some(c.run.rate_scale))),
    ("seed", Column::Wide(|c| c.run.seed)),
    ("request_id", Column::Text(|c| Some(wire_name(c.run.nonce, c.row.id)))),
    ("session", Column::Whole(|c| c.row.session.map(|session| session.0 as i64))),
    ("tenant", Column::Whole(|c| Some(i64::from(c.row.tenant.0)))),
    ("worker", Column::Whole(|c| c.row.worker.map(|worker| i64::from(worker.0)))),
    ("stage", Column::Text(|c| c.run.stages.as_ref().and_then(|all| all.name_of(c.row.id)))),
    ("prompt_tokens", Column::Whole(|c| Some(i64::from(c.row.prompt_tokens)))),
    ("output_tokens", Column::Whole(|c| Some(i64::from(c.row.output_tokens)))),
    ("hit_tokens", Column::Whole(|c| c.row.cached.map(|cached| i64::from(cached.tokens)))),
    ("hit_tokens_tier0", Column::Whole(|c| c.hit_tokens(0))),
    ("hit_tokens_tier1", Column::Whole(|c| c.hit_tokens(1))),
    ("hit_tokens_tier2", Column::Whole(|c| c.hit_tokens(2))),
    ("hit_tokens_tier3", Column::Whole(|c| c.hit_tokens(3))),
    ("intended_s", Column::Number(|c| Some(c.row.intended.as_secs_f64()))),
    ("sent_s", Column::Number(|c| Some(c.row.sent.as_secs_f64()))),
    ("first_token_s", Column::Number(|c| c.row.first_token.map(|at| at.as_secs_f64()))),
    ("ended_s", Column::Number(|c| Some(c.row.ended.as_secs_f64()))),
    ("ttft_s", Column::Number(|c| c.row.ttft().map(|ttft| ttft.as_secs_f64()))),
    ("tpot_s", Column::Number(|c| c.row.tpot_s())),
    ("answered", Column::Flag(|c| c.row.failed.is_none())),
    ("error", Column::Text(|c| c.row.failed.as_deref().map(str::to_owned))),
];

impl Column {
    fn declared(self, name: &str) -> String {
        match self {
            Self::Text(_) => format!("optional byte_array {name} (string)"),
            Self::Whole(_) => format!("optional int64 {name}"),
            Self::Wide(_) => format!("optional int64 {name} (integer(64,false))"),
            Self::Number(_) => format!("optional double {name}"),
            Self::Flag(_) => format!("optional boolean {name}"),
        }
    }

    fn write<'a, W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        cells: impl Iterator<Item = Cell<'a>>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Text(of) => {
                let text = |cell| of(&cell).map(|text| ByteArray::from(text.into_bytes()));
                write_column::<ByteArrayType, W>(group, cells.map(text))
            }
            Self::Whole(of) => write_column::<Int64Type, W>(group, cells.map(|cell| of(&cell))),
            Self::Wide(of) => {
                write_column::<Int64Type, W>(group, cells.map(|cell| Some(of(&cell) as i64)))
            }
            Self::Number(of) => write_column::<DoubleType, W>(group, cells.map(|cell| of(&cell))),
            Self::Flag(of) => write_column::<BoolType, W>(group, cells.map(|cell| Some(of(&cell)))),
        }
    }
}

pub fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut present) = (Vec::new(), Vec::new());
    for cell in cells {
        present.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    let mut column = group.next_column()?.expect("a column of the schema is left");
    column.typed::<T>().write_batch(&values, Some(&present), None)?;
    column.close()
}
