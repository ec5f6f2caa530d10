//! Numbers as a table shows them.

use crate::figures::Estimate;

pub fn interval(estimate: &Estimate, scale: f64, digits: usize) -> String {
    format!("{:.digits$}{}", estimate.mean * scale, half(estimate, scale, digits))
}

pub fn half(estimate: &Estimate, scale: f64, digits: usize) -> String {
    match estimate.half_width_95 {
        Some(half) => format!(" ±{:.digits$}", half * scale),
        None => String::new(),
    }
}

/// At most four digits: 0.123, 12.34, 2898.
pub fn seconds(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        10.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Three digits and a unit: 144.8M.
pub fn big(count: u64) -> String {
    let (value, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (count as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        _ => (count as f64 / 1e9, "G"),
    };
    if value < 100.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Three significant digits. A dash: not known.
pub fn amount(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        0.0..0.01 => {
            let digits = (2.0 - value.abs().log10().floor()).min(12.0) as usize;
            format!("{value:.digits$}")
        }
        0.01..1.0 => format!("{value:.3}"),
        1.0..100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}
