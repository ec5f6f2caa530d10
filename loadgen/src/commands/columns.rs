//! `columns`: what each column of each table means.

use crate::report::Screen;
use crate::{fidelity, report, studies};
use anyhow::Result;
use std::process::ExitCode;
use warmpath_router::answers;
use warmpath_sheet::{Page, Sheet, legend};

/// Says what each column of each table means: its heading, unit, name in CSV, and meaning
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: &Args, screen: Screen) -> Result<ExitCode> {
    let mut page = Page::default();
    blanks().iter().for_each(|sheet| page.sheet(legend(sheet)));
    screen.show(&page)?;
    Ok(ExitCode::SUCCESS)
}

/// Every table of every command, without rows, with all the columns that it can have.
fn blanks() -> Vec<Sheet> {
    let explain = answers::candidates_blank();
    [report::blanks(), studies::blanks(), fidelity::blanks(), vec![explain]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column of numbers has a unit, and a column with a unit has numbers: `Column::number` asks for one.
    #[test]
    fn every_column_has_a_meaning_in_one_sentence_and_every_quantity_a_unit() {
        for sheet in blanks() {
            assert!(!sheet.title.is_empty());
            assert!(!sheet.columns().is_empty(), "{} has no columns", sheet.title);
            for column in sheet.columns() {
                let (title, key, meaning) = (&sheet.title, &column.key, &column.meaning);
                assert!(!key.is_empty(), "{title}: a column has no key");
                assert!(meaning.len() > 3 && meaning.ends_with('.'), "{title}, {key}: {meaning:?}");
                let is_number = column.format != warmpath_sheet::Format::PLAIN;
                assert!(!is_number || column.is_quantity(), "{title}, {key} has no unit");
                assert!(!column.is_quantity() || !column.shown_unit().is_empty(), "{title}, {key}");
            }
        }
    }

    #[test]
    fn the_page_on_metrics_names_every_column_of_the_main_table() {
        let docs = include_str!("../../../docs/metrics.md");
        let main = &report::blanks()[0];
        for column in main.columns() {
            let key = format!("`{}`", column.key);
            assert!(docs.contains(&key), "docs/metrics.md does not name {key}: {}", column.meaning);
        }
    }

    #[test]
    fn titles_tell_tables_apart() {
        let mut titles: Vec<String> = blanks().into_iter().map(|sheet| sheet.title).collect();
        titles.sort();
        let count = titles.len();
        titles.dedup();
        assert_eq!(titles.len(), count, "{titles:?}");
    }
}
