//! How the values of flags are read, and what each must be.

use std::str::FromStr;
use warmpath_core::sharing::Tenants;
use warmpath_sim::{Routing, Sharing};

/// The lowest and the highest speedup, as routers and workers take it.
pub const SPEEDUPS: (f64, f64) = (1e-3, 1e4);

/// Value of `--hbm-tokens`. None: unlimited.
#[derive(Clone, Copy, Debug)]
pub struct HbmTokens(pub Option<u64>);

pub fn parse_tokens(text: &str) -> Result<HbmTokens, String> {
    if text == "unlimited" {
        return Ok(HbmTokens(None));
    }
    let expected = "expected a whole number above 0 or \"unlimited\"";
    let tokens: u64 = text.replace('_', "").parse().map_err(|_| expected.to_owned())?;
    if tokens == 0 { Err(expected.into()) } else { Ok(HbmTokens(Some(tokens))) }
}

/// The longest times that an SLO can have. No user waits longer, so a longer one is in milliseconds.
pub const MOST_TTFT_S: f64 = 120.0;
pub const MOST_TPOT_S: f64 = 10.0;

/// Checks a time of an SLO, whose greatest value is `most`. The error says what was expected.
pub fn check_slo_seconds(seconds: f64, most: f64) -> Result<(), String> {
    match seconds {
        good if (1e-6..=most).contains(&good) => Ok(()),
        long if long > most && long.is_finite() => Err(format!(
            "expected seconds, at most {most}; are these milliseconds? then it is {}",
            long / 1e3
        )),
        _ => Err(format!("expected seconds, more than 0 and at most {most}")),
    }
}

/// A factor for an arrival rate: from a millionth to a million.
pub fn parse_scale(text: &str) -> Result<f64, String> {
    parse_within(text, 1e-6, 1e6)
}

/// Model seconds per wall second.
pub fn parse_speedup(text: &str) -> Result<f64, String> {
    parse_within(text, SPEEDUPS.0, SPEEDUPS.1)
}

pub fn parse_within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

pub fn parse_whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number of 0 or more".to_owned())
}

pub fn parse_count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number above 0".to_owned())
}

pub fn parse_tenants(text: &str) -> Result<u32, String> {
    let tenants = text.parse().ok().filter(|tenants| (1..=Tenants::MOST).contains(tenants));
    tenants.ok_or_else(|| format!("expected 1 to {}", Tenants::MOST))
}

/// A number of routers, and how each learns what the others send.
pub fn parse_routers(text: &str) -> Result<Routing, String> {
    let (count, share) = match text.split_once(':') {
        Some((count, how)) => {
            let share = Sharing::ALL.into_iter().find(|share| share.name() == how);
            let expected =
                || "expected nothing, load-reports or bookings after the number".to_owned();
            (count, share.ok_or_else(expected)?)
        }
        None => (text, Sharing::default()),
    };
    let count = count.parse().ok().filter(|count| (1..=Routing::MOST).contains(count));
    let count = count.ok_or_else(|| format!("expected 1 to {} routers", Routing::MOST))?;
    Ok(Routing { count, share, ..Routing::default() })
}

pub fn parse_seconds(text: &str) -> Result<f64, String> {
    let expected = || "expected seconds, 0 or more".to_owned();
    let value: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=1e9).contains(&value) { Ok(value) } else { Err(expected()) }
}
