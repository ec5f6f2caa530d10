//! Builds a profile from a device, a model and a deployment.

use super::row::Profile;
use super::step_time::StepTime;
use crate::engine::physics::BuildError;
use crate::engine::physics::Calibrated;
use crate::engine::physics::Deployment;
use crate::engine::physics::Device;
use crate::engine::physics::Hardware;
use crate::engine::physics::MemoryPlan;
use crate::engine::physics::Model;
use crate::engine::physics::Physics;

impl Profile {
    /// A worker's profile.
    ///
    /// # Errors
    /// If a value is out of range, the device lacks a peak or a link that the deployment needs, or
    /// the model does not fit its memory.
    pub fn build(
        device: &Device,
        model: &Model,
        deployment: &Deployment,
    ) -> Result<Self, BuildError> {
        deployment.check()?;
        let memory = MemoryPlan::new(device, model, deployment)?;
        let in_engine = device.in_engine(deployment.precision);
        let physics = Physics::new(&in_engine, model, deployment.placement())?;
        let front_end = device.front_end.unwrap_or_else(|| deployment.front_end.times());
        let standing = device.standing(deployment.precision, &model.name, model.family);
        let validated = standing.validated;
        let (name, hardware) = (model.name.clone(), Hardware::new(device, deployment.tp));
        let step = Calibrated::new(
            physics,
            front_end,
            name,
            deployment.clone(),
            memory,
            standing,
            hardware,
        );
        let mut profile = Self {
            name: deployment.name.clone(),
            validated,
            block_size: deployment.block_size,
            hbm_tokens: deployment.hbm_tokens,
            kv_bytes_per_token: 0,
            max_num_seqs: deployment.max_num_seqs,
            max_num_batched_tokens: deployment.max_num_batched_tokens,
            step: StepTime::Calibrated(step),
            eviction: deployment.eviction,
            tiers: deployment.tiers.clone(),
            pool: deployment.pool,
            peers: deployment.peers,
        };
        profile.set_block_size(deployment.block_size);
        profile.check().map_err(|error| BuildError::new(error.field, error.why))?;
        Ok(profile)
    }
}
