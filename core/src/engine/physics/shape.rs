//! The shape of a step: all that its time depends on.

/// The tokens and sequences of one step.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct StepShape {
    /// New tokens, of prompts and of answers.
    pub tokens: u32,
    /// The part of them that belongs to prompts.
    pub prefill_tokens: u32,
    /// Pairs of a new prompt token and a token it attends to.
    pub pairs: f64,
    /// The same in layers with a sliding window.
    pub window_pairs: f64,
    /// Sequences in the step.
    pub seqs: u32,
    /// The part of them that decodes.
    pub decoding: u32,
    /// Tokens of context that decoding sequences read.
    pub context: u64,
    /// The same in layers with a sliding window.
    pub window_context: u64,
    /// Tokens of prompts that are there at the end of the step: their keys are read.
    pub prompt_context: u64,
    /// The longest chunk of a prompt.
    pub chunk: u32,
    /// Tokens before that chunk.
    pub chunk_behind: u32,
    /// The most tokens that one sequence attends to.
    pub longest: u32,
    /// By how much reading the contexts of decoding sequences takes longer than if it were spread
    /// evenly, as a share.
    pub unevenness: f64,
}

impl StepShape {
    /// Adds `new` tokens of a prompt after its first `before`. `window`: the sliding window in
    /// tokens; 0 without such layers.
    pub fn add_prompt(&mut self, new: u32, before: u32, window: u32) {
        let (n, p) = (f64::from(new), f64::from(before));
        self.pairs += n * p + n * (n + 1.0) / 2.0;
        // Tokens whose window is not full attend to all tokens before them and to themselves.
        let short = f64::from(window.saturating_sub(before).min(new));
        self.window_pairs +=
            short * p + short * (short + 1.0) / 2.0 + (n - short) * f64::from(window);
        self.tokens += new;
        self.prefill_tokens += new;
        self.seqs += 1;
        self.prompt_context += u64::from(before) + u64::from(new);
        self.longest = self.longest.max(before + new);
        if new > self.chunk {
            (self.chunk, self.chunk_behind) = (new, before);
        }
    }

    /// Adds a decoding sequence that attends to `context` tokens, its new token included.
    pub fn add_decode(&mut self, context: u32, window: u32) {
        self.tokens += 1;
        self.seqs += 1;
        self.decoding += 1;
        self.context += u64::from(context);
        self.window_context += u64::from(context.min(window));
        self.longest = self.longest.max(context);
    }
}
