//! What the serving engine adds to the kernels: the time of the host that launches them, and the way
//! of a request to the scheduler.
//!
//! The host works one step ahead of the device (asynchronous scheduling): it plans step `k` when the
//! output of step `k - 2` is there, while step `k - 1` runs. A step that only decodes replays a captured
//! graph. A step with a prompt is launched in pieces up to the captured size and kernel by kernel
//! beyond it, which takes longer than the kernels of a short prompt.

use serde::{Deserialize, Serialize};

/// The host's part of a step. Measured on vLLM 0.26 (`deploy/measurements/h100-vllm-0.26`) unless said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Whether a step is planned while the one before it runs, or when its output is there.
    pub asynchronous: bool,
    /// The least time between two steps that replay a graph. From published decode times at batch 1.
    pub step_ms: f64,
    /// To take in a step's output, before another is planned.
    pub output_ms: f64,
    /// To launch a step that replays a graph.
    pub replay_ms: f64,
    /// From the plan of a step with a prompt to its first kernel.
    pub lead_ms: f64,
    /// More of it for each 1,000 prompt tokens of the requests that join.
    pub lead_per_1k_tokens_ms: f64,
    /// The most tokens of a step that was captured.
    pub captured_tokens: u32,
    /// To launch a captured step with a prompt: graphs between the layers' attention kernels.
    pub pieces_ms: f64,
    /// More of it for each layer.
    pub pieces_layer_us: f64,
    /// To launch each layer of a step that was not captured.
    pub eager_layer_us: f64,
    /// More for each sequence of a step: sampling.
    pub per_sequence_us: f64,
    /// More for each sequence and each device beyond the first. From served systems.
    pub per_sequence_and_device_us: f64,
    /// More for a step of more than one device. From served systems.
    pub tensor_parallel_ms: f64,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            asynchronous: true,
            step_ms: 3.0,
            output_ms: 1.5,
            replay_ms: 2.6,
            lead_ms: 1.4,
            lead_per_1k_tokens_ms: 0.144,
            captured_tokens: 512,
            pieces_ms: 4.4,
            pieces_layer_us: 200.0,
            eager_layer_us: 780.0,
            per_sequence_us: 5.0,
            per_sequence_and_device_us: 2.4,
            tensor_parallel_ms: 0.03,
        }
    }
}

impl Host {
    pub(super) fn times(&self) -> [(&'static str, f64); 11] {
        [
            ("host.step_ms", self.step_ms),
            ("host.output_ms", self.output_ms),
            ("host.replay_ms", self.replay_ms),
            ("host.lead_ms", self.lead_ms),
            ("host.lead_per_1k_tokens_ms", self.lead_per_1k_tokens_ms),
            ("host.pieces_ms", self.pieces_ms),
            ("host.pieces_layer_us", self.pieces_layer_us),
            ("host.eager_layer_us", self.eager_layer_us),
            ("host.per_sequence_us", self.per_sequence_us),
            ("host.per_sequence_and_device_us", self.per_sequence_and_device_us),
            ("host.tensor_parallel_ms", self.tensor_parallel_ms),
        ]
    }
}

/// How requests come to an engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrontEnd {
    /// Text over HTTP; a separate process turns it into tokens.
    #[default]
    Http,
    /// Tokens over gRPC: no text is read.
    Grpc,
    /// Token ids from a caller in the engine's own process.
    InProcess,
}

impl FrontEnd {
    /// Every kind of front end.
    pub const ALL: [Self; 3] = [Self::Http, Self::Grpc, Self::InProcess];

    /// Its name in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::InProcess => "in-process",
        }
    }

    /// Its times, where a profile names none of its own.
    pub const fn times(self) -> FrontEndTimes {
        match self {
            // Fitted to the TTFT and TPOT of served systems (InferenceX).
            Self::Http => FrontEndTimes {
                base_ms: 10.7,
                per_1k_tokens_ms: 4.5,
                input_ms: 0.0,
                input_per_1k_tokens_ms: 0.0,
                per_sequence_us: 13.0,
            },
            // Assumed: no measurement of it is known.
            Self::Grpc => FrontEndTimes {
                base_ms: 4.0,
                per_1k_tokens_ms: 0.5,
                input_ms: 0.0,
                input_per_1k_tokens_ms: 0.0,
                per_sequence_us: 6.0,
            },
            // Measured: `deploy/measurements/h100-vllm-0.26`.
            Self::InProcess => FrontEndTimes {
                base_ms: 0.0,
                per_1k_tokens_ms: 0.0,
                input_ms: 0.5,
                input_per_1k_tokens_ms: 0.27,
                per_sequence_us: 0.0,
            },
        }
    }
}

