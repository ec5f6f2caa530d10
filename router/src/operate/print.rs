//! The router's answers for people, in aligned columns, and for programs, as JSON.

use serde::Serialize;
use std::fmt::Write;
use warmpath_proto::admin::standing_name;
use warmpath_proto::v1::{
    AddWorkerResponse, Candidate, DrainWorkerResponse, ExplainResponse, GetPolicyResponse,
    ListWorkersResponse, Pull, RemoveWorkerResponse, SetPolicyResponse, UndrainWorkerResponse,
    Worker,
};

/// An answer that can be shown.
pub trait Shown {
    fn text(&self) -> String;
    fn json(&self) -> String;
}

macro_rules! shown {
    ($($answer:ident => $text:expr;)*) => {$(
        impl Shown for $answer {
            fn text(&self) -> String {
                let text: fn(&$answer) -> String = $text;
                text(self)
            }

            fn json(&self) -> String {
                json(self)
            }
        }
    )*};
}

shown! {
    ListWorkersResponse => |answer| workers(&answer.workers);
    AddWorkerResponse => |answer| format!("w{} added; it takes requests when it has joined", answer.number);
    RemoveWorkerResponse => |answer| match answer.left {
        0 => "removed".to_owned(),
        left => format!("removed; {left} requests were not done and go on to their end"),
    };
    DrainWorkerResponse => |answer| workers(answer.worker.as_slice());
    UndrainWorkerResponse => |answer| workers(answer.worker.as_slice());
    GetPolicyResponse => |answer| format!("{}: {}", answer.policy, answer.rule);
    SetPolicyResponse => |answer| format!("set; {} before", answer.before);
    ExplainResponse => explanation;
}

fn json(answer: &impl Serialize) -> String {
    serde_json::to_string_pretty(answer).unwrap_or_else(|error| error.to_string())
}

