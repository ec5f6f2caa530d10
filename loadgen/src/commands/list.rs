//! `loadgen list`: everything that has a name.

use crate::report::{Screen, print};
use crate::setup::{SCENARIOS, WORKLOADS};
use crate::traces;
use anyhow::Result;
use clap::ValueEnum;
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::engine::physics::KvDtype;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_launch::profiles::{self, Row};
use warmpath_sheet::{Column, Form, Page, Sheet, render};

/// Lists what can be named: policies, workloads, profiles, devices, models, scenarios and trace formats
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  loadgen list
  loadgen list profiles --format json

A name works from any folder, wherever a file of that kind can stand. A path has a / or ends in .toml.")]
pub struct Args {
    /// Kind of names [default: all]
    #[arg(value_name = "KIND")]
    kind: Option<Kind>,
    /// How the list is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Kind {
    Policies,
    Workloads,
    Scenarios,
    Profiles,
    Devices,
    Models,
    Formats,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Output {
    Text,
    Json,
    Csv,
}

/// A row of the list.
struct Named {
    kind: &'static str,
    name: String,
    what: String,
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    let kinds = Kind::value_variants().iter().copied();
    let kinds: Vec<Kind> =
        kinds.filter(|&kind| args.kind.is_none_or(|asked| asked == kind)).collect();
    let sheet = sheet(&kinds);
    match args.format {
        Output::Text => {
            let mut page = Page::default();
            page.sheet(sheet);
            screen.show(&page)?;
        }
        Output::Json => print(&(render::json(&sheet) + "\n"))?,
        Output::Csv => print(&render::csv(&sheet))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sheet(kinds: &[Kind]) -> Sheet {
    let text = Column::text;
    let form = Form::new([
        text("kind", "kind", "What the name is of.").of(|row: &Named| row.kind),
        text("name", "name", "The name, as flags and files take it.")
            .of(|row: &Named| row.name.clone()),
        text("what", "what it is", "What it is, in a sentence.").of(|row: &Named| row.what.clone()),
    ]);
    let mut sheet = form.sheet("").labels(2);
    for kind in kinds {
        sheet.begin_group();
        named(*kind).iter().for_each(|row| sheet.push(form.row(row)));
    }
    sheet
}

fn named(kind: Kind) -> Vec<Named> {
    let files = |kind: &'static str, rows: &[Row]| {
        let row = |(name, text): &Row| Named { kind, name: (*name).into(), what: headline(text) };
        rows.iter().map(row).collect()
    };
    match kind {
        Kind::Policies => {
            let rules = PolicyConfig::catalogue();
            let row = |name: &str, what: &str| Named {
                kind: "policy",
                name: name.to_owned(),
                what: what.to_owned(),
            };
            rules.iter().map(|rule| row(rule.name, rule.rule)).collect()
        }
        Kind::Workloads => files("workload", WORKLOADS),
        Kind::Scenarios => files("scenario", SCENARIOS),
        Kind::Profiles => files("profile", profiles::profiles()),
        Kind::Devices => files("device", profiles::devices()),
        Kind::Models => profiles::models().iter().map(|(name, _)| model(name)).collect(),
        Kind::Formats => {
            traces::named().map(|(name, what)| Named { kind: "trace format", name, what }).collect()
        }
    }
}

fn model(name: &str) -> Named {
    let model = profiles::model(name, Path::new("")).expect("a built-in model can be used");
    let (all, used) = model.parameters();
    let kv = model.growing_bytes_per_token(KvDtype::Bf16, 1);
    let what = format!(
        "{}: {:.1} billion parameters, {:.1} a token; {kv:.0} bytes of KV a token in BF16",
        model.family,
        all / 1e9,
        used / 1e9
    );
    Named { kind: "model", name: name.to_owned(), what }
}

/// From this many characters on, a sentence is cut at its colon.
const LONG: usize = 100;

/// The first sentence of the comment that a file begins with.
fn headline(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#'));
    // An example command stands deeper than the sentences.
    let prose: Vec<&str> =
        lines.take_while(|line| !line.starts_with("   ")).map(str::trim).collect();
    let prose = prose.join(" ");
    let first = prose.split_once(". ").map_or(prose.as_str(), |(first, _)| first);
    // Of a long sentence, what stands before its explanation.
    let short = first.split_once(": ").filter(|_| first.len() > LONG);
    short.map_or(first, |(short, _)| short).trim_end_matches([':', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_line_that_says_what_it_is() {
        for kind in Kind::value_variants() {
            let rows = named(*kind);
            assert!(rows.len() > 4, "{kind:?}");
            for Named { name, what, .. } in rows {
                assert!((12..200).contains(&what.len()), "{name}: {what}");
                assert!(!what.contains("--scenario deploy"), "{name}: {what}");
            }
        }
    }

    #[test]
    fn a_headline_is_the_first_sentence() {
        assert_eq!(headline("# One thing of 2.5 GB. Another.\nname = 1"), "One thing of 2.5 GB");
        assert_eq!(headline("# What it\n# costs:\n#   loadgen sim\nx = 1"), "What it costs");
    }
}
