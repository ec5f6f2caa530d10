//! The terms of a step's kernels, from a device's constants for one precision.

use super::{ExpertTerm, Line, Physics, Placement, Term};
use crate::engine::physics::balance::Tiles;
use crate::engine::physics::constants::Constants;
use crate::engine::physics::device::Device;
use crate::engine::physics::error::BuildError;
use crate::engine::physics::model::{Experts, Layers, Model, Product, Weights};
use crate::engine::physics::precision::{BF16, Precision};

/// A device with its constants for one precision.
pub(in crate::engine::physics) struct KernelRates<'a> {
    pub device: &'a Device,
    pub constants: &'a Constants,
    pub precision: Precision,
}

impl KernelRates<'_> {
    /// The term of a matrix product.
    pub fn term(&self, product: &Product) -> Result<Term, BuildError> {
        let plain;
        let (format, gemm) = match product.weights {
            Weights::Linear => (self.precision.linear(), &self.constants.gemm),
            Weights::Plain => (BF16, &self.constants.gemm),
            Weights::Latent => {
                plain = self.device.constants(Precision::Bf16).gemm;
                (BF16, &plain)
            }
        };
        let flops = self.device.flops_per_ns(format.math, self.precision)?;
        let weights = product.input * product.output * format.weight_bytes;
        let each = product.input * format.activation_bytes + product.output * 2.0;
        let bytes_per_ns = self.device.bytes_per_ns();
        let read_per_ns = bytes_per_ns * gemm.bandwidth;
        let converted =
            if format.activation_bytes < 2.0 { 2.0 + format.activation_bytes } else { 0.0 };
        Ok(Term {
            layers: product.layers,
            compute_per_token: 2.0 * product.input * product.output / (flops * gemm.compute),
            traffic: Line { fixed: weights / read_per_ns, each: each / read_per_ns },
            sharpness: gemm.sharpness,
            launch: gemm.launch_us * 1e3,
            single_token: gemm.single_token_us * 1e3,
            conversion_per_token: gemm.conversion * product.input * converted / bytes_per_ns,
        })
    }

    /// The term of the experts, divided over `devices`.
    pub fn experts(
        &self,
        hidden: u32,
        experts: &Experts,
        devices: u32,
    ) -> Result<ExpertTerm, BuildError> {
        let moe = &self.constants.moe;
        let format = self.precision.experts();
        let flops = self.device.flops_per_ns(format.math, self.precision)?;
        let bytes_per_ns = self.device.bytes_per_ns();
        let (hidden, per_token) = (f64::from(hidden), f64::from(experts.per_token));
        let one = 3.0 * hidden * f64::from(experts.width) / f64::from(devices);
        Ok(ExpertTerm {
            layers: f64::from(experts.layers),
            experts: f64::from(experts.experts),
            per_token,
            compute_per_token: 2.0 * per_token * one / (flops * moe.compute),
            read_per_expert: one * format.weight_bytes / (bytes_per_ns * moe.bandwidth),
            copies_per_token: moe.traffic * 2.0 * per_token * hidden / bytes_per_ns,
            launch: moe.launch_us * 1e3,
            sharpness: moe.sharpness,
        })
    }

    /// Adds the terms of attention and of recurrent states to `physics`.
    pub fn attention(
        &self,
        model: &Model,
        placement: Placement,
        physics: &mut Physics,
    ) -> Result<(), BuildError> {
        let Placement { tp, kv, .. } = placement;
        let attention = &self.device.attention;
        let per_kv = self.device.per_kv(kv);
        let flops = self.device.flops_per_ns(BF16.math, self.precision)?;
        let bytes_per_ns = self.device.bytes_per_ns() * per_kv.bandwidth;
        let extra = attention.extra_keys;
        for group in model.attention.iter().chain(&model.windowed) {
            let narrow = if group.head_size <= 64 { attention.narrow_heads } else { 1.0 };
            let layers = f64::from(group.layers);
            let width = f64::from(group.heads) / f64::from(tp) * f64::from(group.head_size);
            let pair = layers * 4.0 * width / (flops * per_kv.compute * narrow);
            let read = layers * group.kv_bytes_each(kv, tp) / bytes_per_ns;
            physics.edge_per_token += extra * pair;
            if group.window.is_some() {
                (physics.per_window_pair, physics.per_window_token) = (pair, read);
            } else {
                physics.per_pair += pair;
                physics.per_context_token += read;
                physics.per_prompt_token += read;
                physics.tiles = self.tiles(group, tp, pair);
            }
        }
        if let Some(latent) = &model.latent {
            let layers = f64::from(latent.layers);
            let heads = f64::from(latent.heads) / f64::from(tp);
            let key = f64::from(latent.nope_size + latent.rope_size);
            let size = key + f64::from(latent.value_size);
            let pair = layers * 2.0 * heads * size / (flops * per_kv.compute);
            physics.per_pair += pair;
            physics.edge_per_token += extra * pair;
            let computed = heads.max(f64::from(self.device.latent_heads));
            let ranks = f64::from(latent.kv_rank * 2 + latent.rope_size);
            let multiply = 2.0 * computed * ranks / (flops * attention.latent_compute);
            let read = latent.kv_bytes(kv) / bytes_per_ns;
            physics.per_context_token += layers * multiply.max(read);
        }
        // A state is read and written in each step.
        let state = 2.0 * model.state_bytes() / f64::from(tp);
        physics.per_decoding = state / (self.device.bytes_per_ns() * attention.bf16.bandwidth);
        Ok(())
    }

    /// How a group of layers lies on the device, where a pair of a token and a key takes `pair`.
    fn tiles(&self, group: &Layers, tp: u32, pair: f64) -> Option<Tiles> {
        let multiprocessors = f64::from(self.device.multiprocessors?);
        let heads = group.kv_heads_each(tp);
        let queries = f64::from(group.heads) / f64::from(tp);
        let waiting = self.device.in_engine.waiting;
        let per_key = Tiles::per_key(pair, queries, multiprocessors);
        Some(Tiles { multiprocessors, heads, group: queries / heads, per_key, waiting })
    }
}
