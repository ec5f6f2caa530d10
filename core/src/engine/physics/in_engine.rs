//! How much slower kernels are in a running engine than alone.
//!
//! A kernel that is measured alone runs at the full clock and finds its data in the caches. An engine that
//! works for seconds has neither. Some engines also have other kernels than the tables describe. A device's
//! file says by which factors whole steps and served systems differ from single kernels.

use super::error::BuildError;
use super::precision::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Factors on the constants of single kernels, unless said otherwise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InEngine {
    /// Compute rate of attention.
    pub attention_compute: f64,
    /// Bandwidth of attention.
    pub attention_bandwidth: f64,
    /// Launch time of an all-reduce.
    pub all_reduce_launch: f64,
    /// A share, not a factor: how much of the wait for the longest thread block adds to a decode step.
    pub waiting: f64,
    /// Factors by the format of the weights.
    pub precision: BTreeMap<Precision, InEngineOf>,
    /// The measurements it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
}

/// Factors for one format of the weights.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InEngineOf {
    /// Compute rate of matrix products.
    pub products_compute: f64,
    /// Bandwidth of matrix products.
    pub products_bandwidth: f64,
    /// Compute rate of experts.
    pub experts_compute: f64,
    /// Bandwidth of experts.
    pub experts_bandwidth: f64,
    /// Microseconds more for each layer (less where negative). Not a factor.
    pub layer_us: f64,
}

impl Default for InEngine {
    fn default() -> Self {
        Self {
            attention_compute: 1.0,
            attention_bandwidth: 1.0,
            all_reduce_launch: 1.0,
            waiting: 0.27,
            precision: BTreeMap::new(),
            measured: None,
        }
    }
}

impl Default for InEngineOf {
    fn default() -> Self {
        Self {
            products_compute: 1.0,
            products_bandwidth: 1.0,
            experts_compute: 1.0,
            experts_bandwidth: 1.0,
            layer_us: 0.0,
        }
    }
}

impl InEngine {
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let mut factors = vec![
            ("attention_compute".to_owned(), self.attention_compute),
            ("attention_bandwidth".to_owned(), self.attention_bandwidth),
            ("all_reduce_launch".to_owned(), self.all_reduce_launch),
        ];
        for (precision, of) in &self.precision {
            let fields = [
                ("products_compute", of.products_compute),
                ("products_bandwidth", of.products_bandwidth),
                ("experts_compute", of.experts_compute),
                ("experts_bandwidth", of.experts_bandwidth),
            ];
            factors.extend(
                fields.map(|(name, value)| (format!("precision.{precision}.{name}"), value)),
            );
            if !(of.layer_us > -1e3 && of.layer_us < 1e6) {
                let field = format!("in_engine.precision.{precision}.layer_us");
                return Err(BuildError::new(
                    field,
                    format!("{}, expected microseconds", of.layer_us),
                ));
            }
        }
        for (field, value) in factors {
            if !(value > 0.0 && value < 1e3) {
                let field = format!("in_engine.{field}");
                return Err(BuildError::new(field, format!("{value}, expected more than 0")));
            }
        }
        if !(0.0..=1.0).contains(&self.waiting) {
            let why = format!("{}, expected a share from 0 to 1", self.waiting);
            return Err(BuildError::new("in_engine.waiting", why));
        }
        Ok(())
    }
}
