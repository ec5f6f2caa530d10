//! A run as a document.

use super::parts::{Asked, entry, id_of, is_virtual, text};
use super::{load, results, stack};
use crate::figures::RunReport;
use crate::yaml::Node;
use warmpath_launch::version::VERSION;

/// The schema's version.
const SCHEMA: &str = "0.2";
/// The document of a run.
pub fn document(asked: &Asked, run: &RunReport) -> Node {
    let stack = stack::components(run);
    let scenario = Node::map([
        entry("stack", Node::List(stack)),
        load::load(asked, run).map(|load| ("load", load)),
    ]);
    Node::map([
        text("version", SCHEMA),
        entry("run", about(asked, run)),
        entry("scenario", scenario),
        entry("results", results::results(asked, run)),
    ])
}

fn about(asked: &Asked, run: &RunReport) -> Node {
    let config = asked.config.to_string();
    let (seed, rate) = (run.seed.to_string(), run.rate_scale.to_string());
    let label = run.label();
    // The same simulation is the same report. A live run never is.
    let figures = if is_virtual(run) {
        String::new()
    } else {
        format!("{:?} {} {:?}", run.figures, run.wall_s, run.nonce)
    };
    let uid = id_of(&[VERSION, &config, &label, run.mode.name(), &seed, &rate, &figures]);
    let kind = if is_virtual(run) { "simulated" } else { "live" };
    let mut keywords = vec!["warmpath", kind, run.mode.name()];
    keywords.dedup();
    let keywords = keywords.into_iter().map(Node::text).chain([Node::text(label)]);
    Node::map([
        text("uid", uid),
        text("eid", id_of(&[VERSION, &config])),
        entry(
            "time",
            Node::map([text("duration", format!("PT{}S", run.figures.duration_s.max(0.0)))]),
        ),
        text("description", described(run)),
        entry("keywords", Node::List(keywords.collect())),
    ])
}

/// What kind of run it is, in words.
fn described(run: &RunReport) -> String {
    let played = format!(
        "policy {}, workload {} at {} times its rate, seed {}",
        run.label(),
        run.workload,
        run.rate_scale,
        run.seed
    );
    let profile = run.profile.as_deref().unwrap_or("unknown");
    let times = run.speedup.filter(|&speedup| speedup != 1.0).map_or_else(String::new, |speedup| {
        format!(" Times are model time, {speedup} s of it a second of the clock.")
    });
    match (is_virtual(run), run.profile.is_some()) {
        (true, _) => format!(
            "Simulated by warmpath in virtual time, no accelerator was used: {played}. Step times of profile \
             {profile}, {}.",
            stack::standing(run)
        ),
        (false, true) => format!(
            "A live router before simulated engines, no accelerator was used: {played}. Step times of profile \
             {profile}, {}.{times}",
            stack::standing(run)
        ),
        (false, false) => {
            format!("Requests to a router that was already running: {played}.{times}")
        }
    }
}
