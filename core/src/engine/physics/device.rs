//! One accelerator: what its data sheet says, and the constants fitted to measurements on it.

use super::hardware::{Purchase, Sustained};
use super::host::{FrontEndTimes, Host};
use super::in_engine::InEngine;
use super::precision::{KvDtype, Math, Precision};
use super::{BuildError, Family};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file in `deploy/profiles/devices`. Sections that are left out take [`Constants::default`] and
/// the like: what a device without measurements is credited with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub name: String,
    /// What else measurements call it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Dense peaks, in 10^12 operations a second.
    pub peak_tflops: Peaks,
    /// In 10^9 bytes, as the driver reports it.
    pub hbm_gb: f64,
    /// In 10^12 bytes a second.
    pub hbm_tb_s: f64,
    /// To the other devices of a tensor-parallel group, in 10^9 bytes a second and direction.
    /// Without it there is no such group.
    pub link_gb_s: Option<f64>,
    /// While it computes: its rated power, unless something was measured.
    pub watts: Option<f64>,
    /// With a model loaded and nothing to do.
    pub idle_watts: Option<f64>,
    /// What it is rented for, with its host, power and cooling.
    pub usd_per_hour: Option<f64>,
    /// What it is bought for, where it is not rented.
    pub purchase: Option<Purchase>,
    /// What lasting load does to its rates; None: nothing.
    pub sustained: Option<Sustained>,
    /// Share of the peaks above that the device keeps up for long: clocks under load and heat.
    pub realization: f64,
    /// How far off times may be where nothing was measured, in percent either way.
    #[serde(default = "default_band")]
    pub band_percent: f64,
    /// The decode kernel of latent attention computes so many heads, even where a device has fewer.
    #[serde(default = "default_latent_heads")]
    pub latent_heads: u32,
    /// Where attention kernels of FlashAttention 3 run, whose way of giving out work is known. None:
    /// attention spreads evenly.
    pub multiprocessors: Option<u32>,
    #[serde(default)]
    pub attention: Attention,
    #[serde(default)]
    pub all_reduce: AllReduce,
    #[serde(default)]
    pub host: Host,
    /// Of the device's own server, whatever a deployment says; None: of the deployment's.
    pub front_end: Option<FrontEndTimes>,
    /// What whole steps show beyond single kernels.
    #[serde(default)]
    pub in_engine: InEngine,
    /// Constants of the kernels that depend on the weights' format.
    #[serde(default)]
    pub precision: BTreeMap<Precision, Constants>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peaks {
    pub bf16: f64,
    pub fp8: Option<f64>,
    pub fp4: Option<f64>,
}

const fn default_band() -> f64 {
    40.0
}

const fn default_latent_heads() -> u32 {
    64
}

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

impl Device {
    /// The device with its kernels as they are in a running engine that serves this format.
    pub fn in_engine(&self, precision: Precision) -> Self {
        let mut device = self.clone();
        let all = &self.in_engine;
        for per_kv in [&mut device.attention.bf16, &mut device.attention.fp8] {
            per_kv.compute *= all.attention_compute;
            per_kv.bandwidth *= all.attention_bandwidth;
        }
        device.all_reduce.launch_us *= all.all_reduce_launch;
        if let Some(of) = all.precision.get(&precision) {
            let mut constants = self.constants(precision);
            constants.gemm.compute *= of.products_compute;
            constants.gemm.bandwidth *= of.products_bandwidth;
            constants.moe.compute *= of.experts_compute;
            constants.moe.bandwidth *= of.experts_bandwidth;
            constants.elementwise.launch_us =
                (constants.elementwise.launch_us + of.layer_us).max(0.0);
            device.precision.insert(precision, constants);
        }
        device.in_engine = InEngine { waiting: all.waiting, ..InEngine::default() };
        device
    }
}

/// Whether times rest on measurements of this device, precision and kind of model.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Standing {
    pub validated: bool,
    /// How far off times may be, in percent either way. None where nobody can say.
    pub band_percent: Option<f64>,
    /// What was measured, or what was not.
    pub because: String,
}

impl Device {
    pub(super) fn flops_per_ns(&self, math: Math, precision: Precision) -> Result<f64, BuildError> {
        let peak = match math {
            Math::Bf16 => Some(self.peak_tflops.bf16),
            Math::Fp8 => self.peak_tflops.fp8,
            Math::Fp4 => self.peak_tflops.fp4,
        };
        let peak = peak.ok_or_else(|| {
            BuildError::new(
                "precision",
                format!("{precision}, device {} has no peak for it", self.name),
            )
        })?;
        Ok(peak * 1e3 * self.realization)
    }

    pub(super) fn bytes_per_ns(&self) -> f64 {
        self.hbm_tb_s * 1e3 * self.realization
    }

    pub(super) const fn per_kv(&self, kv: KvDtype) -> PerKv {
        match kv {
            KvDtype::Bf16 => self.attention.bf16,
            KvDtype::Fp8 => self.attention.fp8,
        }
    }

