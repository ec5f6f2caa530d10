//! A run in parts, so that one run says how sure its figures are.

use super::stats::Estimate;
use serde::{Deserialize, Serialize};
use warmpath_core::report::{Answered, Slo};

/// The most parts of a run. What depends on each other, such as the requests of one queue, may last over several parts.
const MOST: usize = 128;
/// A run in fewer parts says too little.
const FEWEST: usize = 16;
/// The fewest blocks of neighbouring parts that an interval rests on.
const BLOCKS: usize = 8;
/// A part with fewer requests says little.
const LEAST: usize = 16;

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
    /// A run's answers in 16 to 128 parts, in the order of their ids. Empty for few answers.
    pub fn of(answered: &[Answered], slo: &Slo) -> Vec<Self> {
        let count = (answered.len() / LEAST).min(MOST);
        if count < FEWEST {
            return Vec::new();
        }
        let mut in_order: Vec<&Answered> = answered.iter().collect();
        in_order.sort_unstable_by_key(|request| request.id);
        let mut parts = vec![Self::default(); count];
        for (i, request) in in_order.iter().enumerate() {
            let part = &mut parts[i * count / in_order.len()];
            part.requests += 1.0;
            part.ttft_s += request.ttft().as_secs_f64();
            part.e2e_s += request.ended.since(request.sent).as_secs_f64();
            part.good += f64::from(u8::from(request.meets(slo)));
        }
        parts
    }
}

/// How much a sum over all parts differs from the sum of another run with the same requests, in percent.
///
/// The interval comes from a circular block bootstrap (Politis and Romano 1992) of the residuals of a ratio of two sums (Cochran
/// 1977). The deviation of a mean over all its resamples has a closed form, so none are drawn: see [`block_bootstrap`].
pub fn change_percent(own: &[Part], other: &[Part], of: fn(&Part) -> f64) -> Option<Estimate> {
    if own.is_empty()
        || own.len() != other.len()
        || own.iter().zip(other).any(|(a, b)| a.requests != b.requests)
    {
        return None;
    }
    let n = own.len() as f64;
    let sum = |parts: &[Part]| parts.iter().map(of).sum::<f64>();
    let (own_sum, other_sum) = (sum(own), sum(other));
    if other_sum <= 0.0 {
        return None;
    }
    let ratio = own_sum / other_sum;
    let residuals: Vec<f64> =
        own.iter().zip(other).map(|(a, b)| (of(a) - ratio * of(b)) * n / other_sum).collect();
    let (error, blocks) = block_bootstrap(&residuals);
    let in_every_part = own.iter().zip(other).all(|(a, b)| of(a) > of(b))
        || own.iter().zip(other).all(|(a, b)| of(a) < of(b));
    let mut change = Estimate::of_parts((ratio - 1.0) * 100.0, error * 100.0, blocks);
    change.in_every_part = in_every_part;
    Some(change)
}

