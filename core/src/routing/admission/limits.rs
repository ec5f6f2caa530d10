//! What admission is told: how long a first token may take, and whose turn is next.

use crate::id::TenantId;
use crate::request::Request;
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// What a router takes on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionLimits {
    /// A worker gets no further request while its predicted prefill work takes longer than this.
    pub backlog_s: f64,
    /// A request whose first token is expected later after its arrival is refused. None: only a
    /// deadline counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_s: Option<f64>,
    /// A worker gets no further request while its answers take longer for a token. None: any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_s: Option<f64>,
    /// Other limits for urgent requests, the most urgent class first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Shares of the tenants that do not have the weight 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<Share>,
}

/// Requests of some priorities.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Requests of this priority and of smaller ones, which are more urgent.
    pub priority: i32,
    /// Takes the place of [`AdmissionLimits::ttft_s`].
    pub ttft_s: f64,
}

/// The share of a tenant.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The tenant.
    pub tenant: TenantId,
    /// How much it gets of the fleet, relative to the others, while several wait.
    pub weight: f64,
}

impl Default for AdmissionLimits {
    /// 0.5 s of prefill work; deadlines alone; equal tenants.
    fn default() -> Self {
        let (classes, weights) = (Vec::new(), Vec::new());
        Self { backlog_s: 0.5, ttft_s: None, tpot_s: None, classes, weights }
    }
}

impl AdmissionLimits {
    /// The longest time to the first token of a request. None: any.
    pub fn ttft(&self, request: &Request) -> Option<Duration> {
        let class = self.classes.iter().find(|class| request.priority <= class.priority);
        class.map(|class| class.ttft_s).or(self.ttft_s).map(Duration::from_secs_f64)
    }

    /// The weight of a tenant.
    pub fn weight(&self, tenant: TenantId) -> f64 {
        let own = self.weights.iter().find(|share| share.tenant == tenant);
        own.map_or(1.0, |share| share.weight)
    }

    /// Whether the limits make sense. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        let time = |name: String, value: f64| match value > 0.0 && value <= 1e6 {
            true => Ok(()),
            false => Err(format!("{name}: {value}, expected more than 0, at most 1000000")),
        };
        time("backlog_s".into(), self.backlog_s)?;
        self.ttft_s.map_or(Ok(()), |value| time("ttft_s".into(), value))?;
        self.tpot_s.map_or(Ok(()), |value| time("tpot_s".into(), value))?;
        for (n, class) in self.classes.iter().enumerate() {
            time(format!("classes[{n}].ttft_s"), class.ttft_s)?;
            if n > 0 && self.classes[n - 1].priority >= class.priority {
                let expected = "expected ascending priorities, the most urgent class first";
                return Err(format!("classes[{n}].priority: {}, {expected}", class.priority));
            }
        }
        for (n, share) in self.weights.iter().enumerate() {
            if !(share.weight > 0.0 && share.weight <= 1e6) {
                let expected = "expected more than 0, at most 1000000";
                return Err(format!("weights[{n}].weight: {}, {expected}", share.weight));
            }
        }
        Ok(())
    }
}
