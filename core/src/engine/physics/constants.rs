//! The constants of a device's kernels and of its serving engine. They are fitted to measurements.

use super::error::BuildError;
use super::model::Family;
use super::precision::Precision;
use serde::{Deserialize, Serialize};

/// Attention over the keys and values of several heads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attention {
    /// Launch time of each layer in a step with prompts, in microseconds.
    pub prefill_launch_us: f64,
    /// Launch time of each layer in a step with decoding sequences, in microseconds.
    pub decode_launch_us: f64,
    /// Keys that each new token costs beyond those it attends to, because tiles are whole.
    pub extra_keys: f64,
    /// Factor on `compute` if heads are at most 64 wide, because they half-fill the matrix units.
    pub narrow_heads: f64,
    /// Decode over compressed keys and values (MLA): part of the BF16 peak that products of
    /// `latent_heads` heads reach.
    pub latent_compute: f64,
    /// With keys and values in BF16.
    pub bf16: PerKv,
    /// With keys and values in FP8.
    pub fp8: PerKv,
}

/// Constants that depend on the format of keys and values.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerKv {
    /// Part of the BF16 peak that prefill attention reaches.
    pub compute: f64,
    /// Part of the HBM bandwidth that decode attention reaches.
    pub bandwidth: f64,
}

/// An all-reduce in a switch: each device sends the message once, for any number of devices.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllReduce {
    /// Launch time of each, in microseconds.
    pub launch_us: f64,
    /// Part of the link's bandwidth that it reaches, both ways.
    pub efficiency: f64,
}

/// Constants of the kernels that depend on the weights' format.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constants {
    /// Matrix products.
    pub gemm: Gemm,
    /// Elementwise kernels.
    pub elementwise: Elementwise,
    /// Layers of experts.
    pub moe: Moe,
    /// The measurements they were fitted to; None: defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
}

/// Constants of a matrix product.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gemm {
    /// Part of the compute peak that it reaches.
    pub compute: f64,
    /// Part of the HBM bandwidth that it reaches.
    pub bandwidth: f64,
    /// Launch time, in microseconds.
    pub launch_us: f64,
    /// The power q in (a^q + b^q)^(1/q), where a is the time to compute and b the time to read. A
    /// higher power is nearer to the greater of the two.
    pub sharpness: f64,
    /// Extra time of a product with one token, in microseconds: engines then choose a slow kernel.
    pub single_token_us: f64,
    /// Factor on the traffic of converting activations to a narrower format.
    pub conversion: f64,
}

/// Constants of the elementwise kernels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elementwise {
    /// Launch time of each layer, in microseconds.
    pub launch_us: f64,
    /// Factor on the traffic of norms, residuals and activations.
    pub traffic: f64,
}

/// Constants of a layer of experts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moe {
    /// Part of the compute peak that it reaches.
    pub compute: f64,
    /// Part of the HBM bandwidth that it reaches.
    pub bandwidth: f64,
    /// Launch time of each layer of experts, in microseconds.
    pub launch_us: f64,
    /// As [`Gemm::sharpness`].
    pub sharpness: f64,
    /// Factor on the traffic of sending copies of a token to its experts and adding the results.
    pub traffic: f64,
}

/// The measurements that constants were fitted to, and how well they fit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// Names of the models.
    pub models: Vec<String>,
    /// Families of the models.
    pub families: Vec<Family>,
    /// Number of measured steps.
    pub rows: u32,
    /// Median error over these steps, in percent.
    pub median_percent: f64,
    /// 95th percentile of the error over these steps, in percent.
    pub p95_percent: f64,
}

// The defaults below are for devices without measurements: products reach 0.45 of the compute peak
// and 0.70 of the bandwidth; the other constants are fitted over all measured devices at once.
// docs/fidelity.md has their error.

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
