//! `export`: a rule as the configuration of another project.

use crate::export::{self, Project};
use crate::files::bad;
use crate::report::{Screen, print};
use anyhow::Result;
use std::process::ExitCode;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_sheet::{Page, render};

/// Prints the flags or the file that deploy a routing rule in another project
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// The rule with its parameters. Without --to, lists where it can be exported
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// The project. Without --rule, lists which rules can be exported to it
    #[arg(long, value_name = "PROJECT", value_enum)]
    to: Option<Project>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "Examples:\n  \
    smg launch $(loadgen export --rule 'smg-cache-aware(abs=32)' --to smg | grep -v '^#') --worker-urls ..\n  \
    loadgen export --rule 'llm-d-sticky(threshold=0.7)' --to llm-d > epp.yaml";

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    let rule = args.rule.as_deref().map(str::parse::<PolicyConfig>).transpose();
    let rule = rule.map_err(|error| bad(format!("--rule: {error}")))?;
    if let (Some(rule), Some(to)) = (rule, args.to) {
        let exported = export::export(rule, to)?;
        print(&if args.json { exported.json() } else { exported.text() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = export::list(rule, args.to);
    if args.json {
        print(&(render::json(&list) + "\n"))?;
    } else {
        let mut page = Page::default();
        page.sheet(list);
        screen.show(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}
