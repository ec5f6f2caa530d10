//! The flags that `sharing`, `advise` and `generations` share: a workload, a fleet, prices and an SLO.

use super::values::{MOST_TPOT_S, MOST_TTFT_S, check_slo_seconds};
use super::{Prices, TraceArgs, What};
use clap::Args;
use std::path::PathBuf;

/// What a study is about.
#[derive(Debug, Args)]
pub struct Question {
    /// Scenario with a pool and devices: a name, or a scenario file (TOML) [default: sharing]
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    #[command(flatten)]
    pub trace: Option<TraceArgs>,
    /// Workload: a name, or a workload file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Number of tenants, 1 to 100000; sessions are assigned at random [default: the workload's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tenants: Option<u32>,
    /// Number of workers, 1 to 65535 [default: the scenario's; 4 for recorded sessions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub workers: Option<u32>,
    /// Worker profile: a name, or a profile file (TOML) [default: the scenario's]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Plays only the first N requests. A recorded session is never cut [default: all requests;
    /// 6000 for recorded sessions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Seed for everything that is random [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// SLO: seconds to the first token; 90 % of the requests must meet it [default: the scenario's]
    #[arg(long, value_name = "SECONDS", value_parser = parse_ttft)]
    pub ttft: Option<f64>,
    /// SLO: mean seconds per further token; 90 % of the requests must meet it [default: the
    /// scenario's]
    #[arg(long, value_name = "SECONDS", value_parser = parse_tpot)]
    pub tpot: Option<f64>,
    #[command(flatten)]
    pub prices: Prices,
    /// Writes the full report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes the table as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

impl Question {
    /// The same as the flags of a run, with costs.
    pub fn what(&self) -> What {
        What {
            scenario: self.scenario.clone(),
            trace: self.trace.clone(),
            workload: self.workload.clone(),
            policies: None,
            routers: None,
            workers: self.workers,
            profile: self.profile.clone(),
            hbm_tokens: None,
            block_size: None,
            sharing: None,
            tenants: self.tenants,
            rate_scale: 1.0,
            rates: Vec::new(),
            tick_jitter: false,
            seed: self.seed,
            seeds: 1,
            baseline: None,
            capacity: false,
            cost: true,
            prices: self.prices.clone(),
            json: None,
            csv: None,
            parquet: None,
            benchmark_report: None,
        }
    }
}

fn parse_ttft(text: &str) -> Result<f64, String> {
    parse_seconds(text, MOST_TTFT_S)
}

fn parse_tpot(text: &str) -> Result<f64, String> {
    parse_seconds(text, MOST_TPOT_S)
}

fn parse_seconds(text: &str, most: f64) -> Result<f64, String> {
    let seconds = text.parse().unwrap_or(f64::NAN);
    check_slo_seconds(seconds, most).map(|()| seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_asked_about() {
        assert_eq!((parse_ttft("2"), parse_tpot("0.05")), (Ok(2.0), Ok(0.05)));
        assert!(parse_ttft("2000").unwrap_err().contains("milliseconds? then it is 2"));
        assert!(parse_tpot("50").unwrap_err().contains("milliseconds? then it is 0.05"));
        for bad in ["0", "-1", "nan", "inf", "x"] {
            assert!(parse_ttft(bad).unwrap_err().starts_with("expected seconds, more than 0"));
        }
    }
}
