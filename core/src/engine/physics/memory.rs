//! The room for KV cache that the weights leave.

use super::deployment::Deployment;
use super::device::Device;
use super::error::BuildError;
use super::model::Model;
use serde::Serialize;

/// The memory of all devices of a worker together.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct MemoryPlan {
    /// Bytes of HBM.
    pub hbm_bytes: f64,
    /// Bytes of weights.
    pub weight_bytes: f64,
    /// Bytes held back for activations, graphs and the runtime.
    pub activation_bytes: f64,
    /// KV bytes of each further token of a sequence.
    pub growing_bytes_per_token: f64,
    /// Bytes of each block besides its tokens: the recurrent state at its end, from which a prefix
    /// can be continued.
    pub checkpoint_bytes_per_block: f64,
    /// Bytes of a running sequence at any length: full sliding windows and a recurrent state.
    pub constant_bytes_per_sequence: f64,
}

impl MemoryPlan {
    pub(in crate::engine) fn new(
        device: &Device,
        model: &Model,
        deployment: &Deployment,
    ) -> Result<Self, BuildError> {
        let Deployment { tp, precision, kv_dtype: kv, .. } = *deployment;
        let devices = f64::from(tp);
        let hbm_bytes = device.hbm_gb * 1e9 * devices;
        let weight_bytes = model.weight_bytes_each(precision, tp) * devices;
        let plan = Self {
            hbm_bytes,
            weight_bytes,
            activation_bytes: deployment.activation_gb * 1e9 * devices,
            growing_bytes_per_token: model.growing_bytes_per_token(kv, tp),
            checkpoint_bytes_per_block: model.state_bytes(),
            constant_bytes_per_sequence: model.window_bytes(kv, tp) + model.state_bytes(),
        };
        let usable = hbm_bytes * deployment.memory_utilisation;
        if plan.free_bytes(deployment.memory_utilisation) <= 0.0 && deployment.hbm_tokens.is_none()
        {
            return Err(BuildError::new(
                "tp",
                format!(
                    "{tp}, weights of {:.0} GB and activations of {:.0} GB do not fit the {:.0} GB that \
                     {tp} x {} may use",
                    weight_bytes / 1e9,
                    plan.activation_bytes / 1e9,
                    usable / 1e9,
                    device.name
                ),
            ));
        }
        Ok(plan)
    }

    /// Bytes left for KV, if the engine may use this part of HBM.
    pub(in crate::engine) fn free_bytes(&self, utilisation: f64) -> f64 {
        self.hbm_bytes * utilisation - self.weight_bytes - self.activation_bytes
    }

    /// Bytes of a block of `block_size` tokens.
    pub fn block_bytes(&self, block_size: u32) -> f64 {
        f64::from(block_size) * self.growing_bytes_per_token + self.checkpoint_bytes_per_block
    }

    /// Blocks that hold the constant part of a running sequence.
    pub fn constant_blocks(&self, block_size: u32) -> u32 {
        libm::ceil(self.constant_bytes_per_sequence / self.block_bytes(block_size)) as u32
    }
}
