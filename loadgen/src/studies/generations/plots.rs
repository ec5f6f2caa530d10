//! Devices as plots.

use super::row::Row;
use crate::report::html::facts_of_slo;
use crate::setup::Setup;
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Plot, Segment};

type Ends = [Option<f64>; 2];

/// Adds the answer and the plots.
pub fn add(document: &mut Document, setup: &Setup, rows: &[Row]) {
    let known = |of: fn(&Row) -> Ends| {
        rows.iter().filter_map(move |row| {
            let ends: Vec<f64> = of(row).into_iter().flatten().collect();
            let low = ends.iter().copied().reduce(f64::min)?;
            Some((row, low, ends.iter().copied().fold(low, f64::max)))
        })
    };
    let name = |row: &Row| match row.validated {
        true => row.device.clone(),
        false => format!("{} (unvalidated)", row.device),
    };
    let bars = |title: &str, about: &str, unit: &str, of: fn(&Row) -> Ends| {
        let bar = |(row, low, high): (&Row, f64, f64)| Bar {
            name: name(row),
            segments: vec![
                Segment { part: 0, from: 0.0, to: low },
                Segment { part: 1, from: low, to: high },
            ],
        };
        Plot {
            title: title.to_owned(),
            about: about.to_owned(),
            chart: Chart::Bars(Bars {
                axis: Axis::linear(unit),
                of: "device".to_owned(),
                parts: vec!["at least".to_owned(), "at most".to_owned()],
                bars: known(of).map(bar).collect(),
                marks: Vec::new(),
            }),
        }
    };
    document.asked = facts_of_slo(&setup.slo);
    let fastest = known(|row| row.tokens_per_s_per_chip).max_by(|a, b| a.1.total_cmp(&b.1));
    document.answer.headline = match fastest {
        None => "No device serves anything within the SLO.".to_owned(),
        Some((row, low, high)) if low < high => format!(
            "{} serves the most by chip even at the low end of its band: {low:.0} to {high:.0} tokens/s.",
            row.device
        ),
        Some((row, low, _)) => {
            format!("{} serves the most by chip: {low:.0} tokens/s.", row.device)
        }
    };
    let unvalidated = rows.iter().filter(|row| !row.validated).count();
    if unvalidated > 0 {
        document.answer.warnings.push(format!(
            "{unvalidated} of {} devices have no measurements: their bars are bands of what is assumed.",
            rows.len()
        ));
    }
    document.section(
        "Devices",
        "",
        [
            bars(
                "Tokens a second by chip, within the SLO",
                "Prompts, computed or reused, and answers. Longer is better.",
                "tokens/s by chip",
                |row| row.tokens_per_s_per_chip,
            ),
            bars(
                "Cost of a million tokens served",
                "At that load. Shorter is better.",
                "USD per million tokens",
                |row| row.usd_per_m_served,
            ),
            bars(
                "Energy of a million tokens served",
                "At that load. Shorter is better.",
                "kWh per million tokens",
                |row| row.kwh_per_m_served,
            ),
            bars(
                "Break-even price of a chip's hour",
                "The price at which a device serves for what the first one does.",
                "USD an hour",
                |row| row.break_even_usd_per_hour,
            ),
        ],
    );
}
