//! Why a request went where it did, as a page: the decision, the candidates, the margin.

use warmpath_proto::v1::{Candidate, ExplainResponse, Pull, Terms};
use warmpath_sheet::{Column, Format, Page, Sheet, Value};

/// What decides between candidates that cost the same.
const TIE: &str = "fewer active requests decide, then chance";

/// The decision in words, a row for each candidate, and how far ahead the chosen one was.
pub fn explanation(answer: &ExplainResponse) -> Page {
    let ExplainResponse { request_id, number, policy, rule, at_s, prompt_tokens, chosen, .. } =
        answer;
    let mut page = Page::default();
    page.prose([
        format!(
            "{request_id} (r{number}), {prompt_tokens} prompt tokens, at {at_s:.3} s: w{chosen}"
        ),
        format!("by {policy}: {rule}"),
    ]);
    page.sheet(candidates(&answer.candidates));
    page.prose([margin(answer)].into_iter().chain(decode(answer)));
    page
}

/// The table of candidates without rows, with every column that it can have.
pub fn candidates_blank() -> Sheet {
    Sheet::new(
        "Explanation: a row for each candidate",
        columns(Shown { fetches: true, more_terms: true }),
    )
}

/// Which columns stand only where some candidate has something in them.
#[derive(Clone, Copy)]
struct Shown {
    /// Blocks that are fetched.
    fetches: bool,
    /// Terms that only some rules weigh.
    more_terms: bool,
}

fn candidates(candidates: &[Candidate]) -> Sheet {
    let weighs = |terms: &Terms| [terms.room_s, terms.answer_s, terms.others_s] != [0.0; 3];
    let shown = Shown {
        fetches: candidates.iter().any(|candidate| candidate.pull.is_some()),
        more_terms: candidates.iter().any(|c| c.terms.as_ref().is_some_and(weighs)),
    };
    let mut sheet = Sheet::new("", columns(shown));
    for candidate in candidates {
        sheet.push(row(candidate, shown));
    }
    sheet
}

fn columns(shown: Shown) -> Vec<Column> {
    let seconds = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "s", meaning).format(Format::digits(6))
    };
    let mut columns = vec![
        Column::text("worker", "worker", "A worker that could take the request."),
        seconds(
            "queue_s",
            "queue s",
            "Prefill work that is booked on the worker and not done yet.",
        ),
        seconds("prefill_s", "prefill s", "Time to compute what the worker does not hold."),
        seconds("load_s", "load s", "Time to fetch what lies behind HBM, in a pool or on a peer."),
    ];
    if shown.more_terms {
        columns.extend([
            seconds(
                "room_s",
                "room s",
                "The step under way, and the wait for a seat and for room in HBM.",
            ),
            seconds("answer_s", "answer s", "Time to decode the answer, as the rule weighs it."),
            seconds("others_s", "others s", "Delay of other requests, as the rule weighs it."),
        ]);
    }
    columns.extend([
        seconds("total_s", "total s", "What the rule compares: the sum of the terms before."),
        Column::number(
            "active",
            "active",
            "requests",
            "Requests under way on the worker before this one.",
        ),
        Column::text("overlap", "overlap", "Blocks of the prompt that the worker holds, by tier."),
    ]);
    let pull =
        "Blocks of the prompt that the worker would fetch, and the peer or pool that has them.";
    columns.extend(shown.fetches.then(|| Column::text("pull", "pull", pull)));
    columns
}

fn row(candidate: &Candidate, shown: Shown) -> Vec<Value> {
    let terms = candidate.terms.as_ref();
    let pull = |pull: &Pull| format!("{} of {}", pull.blocks, pull.from);
    let pull = shown.fetches.then(|| Value::from(candidate.pull.as_ref().map(pull)));
    let mut cells = vec![format!("w{}", candidate.number).into()];
    let mut seconds = |of: fn(&Terms) -> f64| cells.push(terms.map(of).into());
    seconds(|terms| terms.queue_s);
    seconds(|terms| terms.prefill_s);
    seconds(|terms| terms.load_s);
    if shown.more_terms {
        seconds(|terms| terms.room_s);
        seconds(|terms| terms.answer_s);
        seconds(|terms| terms.others_s);
    }
    seconds(|terms| terms.total_s);
    cells.extend([candidate.active_requests.into(), overlap(&candidate.overlap_by_tier).into()]);
    cells.extend(pull);
    cells
}

