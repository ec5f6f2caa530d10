//! The rules a router can follow. One rule a file; the list of them stands once, here.

mod kv_aware;
mod least_loaded;
mod power_of_two;
mod random;
mod round_robin;
mod session_affinity;

use crate::request::Request;
use crate::routing::input::{Decision, Observed};
use crate::routing::view::FleetView;
use crate::time::Instant;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A routing rule. It has no clock, no generator and no memory but its declared one; where it needs
/// chance it hashes a name (its seed and the request's id).
pub trait Policy {
    /// What the rule must remember between requests.
    type Memory: Default + fmt::Debug;

    /// Each input, and each action right after it is taken.
    fn observe(&self, _memory: &mut Self::Memory, _now: Instant, _what: Observed<'_>) {}

    /// Equal arguments, equal decision.
    fn choose(&self, memory: &Self::Memory, request: &Request, view: &FleetView<'_>) -> Decision;
}

macro_rules! policies {
    ($(#[doc = $doc:literal] $variant:ident, $rule:ty, $name:literal;)*) => {
        /// Which rule, as a person writes it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        pub enum PolicyConfig {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)*
        }

        impl PolicyConfig {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it decides by, in a sentence: its documentation.
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii()),* }
            }
        }

        /// A rule with its memory.
        #[derive(Debug)]
        pub(super) enum Rule {
            $($variant($rule, <$rule as Policy>::Memory),)*
        }

        impl Rule {
            /// With fresh memory.
            pub(super) fn new(config: PolicyConfig) -> Self {
                match config {
                    $(PolicyConfig::$variant => Self::$variant(<$rule>::default(), Default::default()),)*
                }
            }

            pub(super) fn observe(&mut self, now: Instant, what: Observed<'_>) {
                match self { $(Self::$variant(rule, memory) => rule.observe(memory, now, what),)* }
            }

            pub(super) fn choose(&self, request: &Request, view: &FleetView<'_>) -> Decision {
                match self { $(Self::$variant(rule, memory) => rule.choose(memory, request, view),)* }
            }
        }
    };
}

policies! {
    /// Each worker in turn, whatever it holds.
    RoundRobin, round_robin::RoundRobin, "round-robin";
    /// A worker by lot.
    Random, random::Random, "random";
    /// The worker with the fewest requests under way.
    LeastLoaded, least_loaded::LeastLoaded, "least-loaded";
    /// Of two workers by lot, the one with fewer requests under way.
    PowerOfTwo, power_of_two::PowerOfTwo, "power-of-two";
    /// A session stays with its worker while that one's load is bounded.
    SessionAffinity, session_affinity::SessionAffinity, "session-affinity";
    /// The worker with the least expected seconds to the first token.
    KvAware, kv_aware::KvAware, "kv-aware";
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown policy '{given}', expected one of: {}", names())]
pub struct UnknownPolicy {
    given: String,
}

fn names() -> String {
    PolicyConfig::ALL.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for PolicyConfig {
    type Err = UnknownPolicy;

    fn from_str(given: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.iter().find(|policy| policy.name() == given);
        found.copied().ok_or_else(|| UnknownPolicy { given: given.to_owned() })
    }
}

impl fmt::Display for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
