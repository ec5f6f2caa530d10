//! A step's time with tables, fast enough for the engine's loop, and its sources for reports.

use super::deployment::Deployment;
use super::device::Validation;
use super::hardware::Hardware;
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
    physics: Physics,
    /// Name of the model file, not the deployment's alias.
    model: String,
    deployment: Deployment,
    memory: MemoryPlan,
    standing: Validation,
    hardware: Hardware,
    /// Nanoseconds of kernels, by tokens in the step.
    tokens: Vec<f64>,
    /// Nanoseconds of the output layer, by sequences in the step.
    output: Vec<f64>,
}

impl Calibrated {
    pub(in crate::engine) fn new(
        physics: Physics,
        model: String,
        deployment: Deployment,
        memory: MemoryPlan,
        standing: Validation,
        hardware: Hardware,
    ) -> Self {
        let tokens =
            (0..=deployment.max_num_batched_tokens).map(|n| physics.of_tokens(n)).collect();
        let output = (0..=deployment.max_num_seqs).map(|n| physics.output(f64::from(n))).collect();
        let inner =
            Inner { physics, model, deployment, memory, standing, hardware, tokens, output };
        Self(Arc::new(inner))
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The time of a step, in nanoseconds.
    pub fn ns(&self, shape: &StepShape) -> f64 {
        let Inner { physics, tokens, output, .. } = &*self.0;
        let kernels = tokens[shape.tokens as usize]
            + output[shape.seqs as usize]
            + physics.prefill_attention(shape)
            + physics.decode_launch(shape);
        // Published measurements give the time to read the context as a slope, and the host does
        // not hide it.
        physics.host.with_kernels(kernels, f64::from(shape.seqs)) + physics.reading(shape)
    }

    /// Nanoseconds by which a step is longer than the one before, while `decoding` sequences decode
    /// and the sliding windows of `filling` of them are not full.
    pub fn growth_ns(&self, decoding: u32, filling: u32) -> f64 {
        let physics = &self.0.physics;
        f64::from(decoding) * physics.per_context_token
            + f64::from(filling) * physics.per_window_token
    }

    /// The sliding window in tokens; 0 without such layers.
    pub fn window(&self) -> u32 {
        self.0.physics.window.unwrap_or(0)
    }

    /// Time from a request's arrival until it may be admitted. `step_ns`: nanoseconds of a decode
    /// step now; 0 if no sequence decodes.
    pub fn front_end(&self, prompt_tokens: u32, step_ns: f64) -> Duration {
        let front = &self.0.physics.front_end;
        let ms = front.base_ms + front.per_1k_tokens_ms * f64::from(prompt_tokens) / 1e3;
        Duration::from_nanos_f64(ms * 1e6 + front.steps_ahead * step_ns)
    }

    /// The costs for a router's estimates, for chunks of `max_num_batched_tokens`.
    pub fn prefill_cost(&self) -> PrefillCost {
        let Inner { physics, deployment, tokens, output, .. } = &*self.0;
        let chunk = deployment.max_num_batched_tokens;
        // Exact for a whole chunk and for a short one. Between them the time is almost linear.
        let short = chunk.div_ceil(16);
        let slope = if chunk > short {
            (tokens[chunk as usize] - tokens[short as usize]) / f64::from(chunk - short)
        } else {
            0.0
        };
        let each_step = output[1] + physics.prefill_launch();
        let intercept = (tokens[chunk as usize] - f64::from(chunk) * slope).max(0.0);
        PrefillCost {
            step_ns: intercept + each_step + physics.host.after(1.0),
            floor_ns: physics.host.with_kernels(tokens[1.min(chunk as usize)] + each_step, 1.0),
            chunk_tokens: chunk,
            ns_per_token: slope
                + physics.edge_per_token
                + physics.per_window_pair * f64::from(physics.window.unwrap_or(0)),
            ns_per_pair: physics.per_pair,
        }
    }

    /// The terms of the step time.
    pub fn physics(&self) -> &Physics {
        &self.0.physics
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
