//! constants

use super::error::BuildError;
use super::model::Family;
use super::precision::Precision;
use serde::{Deserialize, Serialize};

/// Attention over keys and values of several heads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attention {
    /// Each layer of a step with prompts in it.
    pub prefill_launch_us: f64,
    /// Each layer of a step in which somebody decodes.
    pub decode_launch_us: f64,
    /// Keys that each new token costs beyond those it attends to: tiles are computed whole.
    pub extra_keys: f64,
    /// Times `compute` where heads are 64 wide or less: they fill the matrix units by half.
    pub narrow_heads: f64,
    /// Decode over compressed keys and values (MLA): share of the BF16 peak, in products of
    /// `latent_heads` heads.
    pub latent_compute: f64,
    pub bf16: PerKv,
    pub fp8: PerKv,
}

/// What depends on how keys and values are stored.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerKv {
    /// Prefill attention's share of the BF16 peak.
    pub compute: f64,
    /// Decode attention's share of the HBM bandwidth.
    pub bandwidth: f64,
}

/// A switched all-reduce: each device sends the message once, whatever their number.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllReduce {
    pub launch_us: f64,
    /// Share of the link's bandwidth both ways.
    pub efficiency: f64,
}

/// What the serving engine itself adds to a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// It prepares the next step while the kernels of this one run: a step takes what the slower of
    /// the two takes, and reading the context besides.
    pub step_ms: f64,
    /// More than one device must be kept in step.
    pub tensor_parallel_ms: f64,
    pub per_sequence_us: f64,
}

/// From a request's arrival until the scheduler may admit it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrontEnd {
    pub base_ms: f64,
    pub per_1k_tokens_ms: f64,
    /// Steps that are scheduled already when a request comes to a decoding engine, and whose results
    /// are on their way (asynchronous scheduling).
    pub steps_ahead: f64,
}

/// Kernels that depend on the weights' format.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constants {
    pub gemm: Gemm,
    pub elementwise: Elementwise,
    pub moe: Moe,
    /// What they were fitted to. None: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gemm {
    /// Share of the peak.
    pub compute: f64,
    /// Share of the HBM bandwidth.
    pub bandwidth: f64,
    pub launch_us: f64,
    /// How sharply computing takes over from reading: the power in (a^q + b^q)^(1/q).
    pub sharpness: f64,
    /// More for each product of a step with a single token (a slow kernel is chosen).
    pub single_token_us: f64,
    /// Times the traffic of converting activations to a narrower format.
    pub conversion: f64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elementwise {
    /// Each layer.
    pub launch_us: f64,
    /// Times the traffic of norms, residuals and activations.
    pub traffic: f64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moe {
    pub compute: f64,
    pub bandwidth: f64,
    /// Each layer of experts.
    pub launch_us: f64,
    pub sharpness: f64,
    /// Times the traffic of sending each token's copies to its experts and adding them up again.
    pub traffic: f64,
}

/// What constants were fitted to, and how well they fit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    pub models: Vec<String>,
    pub families: Vec<Family>,
    /// Steps.
    pub rows: u32,
    /// Over all these steps.
    pub median_percent: f64,
    pub p95_percent: f64,
}

// The defaults below are what a device without measurements is credited with: 0.45 of the compute
// peak and 0.70 of the bandwidth for products, the other constants as fitted over all measured
// devices at once. docs/fidelity.md says with which error.

impl Default for Attention {
    fn default() -> Self {
        let per_kv = PerKv { compute: 0.45, bandwidth: 0.70 };
        Self {
            prefill_launch_us: 27.0,
            decode_launch_us: 12.0,
            extra_keys: 650.0,
            narrow_heads: 0.75,
            latent_compute: 0.35,
            bf16: per_kv,
            fp8: per_kv,
        }
    }
}

impl Default for AllReduce {
    fn default() -> Self {
        Self { launch_us: 5.3, efficiency: 0.4 }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self { step_ms: 3.0, tensor_parallel_ms: 0.1, per_sequence_us: 11.0 }
    }
}

impl Default for FrontEnd {
    fn default() -> Self {
        Self { base_ms: 10.7, per_1k_tokens_ms: 3.7, steps_ahead: 2.2 }
    }
}

impl Default for Gemm {
    fn default() -> Self {
        Self {
            compute: 0.45,
            bandwidth: 0.70,
            launch_us: 6.0,
            sharpness: 2.5,
            single_token_us: 0.0,
            conversion: 2.0,
        }
    }
}

impl Default for Elementwise {
    fn default() -> Self {
        Self { launch_us: 8.7, traffic: 1.0 }
    }
}

impl Default for Moe {
    fn default() -> Self {
        Self { compute: 0.35, bandwidth: 0.70, launch_us: 40.0, sharpness: 1.1, traffic: 4.0 }
    }
}

impl Constants {
    pub(super) fn check(&self, precision: Precision) -> Result<(), BuildError> {
        let err = |field: &str, value: f64, expected: &str| {
            let field = format!("precision.{precision}.{field}");
            Err(BuildError::new(field, format!("{value}, expected {expected}")))
        };
        let Self { gemm, elementwise, moe, .. } = self;
        for (field, value) in [
            ("gemm.compute", gemm.compute),
            ("gemm.bandwidth", gemm.bandwidth),
            ("moe.compute", moe.compute),
            ("moe.bandwidth", moe.bandwidth),
        ] {
            if !(value > 0.0 && value < 1e3) {
                return err(field, value, "more than 0");
            }
        }
        for (field, value) in [("gemm.sharpness", gemm.sharpness), ("moe.sharpness", moe.sharpness)]
        {
            if !(0.2..=50.0).contains(&value) {
                return err(field, value, "0.2 to 50");
            }
        }
        for (field, value) in [
            ("gemm.launch_us", gemm.launch_us),
            ("gemm.single_token_us", gemm.single_token_us),
            ("gemm.conversion", gemm.conversion),
            ("elementwise.launch_us", elementwise.launch_us),
            ("elementwise.traffic", elementwise.traffic),
            ("moe.launch_us", moe.launch_us),
            ("moe.traffic", moe.traffic),
        ] {
            if !(0.0..1e6).contains(&value) {
                return err(field, value, "0 or more");
            }
        }
        Ok(())
    }
}
