//! A step's time with tables, fast enough for the engine's loop, and its sources for reports.

use super::deployment::Deployment;
use super::device::Validation;
use super::floor::Floor;
use super::hardware::Hardware;
use super::host::{FrontEndTimes, Joining, Launch};
use super::memory::MemoryPlan;
use super::shape::StepShape;
use super::step::Physics;
use crate::event::PrefillCost;
use crate::time::Duration;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// The time of a step on a device, with a table of all parts that depend only on counts. A clone
/// shares the tables.
#[derive(Clone, PartialEq, Debug)]
pub struct Calibrated(Arc<Inner>);

#[derive(PartialEq)]
struct Inner {
    steps: Steps,
    prefill_cost: PrefillCost,
    /// Name of the model file, not the deployment's alias.
    model: String,
    deployment: Deployment,
    memory: MemoryPlan,
    standing: Validation,
    hardware: Hardware,
}

/// The times themselves.
#[derive(PartialEq)]
struct Steps {
    physics: Physics,
    front_end: FrontEndTimes,
    /// Nanoseconds of kernels, by tokens in the step.
    tokens: Vec<f64>,
    /// Nanoseconds of the output layer, by sequences in the step.
    output: Vec<f64>,
}

impl Steps {
    fn ns(&self, shape: &StepShape) -> f64 {
        let Self { physics, tokens, output, .. } = self;
        physics.whole(tokens[shape.tokens as usize] + output[shape.seqs as usize], shape)
    }

    fn launch(&self, shape: &StepShape, joining: Joining) -> Launch {
        let Self { physics, front_end, .. } = self;
        let requests = f64::from(joining.requests) * front_end.input_ms * 1e6;
        let tokens = joining.prompt_tokens as f64 * front_end.input_per_1k_tokens_ms * 1e3;
        Launch { input: requests + tokens, ..physics.launch(shape, joining) }
    }

    fn idle_ns(&self, shape: &StepShape, joining: Joining) -> f64 {
        self.launch(shape, joining).idle(self.ns(shape))
    }

    /// The costs for a router's estimates, for chunks of so many tokens.
    fn prefill_cost(&self, chunk: u32) -> PrefillCost {
        let Self { physics, tokens, output, .. } = self;
        // Exact for a whole chunk and for a short one. Between them the time is almost linear.
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
}

impl Calibrated {
    pub(in crate::engine) fn new(
        mut physics: Physics,
        front_end: FrontEndTimes,
        model: String,
        deployment: Deployment,
        memory: MemoryPlan,
        standing: Validation,
        hardware: Hardware,
    ) -> Self {
        physics.add_per_sequence(front_end.per_sequence_us * 1e3);
        let tokens =
            (0..=deployment.max_num_batched_tokens).map(|n| physics.of_tokens(n)).collect();
        let output = (0..=deployment.max_num_seqs).map(|n| physics.output(f64::from(n))).collect();
        let steps = Steps { physics, front_end, tokens, output };
        let prefill_cost = steps.prefill_cost(deployment.max_num_batched_tokens);
        let inner = Inner { steps, prefill_cost, model, deployment, memory, standing, hardware };
        Self(Arc::new(inner))
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// A step's time on the device: its kernels as they are in an engine, and what each sequence adds. A step
    /// without prompts is replayed, and takes no less than the host needs for one.
    pub fn ns(&self, shape: &StepShape) -> f64 {
        self.0.steps.ns(shape)
    }

    /// What tokens add to a step at least.
    pub fn floor(&self) -> Floor {
        let Steps { physics, tokens, .. } = &self.0.steps;
        // A single token may have a cost of its own. Beyond two, more tokens never take less.
        let few = tokens.iter().skip(1).take(2).copied();
        Floor { step: few.fold(f64::INFINITY, f64::min), ..physics.floor() }
    }

    /// The host's part of a step, in which these requests run for the first time.
    pub fn launch(&self, shape: &StepShape, joining: Joining) -> Launch {
        self.0.steps.launch(shape, joining)
    }

    /// The time of a step with one prompt's last chunk on an idle engine, in which the prompt joins.
    pub fn idle_ns(&self, shape: &StepShape, joining: Joining) -> f64 {
        self.0.steps.idle_ns(shape, joining)
    }

    /// Whether a step is planned while the one before it runs.
    pub fn is_asynchronous(&self) -> bool {
        self.0.steps.physics.is_asynchronous()
    }

    /// From a step's end until its output is taken in.
    pub fn output_taken(&self) -> Duration {
        Duration::from_nanos_f64(self.0.steps.physics.output_taken())
    }

    /// By how much a step takes longer than the one before, while so many sequences decode and so
    /// many of their windows still fill.
    pub fn growth_ns(&self, decoding: u32, filling: u32, unevenness: f64) -> f64 {
        self.0.steps.physics.growth(decoding, filling, unevenness)
    }

    /// By how much reading these contexts takes longer than if it were spread evenly, as a share.
    pub fn unevenness(&self, contexts: impl Iterator<Item = u32> + Clone) -> f64 {
        self.0.steps.physics.unevenness(contexts)
    }

    /// Whether attention may spread unevenly.
    pub fn is_uneven(&self) -> bool {
        self.0.steps.physics.tiles.is_some()
    }

    /// The sliding window in tokens; 0 without such layers.
    pub fn window(&self) -> u32 {
        self.0.steps.physics.window.unwrap_or(0)
    }

    /// From a request's arrival until it may be admitted.
    pub fn front_end(&self, prompt_tokens: u32) -> Duration {
        let front = &self.0.steps.front_end;
        let ms = front.base_ms + front.per_1k_tokens_ms * f64::from(prompt_tokens) / 1e3;
        Duration::from_nanos_f64(ms * 1e6)
    }

    /// The costs for a router's estimates, for chunks of `max_num_batched_tokens`.
    pub fn prefill_cost(&self) -> PrefillCost {
        self.0.prefill_cost
    }

    /// The terms of the step time.
    pub fn physics(&self) -> &Physics {
        &self.0.steps.physics
    }

    /// The deployment it was built from.
    pub fn deployment(&self) -> &Deployment {
        &self.0.deployment
    }

    /// The memory of the worker's devices.
    pub fn memory(&self) -> &MemoryPlan {
        &self.0.memory
    }

    /// What the times rest on.
    pub fn standing(&self) -> &Validation {
        &self.0.standing
    }

    /// Power and price of the worker's chips.
    pub fn hardware(&self) -> &Hardware {
        &self.0.hardware
    }

    /// Room for KV in HBM, in tokens: whole blocks of `block_size` tokens.
    pub fn hbm_tokens(&self, block_size: u32) -> u64 {
        let Inner { memory, deployment, .. } = &*self.0;
        let free = memory.free_bytes(deployment.memory_utilisation).max(0.0);
        (free / memory.block_bytes(block_size)) as u64 * u64::from(block_size)
    }
}

impl core::fmt::Debug for Inner {
    /// Leaves out the tables, because they follow from the rest.
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
            standing: &'a Validation,
        }
        let Inner { deployment, memory, standing, .. } = &*self.0;
        Shown { deployment, memory, standing }.serialize(serializer)
    }
}