impl std::fmt::Display for FrontEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The times of a front end.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontEndTimes {
    /// From a request's arrival until the scheduler may admit it, beside the running steps.
    pub base_ms: f64,
    /// More for each 1,000 prompt tokens.
    pub per_1k_tokens_ms: f64,
    /// Time in the engine's loop before the first step of a request is launched.
    #[serde(default)]
    pub input_ms: f64,
    /// More of it for each 1,000 prompt tokens.
    #[serde(default)]
    pub input_per_1k_tokens_ms: f64,
    /// More for each sequence of a step, to send its token out.
    #[serde(default)]
    pub per_sequence_us: f64,
}

impl FrontEndTimes {
    pub(super) const fn times(&self) -> [(&'static str, f64); 5] {
        [
            ("front_end.base_ms", self.base_ms),
            ("front_end.per_1k_tokens_ms", self.per_1k_tokens_ms),
            ("front_end.input_ms", self.input_ms),
            ("front_end.input_per_1k_tokens_ms", self.input_per_1k_tokens_ms),
            ("front_end.per_sequence_us", self.per_sequence_us),
        ]
    }
}

/// Requests that run for the first time in a step.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Joining {
    /// Number of these requests.
    pub requests: u32,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
}

/// The host's time for one step, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Launch {
    /// Taking requests in, before the step is planned.
    pub input: f64,
    /// From the plan to the first kernel.
    pub lead: f64,
    /// From there until the last kernel is launched.
    pub launch: f64,
}

/// When a step runs, in nanoseconds from the moment the device is free.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    /// When its first kernel starts.
    pub start: f64,
    /// From there until its last kernel ends.
    pub length: f64,
    /// When the host has launched it.
    pub launched: f64,
}

impl Launch {
    /// A step of so much work on the device, whose plan begins `called` after the device is free
    /// (before it, where negative).
    pub fn run(&self, called: f64, work: f64) -> Span {
        let first = called + self.input + self.lead;
        let launched = first + self.launch;
        let start = first.max(0.0);
        let length = if launched > start { corner(launched - start, work) } else { work };
        Span { start, length, launched }
    }

    /// On an idle engine, from the plan to the end.
    pub fn idle(&self, work: f64) -> f64 {
        let span = Self { input: 0.0, ..*self }.run(0.0, work);
        span.start + span.length
    }
}

/// The greater of the two with a soft corner of power 8.
pub(super) fn corner(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    // Below this the corner adds less than a millionth.
    if low < 0.2 * high {
        return high;
    }
    let ratio = low / high;
    let square = ratio * ratio;
    let fourth = square * square;
    high * libm::sqrt(libm::sqrt(libm::sqrt(1.0 + fourth * fourth)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corner_is_at_least_both_and_close_to_the_greater() {
        for (a, b) in [(1.0, 1.0), (2.0, 1.9), (0.19, 1.0), (0.21, 1.0), (0.0, 3.0), (7.0, 0.0)] {
            let both = corner(a, b);
            assert_eq!(both, corner(b, a));
            assert!(both >= a.max(b) && both <= a.max(b) * 1.0906, "{a} {b}: {both}");
        }
        assert!((corner(1.0, 1.0) - libm::pow(2.0, 0.125)).abs() < 1e-12);
    }

    #[test]
    fn what_is_launched_ahead_costs_nothing_and_a_late_launch_is_waited_for() {
        let launch = Launch { input: 1.0, lead: 2.0, launch: 20.0 };
        let ahead = launch.run(-30.0, 10.0);
        assert_eq!((ahead.start, ahead.length, ahead.launched), (0.0, 10.0, -7.0));
        let late = launch.run(-13.0, 10.0);
        assert_eq!((late.start, late.launched), (0.0, 10.0));
        assert_eq!(late.length, corner(10.0, 10.0));
        let idle = launch.run(0.0, 100.0);
        assert_eq!((idle.start, idle.length), (3.0, corner(20.0, 100.0)));
        assert_eq!(launch.idle(100.0), 2.0 + corner(20.0, 100.0));
    }
}
