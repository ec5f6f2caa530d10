//! A device: the data sheet of an accelerator, and the constants fitted to measurements on it.

use super::constants::{AllReduce, Attention, Constants, PerKv};
use super::error::BuildError;
use super::host::{FrontEndTimes, Host};
use super::in_engine::InEngine;
use super::model::Family;
use super::precision::{KvDtype, Math, Precision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file in `deploy/profiles/devices`. A section that is missing takes its defaults, such as
/// [`Constants::default`]: the efficiency assumed for a device without measurements.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Name of the device.
    pub name: String,
    /// Other names of the device in measurements.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Peak rates of dense matrix products, in 10^12 operations a second.
    pub peak_tflops: Peaks,
    /// Memory in 10^9 bytes, as the driver reports it.
    pub hbm_gb: f64,
    /// Memory bandwidth in 10^12 bytes a second.
    pub hbm_tb_s: f64,
    /// Link to the other devices of a tensor-parallel group, in 10^9 bytes a second in each
    /// direction. None: no such group is possible.
    pub link_gb_s: Option<f64>,
    /// Power under load, in watts: the rated power unless a figure was measured.
    pub watts: Option<f64>,
    /// Power with a model loaded and no work, in watts.
    pub idle_watts: Option<f64>,
    /// Rent in US dollars an hour, with host, power and cooling.
    pub usd_per_hour: Option<f64>,
    /// Purchase, if it is not rented.
    pub purchase: Option<Purchase>,
    /// Thermal throttling under sustained load; None: none.
    pub sustained: Option<Sustained>,
    /// Part of the peaks that the device sustains, given its clocks under load and heat.
    pub realization: f64,
    /// Error of times without measurements, in percent either way.
    #[serde(default = "default_band")]
    pub band_percent: f64,
    /// Fewest heads that the decode kernel of latent attention computes, also for fewer real ones.
    #[serde(default = "default_latent_heads")]
    pub latent_heads: u32,
    /// Where attention kernels of FlashAttention 3 run, whose way of giving out work is known. None:
    /// attention spreads evenly.
    pub multiprocessors: Option<u32>,
    /// Constants of attention.
    #[serde(default)]
    pub attention: Attention,
    /// Constants of all-reduces.
    #[serde(default)]
    pub all_reduce: AllReduce,
    /// Time of the serving engine in each step.
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

/// Peak rates of dense matrix products by number format, in 10^12 operations a second.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peaks {
    /// 16-bit floats.
    pub bf16: f64,
    /// 8-bit floats; None: not supported.
    pub fp8: Option<f64>,
    /// 4-bit floats; None: not supported.
    pub fp4: Option<f64>,
}

const fn default_band() -> f64 {
    40.0
}

const fn default_latent_heads() -> u32 {
    64
}

/// A purchase. The price is spread evenly over the hours of use.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purchase {
    /// Price in US dollars.
    pub usd: f64,
    /// Years of use, all hours counted.
    pub years: f64,
}

impl Purchase {
    const HOURS_A_YEAR: f64 = 8_766.0;

    /// The price of an hour of use, in US dollars.
    pub fn usd_per_hour(&self) -> f64 {
        self.usd / (self.years * Self::HOURS_A_YEAR)
    }
}

/// Thermal throttling: a chip that can't shed its heat lowers its clocks. Its warmth grows by a
/// second for each second that it computes, up to `after_s`, and shrinks by a second for each
/// second that it rests. A step that starts at warmth `after_s` runs at `factor` of the full rates.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    /// Seconds of computing until the clocks drop.
    pub after_s: f64,
    /// Part of the full rates that remains, above 0.
    pub factor: f64,
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

/// Whether times rest on measurements, and how far off they may be.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Validation {
    /// Whether this device, precision and model family was measured.
    pub validated: bool,
    /// Error of times, in percent either way; None: unknown.
    pub band_percent: Option<f64>,
    /// What was measured, or what was not.
    pub because: String,
}

impl Device {
    /// Sustained operations in a nanosecond.
    pub(super) fn flops_per_ns(&self, math: Math, precision: Precision) -> Result<f64, BuildError> {
        let peak = match math {
            Math::Bf16 => Some(self.peak_tflops.bf16),
            Math::Fp8 => self.peak_tflops.fp8,
            Math::Fp4 => self.peak_tflops.fp4,
        };
        let peak = peak.ok_or_else(|| {
            BuildError::new(
                "precision",
                format!("{precision}, expected one with a peak in device {}", self.name),
            )
        })?;
        Ok(peak * 1e3 * self.realization)
    }

    /// Sustained bytes of HBM in a nanosecond.
    pub(super) fn bytes_per_ns(&self) -> f64 {
        self.hbm_tb_s * 1e3 * self.realization
    }

    /// The constants of attention for a format of keys and values.
    pub(super) const fn per_kv(&self, kv: KvDtype) -> PerKv {
        match kv {
            KvDtype::Bf16 => self.attention.bf16,
            KvDtype::Fp8 => self.attention.fp8,
        }
    }

    /// The constants of a precision. If it has none, those of the nearest kernel family that has
    /// some ([`Precision::stand_in`]), else the defaults.
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

    /// Whether times of a model rest on measurements.
    pub fn standing(&self, precision: Precision, model: &str, family: Family) -> Validation {
        let unvalidated =
            |band, because| Validation { validated: false, band_percent: Some(band), because };
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
        // An unmeasured model is off by as much as models left out of a fit: `docs/fidelity.md`.
        let known = fitted.models.iter().any(|known| known == model);
        let band_percent = if known { fitted.p95_percent } else { fitted.p95_percent.max(25.0) };
        Validation { validated: true, band_percent: Some(band_percent), because }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), BuildError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every field that is out of range.
    pub fn problems(&self) -> Vec<BuildError> {
        let mut problems = Vec::new();
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
                problems.push(BuildError::new(field, format!("{value}, expected more than 0")));
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
                problems.push(BuildError::new(field, format!("{value}, expected 0 or more")));
            }
        }
        if self.multiprocessors == Some(0) {
            problems.push(BuildError::new("multiprocessors", "0, expected at least 1".to_owned()));
        }
        problems.extend(self.in_engine.check().err());
        let constants = self.precision.iter();
        problems.extend(constants.filter_map(|(&precision, of)| of.check(precision).err()));
        problems
    }
}
