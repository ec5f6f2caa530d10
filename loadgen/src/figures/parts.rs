//! A run in parts, so that one run says how sure its figures are.

use super::stats::Estimate;
use serde::{Deserialize, Serialize};
use warmpath_core::report::{Answered, Slo};

/// Parts of a run. So many that Student's t is near its limit, so few that a queue seldom lasts over several.
const PARTS: usize = 20;
/// A part with fewer requests says little.
const LEAST: usize = 20;
/// The most that a part may resemble the one before it.
const MOST_ALIKE: f64 = 0.9;

/// Sums over some requests that were sent one after the other.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Part {
    pub requests: f64,
    pub ttft_s: f64,
    pub e2e_s: f64,
    /// Within the SLO.
    pub good: f64,
}

impl Part {
    /// A run's answers in 20 parts, in the order of their ids. Empty for few answers.
    pub fn of(answered: &[Answered], slo: &Slo) -> Vec<Self> {
        if answered.len() < PARTS * LEAST {
            return Vec::new();
        }
        let mut in_order: Vec<&Answered> = answered.iter().collect();
        in_order.sort_unstable_by_key(|request| request.id);
        let mut parts = vec![Self::default(); PARTS];
        for (i, request) in in_order.iter().enumerate() {
            let part = &mut parts[i * PARTS / in_order.len()];
            part.requests += 1.0;
            part.ttft_s += request.ttft().as_secs_f64();
            part.e2e_s += request.ended.since(request.sent).as_secs_f64();
            part.good += f64::from(u8::from(request.meets(slo)));
        }
        parts
    }
}

/// How much a sum over all parts differs from the sum of another run with the same requests, in percent. The interval
/// is computed for a ratio of two sums (Cochran 1977). Parts that resemble the one before them count for less.
pub fn change_percent(own: &[Part], other: &[Part], of: fn(&Part) -> f64) -> Option<Estimate> {
    if own.is_empty()
        || own.len() != other.len()
        || own.iter().zip(other).any(|(a, b)| a.requests != b.requests)
    {
        return None;
    }
    let n = own.len() as f64;
    let sum = |parts: &[Part]| parts.iter().map(of).sum::<f64>();
    let (a, b) = (sum(own), sum(other));
    if b <= 0.0 {
        return None;
    }
    let ratio = a / b;
    let residuals: Vec<f64> =
        own.iter().zip(other).map(|(a, b)| (of(a) - ratio * of(b)) * n / (sum(other))).collect();
    let squares: f64 = residuals.iter().map(|d| d * d).sum();
    let error = if squares > 0.0 {
        let neighbours: f64 = residuals.windows(2).map(|two| two[0] * two[1]).sum();
        let alike = (neighbours / squares).clamp(0.0, MOST_ALIKE);
        ((squares / (n - 1.0) / n) * (1.0 + alike) / (1.0 - alike)).sqrt()
    } else {
        0.0
    };
    Some(Estimate::of_parts((ratio - 1.0) * 100.0, error * 100.0, own.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sums: &[f64]) -> Vec<Part> {
        sums.iter().map(|&ttft_s| Part { requests: 1.0, ttft_s, ..Part::default() }).collect()
    }

    /// Sums 10 and 8: +25 %. Residuals a - 1.25 b: 1 - 1.25, 2 - 2.5, 3 - 2.5, 4 - 3.75 = -.25, -.5, .5, .25, over the
    /// mean of b, 2: their squares sum up to .15625, so the error is sqrt(.15625 / 3 / 4) = .1141 without neighbours.
    /// Neighbours: (.125 - .25 + .125) / 4 = 0.
    #[test]
    fn a_change_worked_by_hand() {
        let (own, other) = (parts(&[1.0, 2.0, 3.0, 4.0]), parts(&[1.0, 2.0, 2.0, 3.0]));
        let change = change_percent(&own, &other, |part| part.ttft_s).unwrap();
        let error = 100.0 * (0.15625f64 / 12.0).sqrt();
        assert!((change.mean - 25.0).abs() < 1e-9 && change.over_parts && change.n == 4);
        assert!((change.half_width_95.unwrap() - 3.182 * error).abs() < 0.01, "{change:?}");
    }

    #[test]
    fn the_same_run_has_no_change_and_other_requests_have_none_to_compare() {
        let own = parts(&[1.0, 2.0, 3.0]);
        let change = change_percent(&own, &own, |part| part.ttft_s).unwrap();
        assert_eq!((change.mean, change.half_width_95), (0.0, Some(0.0)));
        assert_eq!(change_percent(&own, &parts(&[1.0]), |part| part.ttft_s), None);
        assert_eq!(change_percent(&[], &[], |part| part.ttft_s), None);
    }
}
