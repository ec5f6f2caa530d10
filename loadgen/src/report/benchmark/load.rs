//! What was sent.

use super::parts::{Asked, PART_SCHEMA, count, entry, id_of, text};
use crate::figures::{Measured, RunReport};
use crate::yaml::Node;
use warmpath_launch::version::VERSION;

/// None: no request was answered, so no length is known.
pub fn load(asked: &Asked, run: &RunReport) -> Option<Node> {
    let sketch = run.sketch.as_ref()?;
    let input = length(sketch.prompt_tokens.as_ref()?);
    let output = sketch.output_tokens.as_ref().map(length);
    let config = asked.config.to_string();
    let metadata = Node::map([
        text("schema_version", PART_SCHEMA),
        text("cfg_id", id_of(&[&config, &run.workload])),
        text("description", format!("{}, seed {}", run.workload, run.seed)),
    ]);
    let turns = (sketch.most_turns > 1).then(|| {
        let most = sketch.most_turns as u64;
        let most =
            Node::map([text("distribution", "other"), count("value", most), count("max", most)]);
        ("multi_turn", Node::map([entry("enabled", Node::Flag(true)), entry("max_turns", most)]))
    });
    let rate = run.figures.offered_requests_per_s;
    let standardized = Node::map([
        text("tool", "warmpath loadgen"),
        text("tool_version", VERSION),
        // Texts are drawn at random. Of a trace, lengths and what requests have in common are kept.
        text("source", "random"),
        entry("input_seq_len", input),
        output.map(|output| ("output_seq_len", output)),
        turns,
        // A closed loop has no rate of its own.
        (asked.concurrency.is_none() && rate > 0.0)
            .then(|| ("rate_qps", Node::number(rate.to_string()))),
        asked.concurrency.filter(|&sessions| sessions > 0).and_then(|n| count("concurrency", n)),
    ]);
    Some(Node::map([
        entry("metadata", metadata),
        entry("standardized", standardized),
        entry("native", Node::map([entry("config", Node::from_json(&asked.config))])),
    ]))
}

/// Lengths as they were, of no named distribution.
fn length(measured: &Measured) -> Node {
    let most = measured.at(100.0).unwrap_or(measured.least).max(1.0);
    Node::map([
        text("distribution", "other"),
        entry("value", Node::number(measured.mean.to_string())),
        count("min", measured.least as u64),
        count("max", most as u64),
    ])
}
