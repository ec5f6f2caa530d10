//! The slowest requests, one by one.

use crate::figures::{Slow, wire_name};
use crate::report::entries::{Entry, best_and_baseline};
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::{Axis, Bar, Bars, Chart, Plot, Segment};

/// The slowest requests of the best rule, and of the baseline.
pub fn plots(shown: &[&Entry], baseline: Option<&NamedPolicy>) -> Vec<Plot> {
    best_and_baseline(shown, baseline).into_iter().filter_map(waterfall).collect()
}

fn waterfall(entry: &Entry) -> Option<Plot> {
    let sketch = entry.sketch()?;
    let nonce = entry.runs[0].nonce;
    let split = sketch.slowest.iter().all(|slow| slow.admitted_s.is_some());
    let parts: &[&str] = match split {
        true => &["sent late by the client", "waits for an engine", "prefill", "further tokens"],
        false => &["sent late by the client", "until the first token", "further tokens"],
    };
    let bar = |slow: &Slow| {
        let worker = slow.worker.map_or_else(String::new, |worker| format!(", w{worker}"));
        // What is tried again on another worker was admitted before it was sent there.
        let admitted = slow.admitted_s.filter(|_| split);
        let admitted = admitted.map(|at| at.clamp(slow.sent_s, slow.first_token_s));
        let ends = [Some(0.0), Some(slow.sent_s), admitted, Some(slow.first_token_s)];
        let ends: Vec<f64> = ends.into_iter().flatten().chain([slow.ended_s]).collect();
        let segment = |(part, ends): (usize, &[f64])| Segment { part, from: ends[0], to: ends[1] };
        Bar {
            name: format!(
                "{}{worker}: prompt of {} tokens, {} cached",
                wire_name(nonce, slow.id),
                slow.prompt_tokens,
                slow.cached_tokens
            ),
            segments: ends.windows(2).enumerate().map(segment).collect(),
        }
    };
    let about = match split {
        true => "Prefill: from when an engine admitted the request, with loads from other tiers.",
        false => {
            "Live engines do not report when a prefill begins, so it is one bar with the queue."
        }
    };
    Some(Plot {
        title: format!("Slowest requests: {}", entry.label),
        about: format!("Those with the longest time to first token. {about}"),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("model time since the request was due, s"),
            of: "request".to_owned(),
            parts: parts.iter().map(|&part| part.to_owned()).collect(),
            bars: sketch.slowest.iter().map(bar).collect(),
            marks: Vec::new(),
        }),
    })
}
