//! How far each rule is from what no rule can beat, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, known_mean, over_seeds};
use crate::figures::{Bounds, RunReport};
use warmpath_sheet::{Column, Form, Format, Sheet};

/// A row for each policy, variant, mode and rate whose bounds are known.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Distance from the limit").labels(3);
    let known = runs.iter().filter(|run| run.bounds.is_some());
    over_seeds(known).iter().for_each(|alike| sheet.push(form.row(alike)));
    if !sheet.is_empty() {
        sheet.note(
            "Of all prompt tokens: what was cached; what one LRU of the fleet's whole memory has more (routing); what \
             the best eviction has more than that; what an infinite cache has more than that (memory); what no cache \
             can have (cold). Least TTFT: a mean that no rule can pass. Proofs: docs/bounds.md.",
        );
    }
    sheet
}

/// The sheet without rows.
pub fn blank() -> Sheet {
    form().sheet("Distance from the limit")
}

fn form<'a>() -> Form<'static, Alike<'a>> {
    let lost = |key, heading, meaning| {
        Column::number(key, heading, "share", meaning).format(Format::percent(1)).under("lost % to")
    };
    let routing = "What one LRU cache of the fleet's whole memory would have had more. Below 0: the workers' caches did \
                   better.";
    let eviction = "What the best choice of blocks to evict would have had more than that LRU.";
    let memory = "What an infinite cache would have had more than that.";
    let cold =
        "Prompt tokens that no cache can have: they are seen for the first time, or end a prompt.";
    let least = "The mean time to first token that no rule can pass.";
    let times = "The mean time to first token divided by the least one.";
    let stable = "The factor for the arrival rate beyond which no rule is stable: prompts alone would take all time of all \
                  workers.";
    Form::new([
        columns::label().of(|runs: &Alike<'_>| runs[0].label()),
        columns::mode().of(|runs: &Alike<'_>| runs[0].mode.name()),
        columns::rate().of(|runs: &Alike<'_>| runs[0].rate_scale),
        columns::hit_rate().of(|runs: &Alike<'_>| of(runs, |bounds| bounds.hit_rate)),
        lost("lost_to_routing", "routing", routing)
            .of(|runs: &Alike<'_>| of(runs, Bounds::lost_to_routing)),
        lost("lost_to_eviction", "eviction", eviction)
            .of(|runs: &Alike<'_>| of(runs, Bounds::lost_to_eviction)),
        lost("lost_to_memory", "memory", memory)
            .of(|runs: &Alike<'_>| of(runs, Bounds::lost_to_memory)),
        lost("cold", "cold", cold).of(|runs: &Alike<'_>| of(runs, Bounds::cold)),
        columns::ttft_mean().of(|runs: &Alike<'_>| of(runs, |bounds| bounds.ttft_mean_s)),
        columns::seconds("least_ttft_mean_s", "least", least)
            .under("TTFT s")
            .of(|runs: &Alike<'_>| of(runs, |bounds| bounds.least_ttft_mean_s)),
        Column::number("ttft_ratio", "times", "ratio", times)
            .format(Format::digits(1))
            .under("TTFT s")
            .of(|runs: &Alike<'_>| known(runs, Bounds::ttft_ratio)),
        Column::number("stable_below_rate_scale", "stable below", "ratio", stable)
            .format(Format::digits(2))
            .of(|runs: &Alike<'_>| known(runs, |bounds| bounds.stable_below_rate_scale)),
    ])
}

fn of(runs: &[&RunReport], figure: impl Fn(&Bounds) -> f64) -> Option<f64> {
    known(runs, |bounds| Some(figure(bounds)))
}

fn known(runs: &[&RunReport], figure: impl Fn(&Bounds) -> Option<f64>) -> Option<f64> {
    known_mean(runs, |run| run.bounds.as_ref().and_then(&figure))
}
