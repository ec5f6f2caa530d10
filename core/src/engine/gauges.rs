//! What a worker's load reports say of its requests and its KV room.

/// Requests and KV room as a serving engine shows them. vLLM sets its gauges once a step, when it takes
/// in the step's output, and a request that comes during a step is not in its queue before the next one.
/// So a router that reads them sees a burst only after the step under way.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Gauges {
    pub waiting: u32,
    pub running: u32,
    pub blocks_in_use: u64,
    /// Requests that the step under way left waiting.
    pub left_waiting: u32,
}