/// Blocks by tier: "40 hbm + 3 tier1". None where the policy did not look.
fn overlap(by_tier: &[u32]) -> Option<String> {
    let tier = |i: usize| if i == 0 { "hbm".to_owned() } else { format!("tier{i}") };
    let held = by_tier.iter().enumerate().filter(|&(i, &blocks)| blocks > 0 || i == 0);
    let held: Vec<_> = held.map(|(i, blocks)| format!("{blocks} {}", tier(i))).collect();
    (!held.is_empty()).then(|| held.join(" + "))
}

fn margin(answer: &ExplainResponse) -> String {
    let chosen = answer.chosen;
    match (answer.runner_up, answer.margin_s) {
        (Some(second), Some(margin)) if margin > 0.0 => {
            format!("w{chosen} before w{second} by {margin:.6} s")
        }
        (Some(second), Some(_)) => format!("w{chosen} before w{second}: as many seconds; {TIE}"),
        _ if answer.candidates.len() == 1 => format!("w{chosen} was the only candidate"),
        _ => format!("w{chosen} by the rule, which weighs no seconds"),
    }
}

fn decode(answer: &ExplainResponse) -> Option<String> {
    let (chosen, decode) = (answer.chosen, answer.decode?);
    Some(format!("w{chosen} computes the prompt, w{decode} the answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_sheet::render;

    fn answer() -> ExplainResponse {
        let candidate =
            |number, active_requests, overlap: [u32; 4], [queue_s, prefill_s, load_s]: [f64; 3]| {
                let total_s = queue_s + prefill_s + load_s;
                let terms =
                    Some(Terms { queue_s, prefill_s, load_s, total_s, ..Default::default() });
                Candidate {
                    number,
                    active_requests,
                    overlap_by_tier: overlap.to_vec(),
                    terms,
                    pull: None,
                }
            };
        ExplainResponse {
            request_id: "a".to_owned(),
            number: 7,
            policy: "kv-aware".to_owned(),
            rule: "The least.".to_owned(),
            prompt_tokens: 320,
            chosen: 1,
            candidates: vec![
                candidate(1, 2, [12, 3, 0, 0], [0.5, 0.25, 0.125]),
                candidate(10, 0, [0; 4], [0.0, 12.5, 0.0]),
            ],
            runner_up: Some(10),
            margin_s: Some(11.625),
            ..Default::default()
        }
    }

    fn text(answer: &ExplainResponse) -> String {
        render::page(&explanation(answer), 80)
    }

    #[test]
    fn an_explanation_is_a_table_that_lines_up() {
        assert_eq!(
            text(&answer()),
            "a (r7), 320 prompt tokens, at 0.000 s: w1\n\
             by kv-aware: The least.\n\n\
             worker   queue s  prefill s    load s    total s  active  overlap\n\
             w1      0.500000   0.250000  0.125000   0.875000       2  12 hbm + 3 tier1\n\
             w10     0.000000  12.500000  0.000000  12.500000       0  0 hbm\n\n\
             w1 before w10 by 11.625000 s\n"
        );
    }

    #[test]
    fn fetches_have_a_column_where_there_are_any() {
        let mut pulled = answer();
        pulled.candidates[0].pull = Some(Pull { from: "w3".to_owned(), blocks: 16 });
        let text = render::page(&explanation(&pulled), 120);
        let ends: Vec<&str> = ["w1  ", "w10 "]
            .map(|worker| text.lines().find(|line| line.starts_with(worker)).unwrap())
            .map(|line| line.rsplit_once("  ").unwrap().1)
            .to_vec();
        assert_eq!(ends, ["16 of w3", "-"], "{text}");
    }

    #[test]
    fn the_last_lines_say_what_decided_and_which_worker_answers() {
        let tie = ExplainResponse { margin_s: Some(0.0), ..answer() };
        assert!(
            text(&tie).ends_with("as many seconds; fewer active requests decide, then chance\n")
        );
        let mut other = ExplainResponse { runner_up: None, margin_s: None, ..answer() };
        for candidate in &mut other.candidates {
            (candidate.terms, candidate.overlap_by_tier) = (None, Vec::new());
        }
        let shown = text(&other);
        assert!(
            shown.contains("\nw10           -          -       -        -       0  -\n"),
            "{shown}"
        );
        assert!(shown.ends_with("\n\nw1 by the rule, which weighs no seconds\n"), "{shown}");
        other.candidates.truncate(1);
        other.decode = Some(4);
        let shown = text(&other);
        let end = "\nw1 was the only candidate\nw1 computes the prompt, w4 the answer\n";
        assert!(shown.ends_with(end), "{shown}");
    }
}
