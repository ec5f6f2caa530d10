//! The ranking in words and as a plot.

use warmpath_html::{Axis, Bar, Bars, Chart, Document, Mark, Plot, Segment};
use warmpath_sheet::{Sheet, Value};

/// Adds the answer and the plot. `standing`: a row for each policy, the best first.
pub fn add(document: &mut Document, standing: &Sheet, reports: usize) {
    let place = |key: &str| standing.columns().iter().position(|column| column.key == key);
    let [Some(policy), Some(mean), Some(worst)] = ["policy", "ttft", "ttft_worst"].map(place)
    else {
        return;
    };
    let number = |value: &Value| match value {
        Value::Number(number) => Some(*number),
        _ => None,
    };
    let rows: Vec<(&str, f64, f64)> = standing
        .rows()
        .filter_map(|row| match &row[policy] {
            Value::Text(name) => Some((name.as_str(), number(&row[mean])?, number(&row[worst])?)),
            _ => None,
        })
        .collect();
    document.title = format!("Policies over {reports} reports");
    document.asked = standing.title.clone();
    if let Some((name, mean, worst)) = rows.first() {
        document.answer.headline = format!(
            "{name} is nearest to the best: its mean TTFT is {mean:.3} times the best of a cell, {worst:.2} times at worst."
        );
    }
    let bar = |&(name, mean, worst): &(&str, f64, f64)| {
        let part = |part, from, to| Segment { part, from, to };
        Bar { name: name.to_owned(), segments: vec![part(0, 1.0, mean), part(1, mean, worst)] }
    };
    document.section("How far from the best", "", [Plot {
        title: "Mean TTFT over the best of each cell".to_owned(),
        about: "From the best (1) to the geometric mean over the cells, and on to the worst cell. Shorter is better."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::log("mean TTFT, times the best of a cell").starting_at(1.0),
            of: "policy".to_owned(),
            parts: vec!["up to the mean over cells".to_owned(), "up to the worst cell".to_owned()],
            bars: rows.iter().map(bar).collect(),
            marks: Vec::<Mark>::new(),
        }),
    }]);
}
