//! The slowest requests, one by one.

use crate::figures::{Slow, wire_name};
use crate::report::entries::{Entry, ranked};
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::{Axis, Bar, Bars, Chart, Plot, Segment};

/// The slowest requests of the best rule, and of the baseline.
pub fn plots(shown: &[&Entry], baseline: Option<&NamedPolicy>) -> Vec<Plot> {
    let ranked = ranked(shown);
    let best = ranked.first().map(|(entry, _)| *entry);
    let base = shown.iter().copied().find(|entry| entry.is_of(baseline));
    let base = base.filter(|base| best.is_none_or(|best| best.label != base.label));
    best.into_iter().chain(base).filter_map(|entry| waterfall(entry)).collect()
}

fn waterfall(entry: &Entry) -> Option<Plot> {
    let sketch = entry.sketch()?;
    let nonce = entry.runs[0].nonce;
    let bar = |slow: &Slow| {
        let worker = slow.worker.map_or_else(String::new, |worker| format!(", w{worker}"));
        let ends = [0.0, slow.sent_s, slow.first_token_s, slow.ended_s];
        let segment = |part: usize| Segment { part, from: ends[part], to: ends[part + 1] };
        Bar {
            name: format!(
                "{}{worker}: prompt of {} tokens, {} cached",
                wire_name(nonce, slow.id),
                slow.prompt_tokens,
                slow.cached_tokens
            ),
            segments: (0..3).map(segment).collect(),
        }
    };
    let parts =
        ["sent late by the client", "until the first token: queue and prefill", "further tokens"];
    Some(Plot {
        title: format!("Slowest requests: {}", entry.label),
        about: "Those with the longest time to first token. Reports do not tell queue and prefill apart.".to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("model time since the request was due, s"),
            of: "request".to_owned(),
            parts: parts.map(str::to_owned).into(),
            bars: sketch.slowest.iter().map(bar).collect(),
            marks: Vec::new(),
        }),
    })
}
