//! shape

/// What one step is made of.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct StepShape {
    /// New tokens, of prompts and of answers.
    pub tokens: u32,
    /// Of these, tokens of prompts.
    pub prefill_tokens: u32,
    /// Pairs of a new prompt token and one it attends to.
    pub pairs: f64,
    /// The same where a token attends to a window.
    pub window_pairs: f64,
    /// Sequences that take part.
    pub seqs: u32,
    /// Of these, sequences that decode.
    pub decoding: u32,
    /// Tokens of context that decoding sequences read.
    pub context: u64,
    /// The same where they read a window.
    pub window_context: u64,
}

impl StepShape {
    /// Adds `new` tokens of a prompt whose first `before` are computed, for layers with a window of
    /// `window` tokens (0: there are none).
    pub fn add_prompt(&mut self, new: u32, before: u32, window: u32) {
        let (n, p) = (f64::from(new), f64::from(before));
        self.pairs += n * p + n * (n + 1.0) / 2.0;
        // Tokens whose window is not full yet attend to all before them and to themselves.
        let short = f64::from(window.saturating_sub(before).min(new));
        self.window_pairs +=
            short * p + short * (short + 1.0) / 2.0 + (n - short) * f64::from(window);
        self.tokens += new;
        self.prefill_tokens += new;
        self.seqs += 1;
    }

    /// Adds a sequence that decodes and attends to `context` tokens, its own new one included.
    pub fn add_decode(&mut self, context: u32, window: u32) {
        self.tokens += 1;
        self.seqs += 1;
        self.decoding += 1;
        self.context += u64::from(context);
        self.window_context += u64::from(context.min(window));
    }
}
