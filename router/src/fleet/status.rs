//! The members of the fleet, and what all workers agree on.

/// The members of the fleet. A change can be waited for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FleetStatus {
    /// URLs of the workers that take requests or drain.
    pub joined: Vec<String>,
    /// URLs of the pools that are followed.
    pub pools: Vec<String>,
    /// URLs of workers and pools that do not match this router, and why. The router asks them again
    /// each 5 s.
    pub refused: Vec<(String, String)>,
    /// The router shuts down and takes no new requests.
    pub draining: bool,
}

/// Counts since the router started, and of now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Requests that clients wait for now.
    pub in_flight: usize,
    /// Requests that are booked on workers now.
    pub booked: usize,
    /// Requests that are held for a worker now.
    pub held: usize,
    /// Requests of siblings that are booked here now.
    pub of_siblings: usize,
    /// Feeds that skipped a batch, or with a digest that differs from the index.
    pub resyncs: u64,
    /// Runs of blocks in the prefix index.
    pub runs: usize,
}

/// What all workers of the fleet have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetTerms {
    pub model: String,
    /// Tokens a block.
    pub block_size: u32,
}

impl FleetTerms {
    /// What differs from the router's own. None: nothing.
    pub fn difference(&self, ours: &Self) -> Option<String> {
        if self.block_size != ours.block_size {
            let (theirs, ours) = (self.block_size, ours.block_size);
            return Some(format!("block size is {theirs} tokens, this router's is {ours}"));
        }
        if self.model != ours.model {
            let (theirs, ours) = (&self.model, &ours.model);
            return Some(format!("model is '{theirs}', this router's is '{ours}'"));
        }
        None
    }
}
