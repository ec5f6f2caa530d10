//! What a search for parameters tried, and what its best did on requests that it had not seen.

use crate::figures::{Tried, Tuning};
use warmpath_html::{Axis, Bar, Bars, Chart, Fact, Mark, Plot, Segment};

/// Settings of a rule that have a bar: the best ones, and the rule as it was given.
const MOST: usize = 12;

pub fn plots(tunings: &[Tuning]) -> Vec<Plot> {
    let tried = tunings.iter().map(tried);
    std::iter::once(against_held_out(tunings)).chain(tried).collect()
}

/// A figure for each rule that was tuned.
pub fn facts(tunings: &[Tuning]) -> Vec<Fact> {
    let fact = |tuning: &Tuning| {
        let Tuning { policy, tuned, goal, .. } = tuning;
        let label = format!("{policy}, tuned");
        if policy == tuned {
            let note = format!("None of {} settings was better by {goal}.", tuning.tried.len());
            return Fact::new(label, "no gain", note);
        }
        let trained = tuning.best_change_percent();
        let value = tuning
            .held_out_change_percent
            .map_or_else(|| "not known".to_owned(), |change| format!("{change:+.1} %"));
        let note = format!(
            "Of {goal}, on requests that the search did not see; on its own {trained:+.1} %. It is {tuned}."
        );
        Fact::new(label, value, note)
    };
    tunings.iter().map(fact).collect()
}

fn bar(name: String, part: usize, change: f64) -> Bar {
    let segments = vec![Segment { part, from: change.min(0.0), to: change.max(0.0) }];
    Bar { name, segments }
}

fn goal_axis(tunings: &[Tuning]) -> Axis {
    let goal = tunings.first().map_or("goal", |tuning| tuning.goal);
    Axis::linear(format!("change of {goal}, %"))
}

fn against_held_out(tunings: &[Tuning]) -> Plot {
    let bars = tunings.iter().filter(|tuning| tuning.policy != tuning.tuned).flat_map(|tuning| {
        let of = |what: &str| format!("{}, {what}", tuning.policy);
        let held_out = tuning.held_out_change_percent;
        [
            Some(bar(of("searched with"), 0, tuning.best_change_percent())),
            held_out.map(|change| bar(of("held out"), 1, change)),
        ]
    });
    Plot {
        title: "Tuned rules: requests of the search against held-out ones".to_owned(),
        about: "Against the rule as it was given; left is better. A gain that is much smaller on held-out requests says \
                that the search fitted chance."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: goal_axis(tunings),
            of: "rule".to_owned(),
            parts: vec!["requests of the search".to_owned(), "held-out requests".to_owned()],
            bars: bars.flatten().collect(),
            marks: vec![Mark::upright("as given", 0.0)],
        }),
    }
}

fn tried(tuning: &Tuning) -> Plot {
    let mut known: Vec<(&Tried, f64)> =
        tuning.tried.iter().filter_map(|tried| Some((tried, tried.change_percent?))).collect();
    known.sort_by(|one, other| one.1.total_cmp(&other.1));
    let all = known.len();
    let is_given = |tried: &Tried| tried.policy == tuning.policy;
    let given = known.iter().position(|(tried, _)| is_given(tried));
    // The rule as it was given is shown, however many are better.
    if let Some(given) = given.filter(|&given| given >= MOST) {
        known.swap(MOST - 1, given);
    }
    known.truncate(MOST);
    let part = |tried: &Tried| match (tried.policy == tuning.tuned, is_given(tried)) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    let name = |tried: &Tried| match part(tried) {
        2 => format!("{} (best)", tried.policy),
        1 => format!("{} (as given)", tried.policy),
        _ => tried.policy.clone(),
    };
    let bars = known.iter().map(|(tried, change)| bar(name(tried), part(tried), *change)).collect();
    let left_out = match all - known.len() {
        0 => String::new(),
        more => format!(" {more} worse ones are left out."),
    };
    Plot {
        title: format!("What was tried: {}", tuning.policy),
        about: format!(
            "On {}, against the rule as it was given; left is better.{left_out}",
            tuning.trained_on
        ),
        chart: Chart::Bars(Bars {
            axis: goal_axis(std::slice::from_ref(tuning)),
            of: "setting".to_owned(),
            parts: vec!["tried".to_owned(), "as given".to_owned(), "best".to_owned()],
            bars,
            marks: vec![Mark::upright("as given", 0.0)],
        }),
    }
}
