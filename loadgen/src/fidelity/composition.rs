//! Each step of a served run put together again from the tokens and sequences that were written down, and
//! the time that the model gives it.

use crate::fidelity::reference::{ServedRequest, ServedStep};
use std::collections::BTreeSet;
use warmpath_core::engine::physics::{Calibrated, Joining};
use warmpath_core::engine::profile::StepShape;

/// A step that no order of requests explains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step {0}: no first-come order of the requests gives its tokens and sequences")]
pub struct NotExplained(usize);

/// One sequence of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub request: usize,
    /// Tokens that are there before the step.
    pub before: u32,
    pub new: u32,
    pub is_prompt: bool,
    /// Its prompt, where it runs for the first time.
    pub joins: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    request: usize,
    there: u32,
    /// Tokens of the prompt that are still to be computed.
    left: u32,
    answered: u32,
    answer: u32,
}

/// The sequences of every step: first those that run, then new ones in the order they came, within `budget`
/// tokens. How many join is what the written tokens and sequences say.
pub fn rebuild(
    steps: &[ServedStep],
    requests: &[ServedRequest],
    budget: u32,
) -> Result<Vec<Vec<Part>>, NotExplained> {
    let mut running: Vec<Running> = Vec::new();
    let mut coming = 0;
    let mut all = Vec::with_capacity(steps.len());
    for (i, step) in steps.iter().enumerate() {
        let most = (requests.len() - coming).min(step.sequences as usize);
        let fits = |joining: &usize| {
            let parts = plan(&running, &requests[coming..coming + joining], coming, budget);
            let tokens: u32 = parts.iter().map(|part| part.new).sum();
            let joined = parts.iter().filter(|part| part.joins.is_some()).count();
            parts.len() == step.sequences as usize
                && tokens == step.scheduled_tokens
                && joined == *joining
        };
        let joining = (0..=most).find(fits).ok_or(NotExplained(i))?;
        let parts = plan(&running, &requests[coming..coming + joining], coming, budget);
        running.extend(
            requests[coming..coming + joining]
                .iter()
                .enumerate()
                .map(|(j, r)| first(coming + j, r)),
        );
        coming += joining;
        for part in &parts {
            let one = running.iter_mut().find(|one| one.request == part.request);
            let one = one.expect("a part belongs to one that runs");
            one.there += part.new;
            if part.is_prompt {
                one.left -= part.new;
            }
            if one.left == 0 {
                one.answered += 1;
            }
        }
        running.retain(|one| one.answered < one.answer);
        all.push(parts);
    }
    Ok(all)
}

const fn first(request: usize, of: &ServedRequest) -> Running {
    Running {
        request,
        there: of.cached_tokens,
        left: of.prompt_tokens - of.cached_tokens,
        answered: 0,
        answer: of.output_tokens,
    }
}

fn plan(running: &[Running], joining: &[ServedRequest], coming: usize, budget: u32) -> Vec<Part> {
    let new =
        joining.iter().enumerate().map(|(i, of)| (first(coming + i, of), Some(of.prompt_tokens)));
    let mut left = budget;
    let mut parts = Vec::new();
    for (one, joins) in running.iter().map(|one| (*one, None)).chain(new) {
        if left == 0 {
            break;
        }
        let is_prompt = one.left > 0;
        let new = if is_prompt { one.left.min(left) } else { 1 };
        left -= new;
        parts.push(Part { request: one.request, before: one.there, new, is_prompt, joins });
    }
    parts
}

/// The time of each step in milliseconds, from when the device is free and the step is planned, given when
/// the steps before it ended.
pub fn times(step: &Calibrated, steps: &[ServedStep], parts: &[Vec<Part>]) -> Vec<f64> {
    let mut decoding: BTreeSet<usize> = BTreeSet::new();
    let mut unevenness = 0.0;
    let taken = step.output_taken().as_nanos() as f64;
    let mut times = Vec::with_capacity(steps.len());
    for (i, parts) in parts.iter().enumerate() {
        let mut shape = StepShape::default();
        let mut joining = Joining::default();
        for part in parts {
            if part.is_prompt {
                shape.add_prompt(part.new, part.before, step.window());
            } else {
                shape.add_decode(part.before + 1, step.window());
            }
            joining.requests += u32::from(part.joins.is_some());
            joining.prompt_tokens += part.joins.map_or(0, u64::from);
        }
        let here = || parts.iter().filter(|part| !part.is_prompt);
        let now: BTreeSet<usize> = here().map(|part| part.request).collect();
        if now != decoding {
            unevenness = step.unevenness(here().map(|part| part.before + 1));
            decoding = now;
        }
        shape.unevenness = unevenness;
        let launch = step.launch(&shape, joining);
        let ended = |k: usize| steps[k].gpu_end_ms * 1e6;
        let called = if i < 2 { -taken } else { ended(i - 2) + taken - ended(i - 1) };
        let span = launch.run(called, step.ns(&shape));
        times.push((span.start + span.length - (called + launch.input).max(0.0)) / 1e6);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(scheduled_tokens: u32, sequences: u32) -> ServedStep {
        ServedStep { scheduled_tokens, sequences, gpu_ms: 0.0, gpu_end_ms: 0.0 }
    }

    fn request(prompt_tokens: u32, cached_tokens: u32, output_tokens: u32) -> ServedRequest {
        let [due_s, first_token_s, end_s] = [0.0; 3];
        ServedRequest { due_s, first_token_s, end_s, prompt_tokens, cached_tokens, output_tokens }
    }

    #[test]
    fn steps_are_put_together_in_the_order_requests_came() {
        let requests = [request(10, 2, 2), request(5, 0, 1), request(4, 0, 1)];
        // The first prompt in two chunks, and the second joins; then the first decodes; the third alone.
        let steps = [step(6, 1), step(6, 2), step(2, 2), step(4, 1)];
        let parts = rebuild(&steps, &requests, 6).unwrap();
        let flat: Vec<Vec<(usize, u32, u32)>> = parts
            .iter()
            .map(|step| step.iter().map(|part| (part.request, part.before, part.new)).collect())
            .collect();
        assert_eq!(flat[0], [(0, 2, 6)]);
        assert_eq!(flat[1], [(0, 8, 2), (1, 0, 4)]);
        assert_eq!(flat[2], [(0, 10, 1), (1, 4, 1)][..]);
        assert_eq!(parts[1][1].joins, Some(5));
    }

    #[test]
    fn a_step_that_nothing_explains_is_named() {
        let error = rebuild(&[step(9, 1)], &[request(10, 0, 1)], 6).unwrap_err();
        assert!(error.to_string().starts_with("step 0: no first-come order"), "{error}");
    }
}
