//! Shares and costs by rule.

use crate::figures::Bounds;
use crate::report::entries::Entry;
use crate::report::over_seeds::known_mean;
use warmpath_core::id::{MAX_TIERS, ORIGINS};
use warmpath_html::{Axis, Bar, Bars, Chart, Mark, Plot, Segment};

pub fn plots(shown: &[&Entry]) -> Vec<Plot> {
    vec![distance(shown), by_origin(shown)]
}

/// Where the tokens go that were not cached.
fn distance(shown: &[&Entry]) -> Plot {
    let share = |entry: &Entry, of: fn(&Bounds) -> f64| {
        known_mean(&entry.runs, |run| run.bounds.as_ref().map(of)).map(|share| share * 100.0)
    };
    let bar = |entry: &&Entry| {
        let hit = share(entry, |bounds| bounds.hit_rate)?;
        let routing = share(entry, Bounds::lost_to_routing)?;
        let eviction = share(entry, Bounds::lost_to_eviction)?;
        let memory = share(entry, Bounds::lost_to_memory)?;
        let cold = share(entry, Bounds::cold)?;
        // Where the workers' caches do better than one LRU, that is a part of what better eviction would win.
        let eviction = eviction + routing.min(0.0);
        Some(Bar::stacked(&entry.label, [hit, routing.max(0.0), eviction, memory, cold]))
    };
    let parts = ["cached", "lost to routing", "lost to eviction", "lost to memory", "cold"];
    Plot {
        title: "Where prompt tokens were found, or lost".to_owned(),
        about: "Lost to routing: one LRU of the fleet's whole memory would have it. To eviction: the best eviction \
                would. To memory: a cache without a limit would. Cold: no cache can."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("prompt tokens, %").up_to(100.0),
            of: "policy".to_owned(),
            parts: parts.map(str::to_owned).into(),
            bars: shown.iter().filter_map(bar).collect(),
            marks: Vec::new(),
        }),
    }
}

/// The name of a place that hits come from.
pub fn origin_name(tiers: &[String], origin: usize) -> String {
    let others = ["pool", "peers"];
    match origin.checked_sub(MAX_TIERS) {
        Some(place) => others.get(place).copied().unwrap_or("other").to_owned(),
        None => tiers.get(origin).cloned().unwrap_or_else(|| format!("tier {origin}")),
    }
}

/// From which tier hits came. Only where there are several.
fn by_origin(shown: &[&Entry]) -> Plot {
    let share = |entry: &Entry, origin: usize| {
        entry.mean(|figures| Some(figures.hit_rate_by_tier?[origin] * 100.0)).unwrap_or(0.0)
    };
    let used: Vec<usize> = (0..ORIGINS)
        .filter(|&origin| shown.iter().any(|entry| share(entry, origin) > 0.0))
        .collect();
    let several = used.len() > 1;
    let tiers = shown.first().map_or(&[][..], |entry| &entry.runs[0].tiers);
    let bar = |entry: &&Entry| Bar::stacked(&entry.label, used.iter().map(|&at| share(entry, at)));
    Plot {
        title: "Hit rate by tier".to_owned(),
        about: "Where cached prompt tokens lay when the request was admitted.".to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("hit rate, % of prompt tokens"),
            of: "policy".to_owned(),
            parts: used.iter().map(|&origin| origin_name(tiers, origin)).collect(),
            bars: if several { shown.iter().map(bar).collect() } else { Vec::new() },
            marks: Vec::new(),
        }),
    }
}

/// The cost of tokens by rule, where prices are given.
pub fn costs(shown: &[&Entry]) -> Plot {
    let bar = |entry: &&Entry| {
        let usd = known_mean(&entry.runs, |run| run.economics.as_ref()?.usd_per_m.served)?;
        Some(Bar {
            name: entry.label.clone(),
            segments: vec![Segment { part: 0, from: 0.0, to: usd }],
        })
    };
    let bars: Vec<Bar> = shown.iter().filter_map(bar).collect();
    Plot {
        title: "Cost of a million tokens served".to_owned(),
        about: "Prompt and answer tokens, by the time that GPUs were rented. Shorter is better."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("USD per million tokens"),
            of: "policy".to_owned(),
            parts: vec!["cost".to_owned()],
            bars,
            marks: Vec::<Mark>::new(),
        }),
    }
}
