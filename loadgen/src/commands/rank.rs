//! `loadgen rank`: the command of [`crate::studies::rank`].

use crate::files::bad;
use crate::report::Screen;
use crate::studies::rank;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_sheet::Page;

/// Ranks policies over many reports: how far each is from the best, and where one is behind
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, two fleets, and where the house rule is behind:
  loadgen sim --workload chat --workers 8 --policies all --rates 1,2 --json chat-8.json
  loadgen sim --workload chat --workers 64 --policies all --rates 1,2 --json chat-64.json
  loadgen rank chat-8.json chat-64.json --policy warmpath")]
pub struct Args {
    /// Reports of `sim --json` or `compare --json`; only their whole simulated runs count
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// Also lists the cells where this policy is behind: behind a naive policy by any figure, or behind
    /// the mean TTFT of a policy whose E2E is at most 5 % worse
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Differences up to this many percent do not count, 0 to 100
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = parse_percent)]
    pub within: f64,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    let mut cells = Vec::new();
    let mut skipped = Vec::new();
    for path in &args.reports {
        match rank::read(path)? {
            of_report if of_report.is_empty() => skipped.push(path.display().to_string()),
            of_report => cells.extend(of_report),
        }
    }
    if cells.is_empty() {
        let why = "no two policies to compare, expected simulated runs of two policies that answered at \
                   least 99 % of their requests";
        return Err(bad(format!("{}: {why}", skipped.join(", "))));
    }
    let mut page = Page::default();
    let mut standing = rank::standing(&cells, args.within);
    standing.notes.extend(skipped.iter().map(|report| {
        format!(
            "{report} is left out: no two of its policies answered at least 99 % of their requests."
        )
    }));
    page.sheet(standing.clone());
    if let Some(policy) = &args.policy {
        let known = |cell: &rank::Cell| cell.policies.iter().any(|(name, _)| name == policy);
        if !cells.iter().any(known) {
            return Err(bad(format!("--policy: no report has '{policy}'")));
        }
        page.sheet(rank::behind(&cells, policy, args.within));
    }
    screen.show_with(&page, |document| rank::add(document, &standing, args.reports.len()))?;
    Ok(ExitCode::SUCCESS)
}