/// The deviation of the mean of values that depend on their neighbours and sum up to 0, and how many blocks it rests on.
///
/// A resample puts n / l blocks of l neighbours one after the other, each drawn from the n that there are on the circle. The mean
/// of a resample so has a variance of l / n times the mean square of the blocks' means. Blocks that are too short cut what depends
/// on each other apart, and long ones are few: of lengths 1, 2, 4, .. that leave [`BLOCKS`] or more, the one with the largest
/// variance counts. n / (n - l) corrects for a mean that is taken from the same values, as n / (n - 1) does for single ones.
fn block_bootstrap(values: &[f64]) -> (f64, usize) {
    let n = values.len();
    let lengths = (0..).map(|power| 1usize << power).take_while(|l| l * BLOCKS <= n);
    let of_length = |l: usize| {
        let mean = |start: usize| (start..start + l).map(|i| values[i % n]).sum::<f64>() / l as f64;
        let square = (0..n).map(|start| mean(start).powi(2)).sum::<f64>() / n as f64;
        (square * l as f64 / (n - l) as f64, n / l)
    };
    let (variance, blocks) = lengths
        .map(of_length)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .unwrap_or((0.0, n));
    (variance.sqrt(), blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::rng::Rng;

    fn parts(sums: &[f64]) -> Vec<Part> {
        sums.iter().map(|&ttft_s| Part { requests: 1.0, ttft_s, ..Part::default() }).collect()
    }

    /// Four times the sums 1, 2, 3, 4 against 1, 2, 2, 3: +25 %. Residuals a - 1.25 b are -.25, -.5, .5, .25, over the mean of b,
    /// 2: their squares sum up to .15625 in four, .625 in 16. So the error is sqrt(.625 / 16 / 15).
    #[test]
    fn a_change_worked_by_hand() {
        let (own, other) = ([1.0, 2.0, 3.0, 4.0].repeat(4), [1.0, 2.0, 2.0, 3.0].repeat(4));
        let change = change_percent(&parts(&own), &parts(&other), |part| part.ttft_s).unwrap();
        let error = 100.0 * (0.625f64 / 16.0 / 15.0).sqrt();
        assert!((change.mean - 25.0).abs() < 1e-9 && change.over_parts && change.n == 16);
        assert!((change.half_width_95.unwrap() - 2.131 * error).abs() < 0.01, "{change:?}");
    }

    /// The closed form is the deviation of the means of resamples.
    #[test]
    fn the_deviation_is_that_of_drawn_resamples() {
        let mut rng = Rng::named(1, &[0x62_6f6f]);
        let mut last = 0.0;
        let mut values: Vec<f64> = (0..64)
            .map(|_| {
                last = 0.8 * last + rng.unit() - 0.5;
                last
            })
            .collect();
        let mean = values.iter().sum::<f64>() / 64.0;
        values.iter_mut().for_each(|value| *value -= mean);
        let (error, blocks) = block_bootstrap(&values);
        assert!((8..=64).contains(&blocks), "{blocks}");
        let length = 64 / blocks;
        assert!(length > 1, "neighbours are alike");
        const DRAWN: usize = 20_000;
        let mut squares = 0.0;
        for _ in 0..DRAWN {
            let block = |start: usize| (start..start + length).map(|i| values[i % 64]).sum::<f64>();
            let sum: f64 = (0..blocks).map(|_| block(rng.below(64) as usize)).sum();
            squares += (sum / 64.0).powi(2);
        }
        let drawn = (squares / DRAWN as f64 * 64.0 / (64 - length) as f64).sqrt();
        assert!((error / drawn - 1.0).abs() < 0.03, "{error} against {drawn}");
    }

    /// A queue that lasts over several parts makes one run say less. Of 400 pairs of runs without a difference, about 20 are told
    /// apart by an interval of 95 %. Single parts, as if they were independent, would tell more than 100 apart.
    #[test]
    fn runs_whose_parts_depend_on_each_other_are_not_told_apart() {
        let mut wrong = 0;
        for pair in 0..400 {
            let mut rng = Rng::named(pair, &[0x7061_6972]);
            let mut queue = [0.0; 2];
            let mut run = |side: usize| -> Vec<f64> {
                let mut part = || {
                    queue[side] = 0.7 * queue[side] + rng.unit();
                    1.0 + queue[side]
                };
                (0..128).map(|_| part()).collect()
            };
            let (own, other) = (parts(&run(0)), parts(&run(1)));
            let change = change_percent(&own, &other, |part| part.ttft_s).unwrap();
            wrong += u32::from(change.mean.abs() > change.half_width_95.unwrap());
        }
        println!("told apart: {wrong} of 400");
        assert!((5..=36).contains(&wrong), "{wrong}");
    }

    /// A queue that grows to the end has a mean that says little, and is longer all the time.
    #[test]
    fn a_queue_that_grows_is_worse_in_every_part() {
        let grows: Vec<f64> = (0..64).map(|part| 1.5 + f64::from(part)).collect();
        let steady: Vec<f64> = (0..64).map(|part| 1.0 + f64::from(part % 5) * 0.05).collect();
        let change = |own: &[f64], other: &[f64]| {
            change_percent(&parts(own), &parts(other), |part| part.ttft_s).unwrap()
        };
        assert!(change(&grows, &steady).in_every_part && change(&steady, &grows).in_every_part);
        assert!(!change(&steady, &steady).in_every_part);
        let once = [&[0.5][..], &grows[1..]].concat();
        assert!(!change(&once, &steady).in_every_part);
    }

    #[test]
    fn the_same_run_has_no_change_and_other_requests_have_none_to_compare() {
        let own = parts(&[1.0, 2.0, 3.0].repeat(6));
        let change = change_percent(&own, &own, |part| part.ttft_s).unwrap();
        assert_eq!((change.mean, change.half_width_95), (0.0, Some(0.0)));
        assert_eq!(change_percent(&own, &parts(&[1.0]), |part| part.ttft_s), None);
        assert_eq!(change_percent(&[], &[], |part| part.ttft_s), None);
    }
}
