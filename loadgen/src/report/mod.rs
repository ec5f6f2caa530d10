//! What a person or a program reads of figures. Each table has a file. [`text`] puts them together.

mod capacities;
mod classes;
mod csv;
mod devices;
mod economics;
mod footnotes;
mod grid;
mod groups;
mod json;
pub mod layout;
mod links;
mod numbers;
mod output;
mod owners;
mod requests;
mod singles;
mod text;
mod tiers;
mod verdicts;

pub use csv::render as csv;
pub use json::{Report, SCHEMA};
pub use numbers::amount;
pub use output::OutputFiles;
pub use requests::{Origin, write as write_requests};
pub use text::render;
