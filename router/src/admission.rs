//! What a router takes on, as its configuration says it.

use crate::config_error::ConfigError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use warmpath_core::id::TenantId;
use warmpath_core::routing::AdmissionLimits;
use warmpath_core::routing::admission::{Class, Share};

/// The limits of admission. Times are in model seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// A worker gets no further request while its predicted prefill work takes longer than this.
    pub backlog_s: f64,
    /// A request whose first token is expected later after its arrival is refused. None: only its
    /// deadline counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_s: Option<f64>,
    /// A worker gets no further request while its answers take longer for a token. None: any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_s: Option<f64>,
    /// Other limits for urgent requests, the most urgent class first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Shares of tenants, by name. A tenant that is not named has the weight 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        let AdmissionLimits { backlog_s, ttft_s, tpot_s, classes, .. } = AdmissionLimits::default();
        Self { backlog_s, ttft_s, tpot_s, classes, weights: BTreeMap::new() }
    }
}

impl AdmissionConfig {
    /// The limits as the core router takes them. `tenant`: the tenant of a name.
    pub fn limits(&self, tenant: impl Fn(&str) -> Option<TenantId>) -> AdmissionLimits {
        let share =
            |(name, &weight): (&String, &f64)| tenant(name).map(|tenant| Share { tenant, weight });
        AdmissionLimits {
            backlog_s: self.backlog_s,
            ttft_s: self.ttft_s,
            tpot_s: self.tpot_s,
            classes: self.classes.clone(),
            weights: self.weights.iter().filter_map(share).collect(),
        }
    }

    /// Whether the limits make sense. `known`: the names of all tenants. The error names the field.
    pub fn check(&self, known: &[&str]) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: format!("admission.{field}"), why });
        if let Err(line) = self.limits(|_| None).check() {
            let (field, why) = line.split_once(": ").unwrap_or(("", &line));
            return err(field, why.to_owned());
        }
        for (name, weight) in &self.weights {
            let field = format!("weights.{name}");
            if !known.contains(&name.as_str()) {
                return err(&field, format!("no such tenant, expected one of {}", list(known)));
            }
            if !(*weight > 0.0 && *weight <= 1e6) {
                return err(&field, format!("{weight}, expected more than 0, at most 1000000"));
            }
        }
        Ok(())
    }
}

/// The first names of a list.
fn list(names: &[&str]) -> String {
    let first = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{first}, .. ({})", names.len()) } else { first }
}
