//! The capacity of each policy as a table.

use super::layout::{align, plain, trimmed};
use super::numbers::interval;
use crate::figures::{Capacity, Found, label};

pub fn capacities(capacities: &[Capacity]) -> String {
    let mut table = plain(&["policy", "capacity: rate", "offered req/s", ""]);
    for row in capacities {
        let (rate, offered) = match (&row.rate_scale, &row.offered_requests_per_s) {
            (Some(rate), Some(offered)) => {
                (interval(rate, 1.0, 3) + "x", interval(offered, 1.0, 2))
            }
            _ => (String::new(), String::new()),
        };
        let note = row.found.iter().find_map(|found| match found {
            Found::AtLeast { rate_scale } => Some(format!("at least {rate_scale}x")),
            Found::Nowhere { rate_scale, within_slo } => {
                Some(format!("none: {:.0} % in SLO even at {rate_scale}x", within_slo * 100.0))
            }
            Found::At { short: true, .. } => Some("workload too short: an upper bound".to_owned()),
            Found::At { .. } => None,
        });
        let label = label(Some(&row.policy), row.variant.as_deref());
        table.add_row([label, rate, offered, note.unwrap_or_default()]);
    }
    align(&mut table, 1);
    let share = capacities.first().map_or(0.0, |first| first.within_slo) * 100.0;
    format!(
        "{}Capacity: the highest rate, within 1 %, at which {share} % of the requests meet the \
         SLO.\n",
        trimmed(&table)
    )
}
