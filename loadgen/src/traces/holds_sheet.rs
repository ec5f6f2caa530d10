//! What a trace holds, as tables.

use super::holds::{AtMemory, Holds, Lengths};
use warmpath_sheet::{Column, Field, Form, Format, Page, Style};

type OfLengths<'a> = (&'static str, &'a Lengths);

/// The page of a trace.
pub fn page(holds: &Holds, name: &str) -> Page {
    let mut page = Page::default();
    page.prose([headline(holds, name)]);
    let lengths = lengths_form();
    let mut sheet = lengths.sheet("Lengths");
    for row in [("prompt", &holds.prompt_tokens), ("answer", &holds.output_tokens)] {
        sheet.push(lengths.row(&row));
    }
    page.sheet(sheet);
    let reuse = memory_form();
    let mut sheet = reuse.sheet("Hit rate of one cache for all requests");
    holds.reuse.memory.iter().for_each(|row| sheet.push(reuse.row(row)));
    page.sheet(sheet);
    page.prose(facts(holds));
    page.prose(holds.remarks());
    page
}

fn headline(holds: &Holds, name: &str) -> String {
    let sessions = match (holds.sessions, holds.sessions_are_recorded) {
        (Some(sessions), true) => format!(" in {sessions} sessions"),
        (Some(sessions), false) => format!(" in {sessions} sessions (inferred)"),
        (None, _) => String::new(),
    };
    let span = match holds.sessions_at_a_time {
        Some(n) => format!("no times; {:.0} s with {n} sessions at a time", holds.span_s),
        None => format!("{:.3} s", holds.span_s),
    };
    let block = match holds.trace_block_size {
        Some(block) => format!("blocks of {block} tokens"),
        None => "no blocks".to_owned(),
    };
    format!(
        "{name}: {} trace, {} requests{sessions}, {span}, {block}",
        holds.format, holds.requests
    )
}

fn facts(holds: &Holds) -> Vec<String> {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let reuse = &holds.reuse;
    let mut facts = vec![
        format!(
            "Hit rate of a cache that forgets nothing: {} of the prompt tokens, in whole blocks of {} \
             ({} within sessions, {} across). It would hold {} tokens.",
            percent(reuse.hit_rate),
            holds.block_size,
            percent(reuse.within_sessions),
            percent(reuse.across_sessions),
            reuse.unique_tokens
        ),
        format!(
            "First blocks: {} different; the most frequent is in {} of the requests.",
            holds.first_block.different,
            percent(holds.first_block.most_frequent)
        ),
        format!(
            "Partial last blocks, which cannot hit: {} prompts, {} of the tokens.",
            holds.tails.prompts,
            percent(holds.tails.share_of_tokens)
        ),
    ];
    if let Some(ticks) = &holds.ticks {
        facts.push(format!(
            "Timestamps: {} different, at most {} requests on one, {} s apart (median).",
            ticks.timestamps, ticks.most_requests_on_one, ticks.median_gap_s
        ));
    }
    facts
}

fn lengths_form<'a>() -> Form<'a, OfLengths<'a>> {
    fn whole<'a>(
        key: &'static str,
        meaning: &'static str,
        of: impl Fn(&Lengths) -> f64 + 'a,
    ) -> Field<'a, OfLengths<'a>> {
        Column::number(key, key, "tokens", meaning)
            .format(Format::of(Style::Commas))
            .of(move |(_, lengths): &OfLengths<'a>| of(lengths))
    }
    Form::new([
        Column::text("what", "", "Prompts or answers.").of(|(what, _): &OfLengths<'a>| *what),
        whole("mean", "The mean length.", |lengths| lengths.mean),
        whole("p50", "The median length.", |lengths| f64::from(lengths.p50)),
        whole("p90", "The length that 90 % do not exceed.", |lengths| f64::from(lengths.p90)),
        whole("p99", "The length that 99 % do not exceed.", |lengths| f64::from(lengths.p99)),
        whole("max", "The greatest length.", |lengths| f64::from(lengths.max)),
        whole("total", "All of them together.", |lengths| lengths.total as f64),
    ])
}

const LRU: &str = "Prompt tokens that a cache has which evicts what was not used for longest, divided by all of them; \
                   only whole blocks count.";
const BEST: &str =
    "The same with the best choice of blocks to evict, by a cache that knows the future.";
const BLOCKS: &str =
    "The same of blocks, with partial last blocks counted as blocks, as other tools do.";

fn share(
    key: &'static str,
    heading: &'static str,
    group: &'static str,
    meaning: &'static str,
) -> Column {
    Column::number(key, heading, "share", meaning).format(Format::percent(2)).under(group)
}

fn memory_form<'a>() -> Form<'a, AtMemory> {
    Form::new([
        Column::number("memory_tokens", "memory", "tokens", "The size of the cache.")
            .format(Format::of(Style::Si))
            .of(|at: &AtMemory| at.memory_tokens as f64),
        share("lru_hit_rate", "LRU", "hit %", LRU).of(|at: &AtMemory| at.lru_hit_rate),
        share("optimal_hit_rate", "best", "hit %", BEST).of(|at: &AtMemory| at.optimal_hit_rate),
        share("lru_block_hit_rate", "LRU", "% of blocks", BLOCKS)
            .of(|at: &AtMemory| at.lru_block_hit_rate),
        share("optimal_block_hit_rate", "best", "% of blocks", BLOCKS)
            .of(|at: &AtMemory| at.optimal_block_hit_rate),
    ])
}
