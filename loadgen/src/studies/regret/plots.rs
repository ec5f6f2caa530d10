//! What regret says in words, and as bars.

use super::{By, Regret};
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Fact, Plot, Segment};
use warmpath_sheet::{Format, Style};

/// Adds the answer and the plot.
pub fn add(document: &mut Document, by: By, all: &[Regret]) {
    let seconds = |value: f64| Format::of(Style::Seconds).number(value);
    let least = all.iter().min_by(|one, other| one.mean_s().total_cmp(&other.mean_s()));
    let Some(least) = least else { return };
    document.answer.headline = format!(
        "In hindsight, one decision of {} could have saved {} s of {} on average.",
        least.policy,
        seconds(least.mean_s()),
        by.words()
    );
    document.answer.facts.extend(all.iter().map(|regret| {
        let (right, of) = regret.right();
        let note = "Evenly picked decisions that no other worker would have made better.";
        Fact::new(regret.policy.clone(), format!("{right} of {of} right"), note.to_owned())
    }));
    let bar = |regret: &Regret| Bar {
        name: regret.policy.clone(),
        segments: vec![Segment { part: 0, from: 0.0, to: regret.mean_s() }],
    };
    let plot = Plot {
        title: "Mean regret of a decision".to_owned(),
        about: "Over evenly picked decisions. Shorter is better.".to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear(format!("regret, s of {}", by.words())),
            of: "policy".to_owned(),
            parts: vec!["regret".to_owned()],
            bars: all.iter().map(bar).collect(),
            marks: Vec::new(),
        }),
    };
    document.section("Regret", "", [plot]);
}