    /// The precision's own constants, else those of the nearest that has some, else the defaults.
    pub fn constants(&self, precision: Precision) -> Constants {
        let mut next = Some(precision);
        while let Some(candidate) = next {
            if let Some(constants) = self.precision.get(&candidate) {
                let fitted = constants.fitted.clone().filter(|_| candidate == precision);
                return Constants { fitted, ..constants.clone() };
            }
            next = candidate.stand_in();
        }
        Constants::default()
    }

    /// Whether times of a model of this family rest on measurements.
    pub fn standing(&self, precision: Precision, model: &str, family: Family) -> Standing {
        let unvalidated =
            |band, because| Standing { validated: false, band_percent: Some(band), because };
        let measured_at_all = self.precision.values().any(|constants| constants.fitted.is_some());
        let Some(fitted) = self.constants(precision).fitted else {
            let what = if measured_at_all {
                format!("{precision} on {}", self.name)
            } else {
                self.name.clone()
            };
            return unvalidated(self.band_percent, format!("nothing measured of {what}"));
        };
        if !fitted.families.contains(&family) {
            let because = format!("no {family} model measured in {precision} on {}", self.name);
            return unvalidated(self.band_percent, because);
        }
        let (rows, models) = (fitted.rows, fitted.models.join(", "));
        let whole = self.in_engine.precision.contains_key(&precision);
        let prefix = match self.in_engine.measured.as_ref().filter(|_| whole) {
            Some(measured) => format!("whole steps behind cached prefixes: {measured}"),
            None => "prefill behind a cached prefix is modelled".to_owned(),
        };
        let because = format!("{precision} on {}: {rows} steps of {models}; {prefix}", self.name);
        // A model that was not among the measured ones is off as far as those left out of a fit.
        let known = fitted.models.iter().any(|known| known == model);
        let band_percent = if known { fitted.p95_percent } else { fitted.p95_percent.max(25.0) };
        Standing { validated: true, band_percent: Some(band_percent), because }
    }

    /// Every figure is one that can be.
    pub fn check(&self) -> Result<(), BuildError> {
        let positive = [
            ("peak_tflops.bf16", self.peak_tflops.bf16),
            ("peak_tflops.fp8", self.peak_tflops.fp8.unwrap_or(1.0)),
            ("peak_tflops.fp4", self.peak_tflops.fp4.unwrap_or(1.0)),
            ("hbm_gb", self.hbm_gb),
            ("hbm_tb_s", self.hbm_tb_s),
            ("link_gb_s", self.link_gb_s.unwrap_or(1.0)),
            ("watts", self.watts.unwrap_or(1.0)),
            ("purchase.usd", self.purchase.map_or(1.0, |purchase| purchase.usd)),
            ("purchase.years", self.purchase.map_or(1.0, |purchase| purchase.years)),
            ("sustained.factor", self.sustained.map_or(1.0, |sustained| sustained.factor)),
            ("realization", self.realization),
            ("attention.narrow_heads", self.attention.narrow_heads),
            ("attention.bf16.compute", self.attention.bf16.compute),
            ("attention.bf16.bandwidth", self.attention.bf16.bandwidth),
            ("attention.fp8.compute", self.attention.fp8.compute),
            ("attention.fp8.bandwidth", self.attention.fp8.bandwidth),
            ("attention.latent_compute", self.attention.latent_compute),
            ("latent_heads", f64::from(self.latent_heads)),
            ("all_reduce.efficiency", self.all_reduce.efficiency),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value < 1e9) {
                return Err(BuildError::new(field, format!("{value}, expected more than 0")));
            }
        }
        let times = [
            ("attention.prefill_launch_us", self.attention.prefill_launch_us),
            ("attention.decode_launch_us", self.attention.decode_launch_us),
            ("attention.extra_keys", self.attention.extra_keys),
            ("idle_watts", self.idle_watts.unwrap_or(0.0)),
            ("usd_per_hour", self.usd_per_hour.unwrap_or(0.0)),
            ("sustained.after_s", self.sustained.map_or(0.0, |sustained| sustained.after_s)),
            ("all_reduce.launch_us", self.all_reduce.launch_us),
        ];
        let front_end = self.front_end.iter().flat_map(FrontEndTimes::times);
        for (field, value) in times.into_iter().chain(self.host.times()).chain(front_end) {
            if !(0.0..1e9).contains(&value) {
                return Err(BuildError::new(field, format!("{value}, expected 0 or more")));
            }
        }
        if self.multiprocessors == Some(0) {
            return Err(BuildError::new("multiprocessors", "0, expected at least 1".to_owned()));
        }
        self.in_engine.check()?;
        self.precision.iter().try_for_each(|(&precision, constants)| constants.check(precision))
    }
}

impl Constants {
    fn check(&self, precision: Precision) -> Result<(), BuildError> {
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
