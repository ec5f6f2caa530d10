//! The physics made fast enough for the inner loop, and what a report says of it.

use super::host::{FrontEndTimes, Joining, Launch};
use super::step::Physics;
use super::{Deployment, Hardware, MemoryPlan, Standing};
use crate::engine::profile::StepShape;
use crate::event::PrefillCost;
use crate::time::Duration;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// A step's time from device, model and deployment, with what depends on counts alone tabulated.
/// Cheap to clone.
#[derive(Clone, PartialEq, Debug)]
pub struct Calibrated(Arc<Inner>);

#[derive(PartialEq)]
struct Inner {
    physics: Physics,
    front_end: FrontEndTimes,
    /// Its own name, whatever a deployment calls it.
    model: String,
    deployment: Deployment,
    memory: MemoryPlan,
    standing: Standing,
    hardware: Hardware,
    /// By tokens in the step.
    tokens: Vec<f64>,
    /// The output layer, by sampled sequences.
    output: Vec<f64>,
}

impl Calibrated {
    pub(super) fn new(
        mut physics: Physics,
        front_end: FrontEndTimes,
        model: String,
        deployment: Deployment,
        memory: MemoryPlan,
        standing: Standing,
        hardware: Hardware,
    ) -> Self {
        physics.add_per_sequence(front_end.per_sequence_us * 1e3);
        let tokens =
            (0..=deployment.max_num_batched_tokens).map(|n| physics.of_tokens(n)).collect();
        let output = (0..=deployment.max_num_seqs).map(|n| physics.output(f64::from(n))).collect();
        let inner = Inner {
            physics,
            front_end,
            model,
            deployment,
            memory,
            standing,
            hardware,
            tokens,
            output,
        };
        Self(Arc::new(inner))
    }

    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// A step's time on the device: its kernels as they are in an engine, and what each sequence adds. A step
    /// without prompts is replayed, and takes no less than the host needs for one.
    pub fn ns(&self, shape: &StepShape) -> f64 {
        let Inner { physics, tokens, output, .. } = &*self.0;
        physics.whole(tokens[shape.tokens as usize] + output[shape.seqs as usize], shape)
    }

    /// The host's part of a step, in which these requests run for the first time.
    pub fn launch(&self, shape: &StepShape, joining: Joining) -> Launch {
        let Inner { physics, front_end, .. } = &*self.0;
        let requests = f64::from(joining.requests) * front_end.input_ms * 1e6;
        let tokens = joining.prompt_tokens as f64 * front_end.input_per_1k_tokens_ms * 1e3;
        Launch { input: requests + tokens, ..physics.launch(shape, joining) }
    }

    /// The time of a step with one prompt's last chunk on an idle engine, in which the prompt joins.
    pub fn idle_ns(&self, shape: &StepShape, joining: Joining) -> f64 {
        self.launch(shape, joining).idle(self.ns(shape))
    }

    /// Whether a step is planned while the one before it runs.
    pub fn is_asynchronous(&self) -> bool {
        self.0.physics.is_asynchronous()
    }

    /// From a step's end until its output is taken in.
    pub fn output_taken(&self) -> Duration {
        Duration::from_nanos_f64(self.0.physics.output_taken())
    }

    /// By how much a step takes longer than the one before, while so many sequences decode and so
    /// many of their windows still fill.
    pub fn growth_ns(&self, decoding: u32, filling: u32, unevenness: f64) -> f64 {
        self.0.physics.growth(decoding, filling, unevenness)
    }

    /// By how much reading these contexts takes longer than if it were spread evenly, as a share.
    pub fn unevenness(&self, contexts: impl Iterator<Item = u32> + Clone) -> f64 {
        self.0.physics.unevenness(contexts)
    }

    /// Whether attention may spread unevenly.
    pub fn is_uneven(&self) -> bool {
        self.0.physics.tiles.is_some()
    }

    pub fn window(&self) -> u32 {
        self.0.physics.window.unwrap_or(0)
    }

    /// From a request's arrival until it may be admitted.
    pub fn front_end(&self, prompt_tokens: u32) -> Duration {
        let front = &self.0.front_end;
        let ms = front.base_ms + front.per_1k_tokens_ms * f64::from(prompt_tokens) / 1e3;
        Duration::from_nanos_f64(ms * 1e6)
    }

    /// A few numbers for a router, about chunks as long as a step may be.
    pub fn prefill_cost(&self) -> PrefillCost {
        let Inner { physics, deployment, tokens, output, .. } = &*self.0;
        let chunk = deployment.max_num_batched_tokens;
        // Exact for a whole chunk and for a short one; between them the time is nearly straight.
        let short = chunk.div_ceil(16);
        let slope = if chunk > short {
            (tokens[chunk as usize] - tokens[short as usize]) / f64::from(chunk - short)
        } else {
            0.0
        };
        let each_step = output[1] + physics.prefill_launch() + physics.after(1.0);
        let intercept = (tokens[chunk as usize] - f64::from(chunk) * slope).max(0.0);
        let mut shortest = StepShape::default();
        shortest.add_prompt(1, 0, 0);
        PrefillCost {
            step_ns: intercept + each_step,
            floor_ns: self.idle_ns(&shortest, Joining::default()),
            chunk_tokens: chunk,
            // The host's time for cached tokens, 0.1 ms a thousand, is left out.
            ns_per_token: slope
                + physics.lead_per_token()
                + physics.edge_per_token
                + physics.per_window_pair * f64::from(physics.window.unwrap_or(0)),
            ns_per_pair: physics.per_pair,
        }
    }

    pub fn physics(&self) -> &Physics {
        &self.0.physics
    }

    pub fn deployment(&self) -> &Deployment {
        &self.0.deployment
    }

    pub fn memory(&self) -> &MemoryPlan {
        &self.0.memory
    }

    pub fn standing(&self) -> &Standing {
        &self.0.standing
    }

    pub fn hardware(&self) -> &Hardware {
        &self.0.hardware
    }

    /// Room for KV in HBM in whole blocks of so many tokens, in tokens.
    pub fn hbm_tokens(&self, block_size: u32) -> u64 {
        let Inner { memory, deployment, .. } = &*self.0;
        let free = memory.free_bytes(deployment.memory_utilisation).max(0.0);
        (free / memory.block_bytes(block_size)) as u64 * u64::from(block_size)
    }
}

impl core::fmt::Debug for Inner {
    /// Without the tables, which follow from the rest.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Calibrated")
            .field("deployment", &self.deployment)
            .field("memory", &self.memory)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

impl Serialize for Calibrated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            deployment: &'a Deployment,
            memory: &'a MemoryPlan,
            standing: &'a Standing,
        }
        let Inner { deployment, memory, standing, .. } = &*self.0;
        Shown { deployment, memory, standing }.serialize(serializer)
    }
}
