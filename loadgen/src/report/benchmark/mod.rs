//! llm-d's benchmark report, version 0.2, which `llm-d-benchmark` and its tools read. A run is a document, and a
//! document is a file. The names of fields and of units are those of the schema that the package
//! `llmd-benchmark-report` prints. What it has no field for is left out, or stands under `observability.warmpath`,
//! where the schema allows more.

mod document;
mod files;
mod load;
mod parts;
mod results;
mod stack;

pub use files::BenchmarkFiles;
pub use parts::Asked;
