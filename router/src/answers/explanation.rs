//! Why a request went where it did, as a page: the decision, the candidates, the margin.

use warmpath_proto::v1::{Candidate, ExplainResponse, LeftOut, Part, Pull, Score, Terms};
use warmpath_sheet::{Column, Format, Page, Sheet, Value};

/// What decides between candidates that cost the same.
const TIE: &str = "fewer active requests decide, then chance";

/// The decision in words, a row for each candidate, and how far ahead the chosen one was.
pub fn explanation(answer: &ExplainResponse) -> Page {
    let ExplainResponse { request_id, number, policy, rule, at_s, prompt_tokens, chosen, .. } =
        answer;
    let mut page = Page::default();
    let name = |number: u32| title(&answer.candidates, number);
    page.prose([
        format!(
            "{request_id} (r{number}), {prompt_tokens} prompt tokens, at {at_s:.3} s: {}",
            name(*chosen)
        ),
        format!("by {policy}: {rule}"),
    ]);
    page.sheet(candidates(&answer.candidates));
    let left_out = answer.left_out.iter().map(left_out);
    page.prose([margin(answer)].into_iter().chain(decode(answer)).chain(left_out));
    page
}

fn left_out(LeftOut { number, name, why }: &LeftOut) -> String {
    match name.as_str() {
        "" => format!("w{number} was left out: {why}"),
        name => format!("{name} (w{number}) was left out: {why}"),
    }
}

/// The table of candidates without rows, with every column that it can have.
pub fn candidates_blank() -> Sheet {
    Sheet::new("Explanation: a row for each candidate", columns(&Shown::all()))
}

/// The worker's own name with its number, or the number alone.
fn title(candidates: &[Candidate], number: u32) -> String {
    let known = candidates.iter().find(|candidate| candidate.number == number);
    match known.map_or("", |candidate| &candidate.name) {
        "" => format!("w{number}"),
        name => format!("{name} (w{number})"),
    }
}

/// Which columns stand only where some candidate has something in them.
#[derive(Clone, Copy)]
struct Shown {
    /// Names that workers gave themselves.
    names: bool,
    /// The rule weighs seconds.
    terms: bool,
    /// The rule has a figure of its own.
    score: bool,
    /// Blocks that are fetched.
    fetches: bool,
    /// Terms that only some rules weigh.
    more_terms: bool,
    /// Blocks that the rule looked up.
    overlap: bool,
}

impl Shown {
    const fn all() -> Self {
        Self {
            names: true,
            terms: true,
            score: true,
            fetches: true,
            more_terms: true,
            overlap: true,
        }
    }

    fn of(candidates: &[Candidate]) -> Self {
        let weighs = |terms: &Terms| [terms.room_s, terms.answer_s, terms.others_s] != [0.0; 3];
        let any = |has: &dyn Fn(&Candidate) -> bool| candidates.iter().any(has);
        Self {
            names: any(&|candidate| !candidate.name.is_empty()),
            terms: any(&|candidate| candidate.terms.is_some()),
            score: any(&|candidate| candidate.score.is_some()),
            fetches: any(&|candidate| candidate.pull.is_some()),
            more_terms: any(&|candidate| candidate.terms.as_ref().is_some_and(weighs)),
            overlap: any(&|candidate| !candidate.overlap_by_tier.is_empty()),
        }
    }
}

fn candidates(candidates: &[Candidate]) -> Sheet {
    let shown = Shown::of(candidates);
    let mut sheet = Sheet::new("", columns(&shown));
    for candidate in candidates {
        sheet.push(row(candidate, &shown));
    }
    sheet
}

fn columns(shown: &Shown) -> Vec<Column> {
    let seconds = |key: &'static str, heading: &'static str, meaning: &'static str| {
        Column::number(key, heading, "s", meaning).format(Format::digits(6))
    };
    let mut columns =
        vec![Column::text("worker", "worker", "A worker that could take the request.")];
    let name = "The name that the worker gives itself.";
    columns.extend(shown.names.then(|| Column::text("name", "name", name)));
    if shown.terms {
        columns.extend([
            seconds(
                "queue_s",
                "queue s",
                "Prefill work that is booked on the worker and not done yet.",
            ),
            seconds("prefill_s", "prefill s", "Time to compute what the worker does not hold."),
            seconds(
                "load_s",
                "load s",
                "Time to fetch what lies behind HBM, in a pool or on a peer.",
            ),
        ]);
        if shown.more_terms {
            columns.extend([
                seconds(
                    "room_s",
                    "room s",
                    "The step under way, and the wait for a seat and for room in HBM.",
                ),
                seconds(
                    "answer_s",
                    "answer s",
                    "Time to decode the answer, as the rule weighs it.",
                ),
                seconds("others_s", "others s", "Delay of other requests, as the rule weighs it."),
            ]);
        }
        let total = "What the rule compares: the sum of the terms before.";
        columns.push(seconds("total_s", "total s", total));
    }
    if shown.score {
        let score =
            "What the rule compares, in a unit of its own; absent: it did not weigh this one.";
        columns.push(Column::text("score", "score", score));
        columns
            .push(Column::text("made_of", "made of", "What the rule made its score of.").wraps());
    }
    columns.push(Column::number(
        "active",
        "active",
        "requests",
        "Requests under way on the worker before this one.",
    ));
    let overlap = "Blocks of the prompt that the worker holds, by tier.";
    columns.extend(shown.overlap.then(|| Column::text("overlap", "overlap", overlap)));
    let pull =
        "Blocks of the prompt that the worker would fetch, and the peer or pool that has them.";
    columns.extend(shown.fetches.then(|| Column::text("pull", "pull", pull)));
    columns
}

