//! What new tokens add to a step at least, whatever else is in the step.

use super::shape::StepShape;

/// Lower bounds on step times, in nanoseconds. A step takes at least the sum of what each of its tokens and
/// pairs takes, and never less than [`Floor::step`].
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Floor {
    /// Any step.
    pub step: f64,
    /// Each new token of a prompt.
    pub per_token: f64,
    /// Each pair of a new prompt token and a token it attends to.
    pub per_pair: f64,
    /// The same in layers with a sliding window of [`Floor::window`] tokens.
    pub per_window_pair: f64,
    /// Each token of context that a decoding sequence reads.
    pub per_context_token: f64,
    /// 0 without such layers.
    pub window: u32,
}

impl Floor {
    /// The least time for `new` tokens of a prompt after its first `before`, in however many steps.
    pub fn prompt_ns(&self, new: u32, before: u32) -> f64 {
        let mut shape = StepShape::default();
        shape.add_prompt(new, before, self.window);
        f64::from(new) * self.per_token
            + shape.pairs * self.per_pair
            + shape.window_pairs * self.per_window_pair
    }

    /// The least time from the first token of an answer to its last one: a step a token, which reads its context.
    pub fn answer_ns(&self, prompt_tokens: u32, output_tokens: u32) -> f64 {
        let steps = f64::from(output_tokens.saturating_sub(1));
        // Step i attends to the prompt and i tokens of the answer, from 1 on.
        let context = steps * f64::from(prompt_tokens) + steps * (steps + 1.0) / 2.0;
        steps * self.step + context * self.per_context_token
    }
}
