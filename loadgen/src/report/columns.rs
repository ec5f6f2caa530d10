//! Columns that several tables have.

use warmpath_sheet::{Column, Format};

pub fn label() -> Column {
    let meaning = "The policy's label, and the scenario's variant where it has several.";
    Column::text("label", "policy", meaning)
}

pub fn mode() -> Column {
    let meaning = "live: real sockets and the wall clock; sim-slice: the requests of the live leg in \
                   virtual time; sim: the whole workload in virtual time.";
    Column::text("mode", "mode", meaning)
}

pub fn rate() -> Column {
    let meaning = "The arrival rate divided by the workload's own.";
    Column::number("rate_scale", "rate", "ratio", meaning)
}

pub fn requests() -> Column {
    Column::number("requests", "requests", "requests", "Requests that were answered.")
}

pub fn failed() -> Column {
    Column::number("errors", "failed", "requests", "Requests that were not answered.")
}

pub fn hit_rate() -> Column {
    let meaning =
        "Cached prompt tokens divided by all prompt tokens; only whole blocks count as cached.";
    Column::number("hit_rate", "hit %", "share", meaning).format(Format::percent(1))
}

pub fn ttft_mean() -> Column {
    seconds("ttft_mean_s", "mean", "Mean time to first token.").under("TTFT s")
}

pub fn ttft_p90() -> Column {
    let meaning = "Time to first token that 90 % of the answered requests do not exceed.";
    seconds("ttft_p90_s", "p90", meaning).under("TTFT s")
}

pub fn tpot_mean() -> Column {
    let meaning = "Mean time per output token after the first.";
    Column::number("tpot_mean_s", "TPOT ms", "s", meaning).format(Format::milliseconds(1))
}

pub fn within_slo() -> Column {
    let meaning = "Requests that kept the SLO divided by requests sent.";
    Column::number("within_slo", "in SLO %", "share", meaning).format(Format::percent(1))
}

/// A time with three digits behind the point.
pub fn seconds(key: &'static str, heading: &'static str, meaning: &'static str) -> Column {
    Column::number(key, heading, "s", meaning).format(Format::digits(3))
}

/// A share from 0 to 1, shown in percent.
pub fn percent(key: &'static str, heading: &'static str, meaning: &'static str) -> Column {
    Column::number(key, heading, "share", meaning).format(Format::percent(1))
}