fn row(candidate: &Candidate, shown: &Shown) -> Vec<Value> {
    let terms = candidate.terms.as_ref();
    let mut cells = vec![format!("w{}", candidate.number).into()];
    if shown.names {
        cells.push(Value::text_or_blank(candidate.name.clone()));
    }
    if shown.terms {
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
    }
    if shown.score {
        let score = candidate.score.as_ref();
        cells.push(score.map(|score| short(score.value)).into());
        cells.push(score.map(made_of).into());
    }
    cells.push(candidate.active_requests.into());
    if shown.overlap {
        cells.push(overlap(&candidate.overlap_by_tier).into());
    }
    if shown.fetches {
        let pull = |pull: &Pull| format!("{} of {}", pull.blocks, pull.from);
        cells.push(Value::from(candidate.pull.as_ref().map(pull)));
    }
    cells
}

/// "matched blocks 12, active requests 3".
fn made_of(score: &Score) -> String {
    let part = |part: &Part| format!("{} {}", part.name, short(part.value));
    score.parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// A figure of unknown size: whole numbers as they are, others with 4 digits after the point.
fn short(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{value:.0}"),
        false => format!("{value:.4}"),
    }
}

/// Blocks by tier: "40 hbm + 3 tier1". None where the policy did not look.
fn overlap(by_tier: &[u32]) -> Option<String> {
    let tier = |i: usize| if i == 0 { "hbm".to_owned() } else { format!("tier{i}") };
    let held = by_tier.iter().enumerate().filter(|&(i, &blocks)| blocks > 0 || i == 0);
    let held: Vec<_> = held.map(|(i, blocks)| format!("{blocks} {}", tier(i))).collect();
    (!held.is_empty()).then(|| held.join(" + "))
}

fn margin(answer: &ExplainResponse) -> String {
    let name = |number: u32| title(&answer.candidates, number);
    let chosen = name(answer.chosen);
    match (answer.runner_up, answer.margin_s) {
        (Some(second), Some(margin)) if margin > 0.0 => {
            format!("{chosen} before {} by {margin:.6} s", name(second))
        }
        (Some(second), Some(_)) => {
            format!("{chosen} before {}: as many seconds; {TIE}", name(second))
        }
        _ if answer.candidates.len() == 1 => format!("{chosen} was the only candidate"),
        _ => by_the_rule(answer, &chosen),
    }
}

/// Of a rule that weighs no seconds: which of its steps decided, or how far ahead the chosen one was.
fn by_the_rule(answer: &ExplainResponse, chosen: &str) -> String {
    if !answer.because.is_empty() {
        return format!("{chosen}: {}", answer.because);
    }
    let scores = || answer.candidates.iter().filter_map(|c| Some((c.number, c.score.as_ref()?)));
    let Some((_, own)) = scores().find(|&(number, _)| number == answer.chosen) else {
        return format!("{chosen} by the rule, which compares no figure of a worker");
    };
    let better = |a: f64, b: f64| if own.highest { b.total_cmp(&a) } else { a.total_cmp(&b) };
    let others = scores().filter(|&(number, _)| number != answer.chosen);
    let second = others.min_by(|(_, a), (_, b)| better(a.value, b.value));
    let which = if own.highest { "highest" } else { "lowest" };
    match second {
        Some((second, score)) if score.value == own.value => {
            let second = title(&answer.candidates, second);
            format!("{chosen} and {second} have the {which} score, {}", short(own.value))
        }
        Some((second, score)) => {
            let (value, second_has) = (short(own.value), short(score.value));
            let second = title(&answer.candidates, second);
            format!("{chosen} has the {which} score, {value}; {second} has {second_has}")
        }
        None => format!("{chosen} has the only score, {}", short(own.value)),
    }
}

fn decode(answer: &ExplainResponse) -> Option<String> {
    let name = |number: u32| title(&answer.candidates, number);
    let (chosen, decode) = (name(answer.chosen), name(answer.decode?));
    Some(format!("{chosen} computes the prompt, {decode} the answer"))
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
                    ..Default::default()
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
        assert!(shown.contains("\nworker  active\nw1           2\n"), "{shown}");
        let end = "\n\nw1 by the rule, which compares no figure of a worker\n";
        assert!(shown.ends_with(end), "{shown}");
        for (candidate, value) in other.candidates.iter_mut().zip([40.0, 1_037.5]) {
            let parts = vec![Part { name: "queued tokens".to_owned(), value }];
            candidate.score = Some(Score { value, parts, highest: false });
        }
        other.candidates[1].name = "gpu-b".to_owned();
        let shown = text(&other);
        assert!(
            shown.contains("\nw10     gpu-b  1037.5000  queued tokens 1037.5000       0\n"),
            "{shown}"
        );
        let end = "\n\nw1 has the lowest score, 40; gpu-b (w10) has 1037.5000\n";
        assert!(shown.ends_with(end), "{shown}");
        other.because = "the longest match".to_owned();
        assert!(text(&other).ends_with("\n\nw1: the longest match\n"));
        other.candidates.truncate(1);
        other.decode = Some(4);
        let shown = text(&other);
        let end = "\nw1 was the only candidate\nw1 computes the prompt, w4 the answer\n";
        assert!(shown.ends_with(end), "{shown}");
    }
}
