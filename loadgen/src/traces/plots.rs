//! What a trace holds as plots, and in words at the top.

use super::holds::{AtMemory, Holds, Lengths};
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Fact, Line, Lines, Mark, Plot};
use warmpath_sheet::{Format, Style};

fn si(value: f64) -> String {
    Format::of(Style::Si).number(value)
}

/// Adds the answer and the plots.
pub fn add(document: &mut Document, holds: &Holds) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let reuse = &holds.reuse;
    document.answer.headline = match holds.shares {
        false => "The trace says nothing of what its prompts share: no cache can hit.".to_owned(),
        true => {
            format!("No cache can have more than {} of the prompt tokens.", percent(reuse.hit_rate))
        }
    };
    document.answer.facts = vec![
        Fact::new(
            "Reuse within sessions",
            percent(reuse.within_sessions),
            "Of prompt tokens: left by earlier requests of the same session.",
        ),
        Fact::new(
            "Reuse across sessions",
            percent(reuse.across_sessions),
            "Of prompt tokens: left by requests of other sessions.",
        ),
        Fact::new(
            "Memory for all of it",
            format!("{} tokens", si(reuse.unique_tokens as f64)),
            "What a cache that forgets nothing would hold.",
        ),
        Fact::new(
            "Prompts",
            format!("{} tokens", si(holds.prompt_tokens.mean)),
            format!("On average; the longest has {}.", si(f64::from(holds.prompt_tokens.max))),
        ),
        Fact::new(
            "Answers",
            format!("{} tokens", si(holds.output_tokens.mean)),
            format!("On average; the longest has {}.", si(f64::from(holds.output_tokens.max))),
        ),
    ];
    document.answer.more = holds.remarks();
    document.section(
        "Caches and lengths",
        "",
        [
            memory(holds),
            lengths("Lengths of prompts", &holds.prompt_tokens),
            lengths("Lengths of answers", &holds.output_tokens),
        ],
    );
}

fn memory(holds: &Holds) -> Plot {
    let line = |name: &str, of: fn(&AtMemory) -> f64| {
        let point = |at: &AtMemory| (at.memory_tokens as f64, of(at) * 100.0);
        Line::new(name, holds.reuse.memory.iter().map(point).collect())
    };
    let all = holds.reuse.hit_rate * 100.0;
    Plot {
        title: "Hit rate against memory".to_owned(),
        about: "One cache for all requests. No eviction rule passes the best one, and no cache passes the line across."
            .to_owned(),
        chart: Chart::Lines(Lines {
            x: Axis::log("size of the cache, tokens"),
            y: Axis::linear("hit rate, % of prompt tokens"),
            of: "cache".to_owned(),
            lines: vec![
                line("LRU", |at| at.lru_hit_rate),
                line("best eviction (knows the future)", |at| at.optimal_hit_rate),
            ],
            marks: vec![Mark::across(format!("cache without a limit: {all:.1} %"), all)],
        }),
    }
}

fn lengths(title: &str, lengths: &Lengths) -> Plot {
    let bars = [
        ("median", f64::from(lengths.p50)),
        ("mean", lengths.mean),
        ("90th percentile", f64::from(lengths.p90)),
        ("99th percentile", f64::from(lengths.p99)),
        ("longest", f64::from(lengths.max)),
    ];
    Plot {
        title: title.to_owned(),
        about: "Tokens of a request.".to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("tokens"),
            of: "figure".to_owned(),
            parts: vec!["length".to_owned()],
            bars: bars.map(|(name, tokens)| Bar::stacked(name, [tokens])).into(),
            marks: Vec::new(),
        }),
    }
}
