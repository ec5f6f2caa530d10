//! One row per run as CSV, for spreadsheets and scripts.

use crate::figures::RunReport;
use std::fmt::Write;

const HEADER: &str = "policy,variant,mode,workload,profile,profile_validated,rate_scale,seed,valid,offered,\
    requests,errors,duration_s,hit_rate,hit_rate_blocks,prefill_tokens_computed,\
    prefill_tokens_cached,ttft_mean_s,ttft_p50_s,ttft_p90_s,ttft_p99_s,tpot_mean_s,tpot_p50_s,\
    tpot_p90_s,tpot_p99_s,e2e_mean_s,e2e_p50_s,e2e_p90_s,e2e_p99_s,requests_per_s,\
    input_tokens_per_s,output_tokens_per_s,goodput_requests_per_s,within_slo,\
    balance_max_over_mean,hit_rate_tier0,hit_rate_tier1,hit_rate_tier2,hit_rate_tier3,\
    hit_rate_pool,hit_rate_peers";

pub fn render(runs: &[RunReport]) -> String {
    let mut text = format!("{HEADER}\n");
    for run in runs {
        let f = &run.figures;
        let policy = run.policy.as_ref().map_or("", |policy| policy.label.as_str());
        let profile = run.profile.as_deref().unwrap_or_default();
        write!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            quoted(policy),
            quoted(run.variant.as_deref().unwrap_or_default()),
            run.mode.name(),
            quoted(&run.workload),
            quoted(profile),
            run.profile_validated,
            run.rate_scale,
            run.seed,
            run.valid,
            f.offered,
            f.requests,
            f.errors,
            f.duration_s,
            f.hit_rate,
            f.hit_rate_blocks,
            f.prefill_tokens_computed,
            f.prefill_tokens_cached
        )
        .expect("a string takes all");
        for spread in [&f.ttft_s, &f.tpot_s, &f.e2e_s] {
            write!(text, ",{},{},{},{}", spread.mean, spread.p50, spread.p90, spread.p99)
                .expect("a string takes all");
        }
        let t = &f.throughput;
        writeln!(
            text,
            ",{},{},{},{},{},{},{}",
            t.requests_per_s,
            t.input_tokens_per_s,
            t.output_tokens_per_s,
            f.goodput_requests_per_s,
            f.within_slo,
            f.balance_max_over_mean.map(|load| load.to_string()).unwrap_or_default(),
            f.hit_rate_by_tier.map(|rate| rate.to_string()).join(",")
        )
        .expect("a string takes all");
    }
    text
}

/// A field that may hold commas or quotes (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