fn workers(workers: &[Worker]) -> String {
    let header = ["worker", "state", "active", "backlog s", "waiting", "running", "blocks"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows[0].extend(["of", "block", "model", "epoch", "url", "why"].map(str::to_owned));
    rows.extend(workers.iter().map(|worker| {
        let load = |number: fn(&warmpath_proto::v1::LoadReport) -> u64| {
            worker.load.as_ref().map_or_else(dash, |load| number(load).to_string())
        };
        let here = |text: String| if worker.epoch.is_some() { text } else { dash() };
        vec![
            format!("w{}", worker.number),
            standing_name(worker.standing()).to_owned(),
            here(worker.active_requests.to_string()),
            here(format!("{:.3}", worker.backlog_s)),
            load(|load| u64::from(load.waiting)),
            load(|load| u64::from(load.running)),
            load(|load| load.blocks_by_tier.first().copied().unwrap_or(0)),
            here(worker.total_blocks.map_or_else(|| "any".to_owned(), |blocks| blocks.to_string())),
            here(worker.block_size.to_string()),
            here(worker.model.clone()),
            worker.epoch.map_or_else(dash, |epoch| epoch.to_string()),
            worker.url.clone(),
            match (worker.drained, worker.epoch) {
                (true, None) => format!("{}, drained by the operator", worker.why),
                _ => worker.why.clone(),
            },
        ]
    }));
    table(&rows, 2..9)
}

fn dash() -> String {
    "-".to_owned()
}

fn explanation(answer: &ExplainResponse) -> String {
    let ExplainResponse { request_id, number, policy, rule, at_s, prompt_tokens, chosen, .. } =
        answer;
    let mut text = format!(
        "{request_id} (r{number}), {prompt_tokens} prompt tokens, at {at_s:.3} s: w{chosen}\n\
         by {policy}: {rule}\n\n"
    );
    let header = ["worker", "queue s", "prefill s", "load s", "total s", "active", "overlap"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(answer.candidates.iter().map(candidate));
    // Where nobody would fetch, nothing is said of it.
    if answer.candidates.iter().any(|candidate| candidate.pull.is_some()) {
        rows[0].push("pull".to_owned());
        for (row, candidate) in rows[1..].iter_mut().zip(&answer.candidates) {
            let pull = |pull: &Pull| format!("{} of {}", pull.blocks, pull.from);
            row.push(candidate.pull.as_ref().map_or_else(dash, pull));
        }
    }
    text += &table(&rows, 1..6);
    if let (Some(second), Some(margin)) = (answer.runner_up, answer.margin_s) {
        let _ = match margin > 0.0 {
            true => write!(text, "\n\nw{chosen} before w{second} by {margin:.6} s"),
            false => write!(text, "\n\nw{chosen} before w{second}: as many seconds; {TIE}"),
        };
    }
    text
}

/// What decides between candidates of equal cost.
const TIE: &str = "fewer active requests decide, then a lot";

fn candidate(candidate: &Candidate) -> Vec<String> {
    let mut row = vec![format!("w{}", candidate.number)];
    match &candidate.terms {
        Some(terms) => row.extend(
            [terms.queue_s, terms.prefill_s, terms.load_s, terms.total_s]
                .map(|s| format!("{s:.6}")),
        ),
        None => row.extend([dash(), dash(), dash(), dash()]),
    }
    row.push(candidate.active_requests.to_string());
    row.push(overlap(&candidate.overlap_by_tier));
    row
}

/// Blocks by tier: "40 hbm + 3 tier1".
fn overlap(by_tier: &[u32]) -> String {
    if by_tier.is_empty() {
        return dash();
    }
    let tier = |i: usize| if i == 0 { "hbm".to_owned() } else { format!("tier{i}") };
    let held = by_tier.iter().enumerate().filter(|&(i, &blocks)| blocks > 0 || i == 0);
    held.map(|(i, blocks)| format!("{blocks} {}", tier(i))).collect::<Vec<_>>().join(" + ")
}

/// Columns as wide as their widest cell, two blanks apart; those in `right` end together.
fn table(rows: &[Vec<String>], right: std::ops::Range<usize>) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| {
            if right.contains(&i) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_proto::v1::Terms;

    #[test]
    fn an_explanation_is_a_table_that_lines_up() {
        let terms = |queue_s, prefill_s, load_s| {
            Some(Terms { queue_s, prefill_s, load_s, total_s: queue_s + prefill_s + load_s })
        };
        let answer = ExplainResponse {
            request_id: "a".to_owned(),
            number: 7,
            policy: "kv-aware".to_owned(),
            rule: "The least.".to_owned(),
            prompt_tokens: 320,
            chosen: 1,
            candidates: vec![
                Candidate {
                    number: 1,
                    active_requests: 2,
                    overlap_by_tier: vec![12, 3, 0, 0],
                    terms: terms(0.5, 0.25, 0.125),
                    pull: None,
                },
                Candidate {
                    number: 10,
                    active_requests: 0,
                    overlap_by_tier: vec![0; 4],
                    terms: terms(0.0, 12.5, 0.0),
                    pull: None,
                },
            ],
            runner_up: Some(10),
            margin_s: Some(11.625),
            ..Default::default()
        };
        assert_eq!(
            explanation(&answer),
            "a (r7), 320 prompt tokens, at 0.000 s: w1\n\
             by kv-aware: The least.\n\n\
             worker   queue s  prefill s    load s    total s  active  overlap\n\
             w1      0.500000   0.250000  0.125000   0.875000       2  12 hbm + 3 tier1\n\
             w10     0.000000  12.500000  0.000000  12.500000       0  0 hbm\n\n\
             w1 before w10 by 11.625000 s"
        );
        assert!(answer.json().contains("\"runner_up\": 10"));
        let mut pulled = answer.clone();
        pulled.candidates[0].pull = Some(Pull { from: "w3".to_owned(), blocks: 16 });
        let text = explanation(&pulled);
        let ends: Vec<&str> = ["w1 ", "w10"]
            .map(|worker| text.lines().find(|line| line.starts_with(worker)).unwrap())
            .map(|line| line.rsplit_once("  ").unwrap().1)
            .to_vec();
        assert_eq!(ends, ["16 of w3", "-"], "{text}");
        let tie = explanation(&ExplainResponse { margin_s: Some(0.0), ..answer });
        assert!(tie.ends_with("as many seconds; fewer active requests decide, then a lot"));
    }

    #[test]
    fn a_worker_that_is_away_has_dashes() {
        let mut worker = Worker { url: "http://h:1".to_owned(), ..Default::default() };
        worker.set_standing(warmpath_proto::v1::WorkerStanding::Lost);
        worker.why = "its feed ended".to_owned();
        let text = workers(std::slice::from_ref(&worker));
        assert!(text.lines().nth(1).unwrap().starts_with("w0      lost        -"), "{text}");
        assert!(text.ends_with("http://h:1  its feed ended"), "{text}");
        let answer = ListWorkersResponse { workers: vec![worker] };
        assert!(answer.json().contains("\"standing\": \"lost\""), "{}", answer.json());
    }
}
