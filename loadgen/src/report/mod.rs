//! How figures are shown to people and to programs. Each table is a file that makes a sheet;
//! [`page`] puts them together, and [`Screen`] draws them.

mod bounds;
mod capacities;
mod classes;
pub mod columns;
mod course;
mod devices;
mod economics;
mod footnotes;
mod grid;
mod groups;
pub mod html;
mod json;
mod links;
mod output;
mod over_seeds;
mod owners;
mod page;
mod ranking;
mod requests;
pub mod rooms;
mod runs;
mod screen;
mod series;
mod signs;
mod stages;
mod tiers;
mod verdicts;

pub use course::series as series_of;
pub use json::{Report, SCHEMA};
pub use output::OutputFiles;
pub use page::{blanks, page};
pub use requests::{Origin, write as write_requests};
pub use runs::csv;
pub use screen::{HtmlFile, Screen, print};
pub use series::write as write_series;
