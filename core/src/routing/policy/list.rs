//! The list of the rules, at the end of this file. What depends on all of them follows from it.

use super::catalogue::RuleInfo;
use super::rule::Policy;
use super::spelling::{self, PolicyError};
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::Instant;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! rules {
    ($($module:ident::$rule:ident;)*) => {
        $(pub use super::$module::$rule;)*

        /// A rule with its parameters, as a person writes it: `NAME` or
        /// `NAME(key=value,key=value)`. A value is one of the constants, comes from a text, or from
        /// the rule's struct (`PolicyConfig::from(WaitForRoom { max_active: 2, recheck_s: 1.0 })`).
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub struct PolicyConfig(Chosen);

        #[derive(Clone, Copy, PartialEq, Debug)]
        enum Chosen {
            $($rule($rule),)*
        }

        #[allow(non_upper_case_globals, reason = "each is called like its rule")]
        impl PolicyConfig {
            $(
                #[doc = concat!("[`", stringify!($rule), "`] with its defaults.")]
                pub const $rule: Self = Self(Chosen::$rule($rule::DEFAULT));
            )*
        }

        impl PolicyConfig {
            /// Each rule with its defaults.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// The bare name of the rule.
            pub const fn name(self) -> &'static str {
                match self.0 { $(Chosen::$rule(_) => <$rule>::NAME),* }
            }

            /// What the rule decides by, in a sentence.
            pub const fn rule(self) -> &'static str {
                match self.0 { $(Chosen::$rule(_) => <$rule>::RULE),* }
            }

            /// Every rule with its parameters.
            pub fn catalogue() -> Vec<RuleInfo> {
                vec![$(RuleInfo::of::<$rule>()),*]
            }

            /// The rule `name` with these parameters; the others have their defaults.
            pub fn with(
                name: &str,
                parameters: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
            ) -> Result<Self, PolicyError> {
                match name {
                    $(<$rule>::NAME => Ok(spelling::build::<$rule>(parameters)?.into()),)*
                    _ => Err(PolicyError::Unknown { given: name.to_owned(), known: names() }),
                }
            }

            /// The parameters that differ from the rule's defaults, with their values as text.
            pub fn changed(self) -> Vec<(&'static str, String)> {
                match self.0 { $(Chosen::$rule(rule) => spelling::changed(&rule)),* }
            }
        }

        $(impl From<$rule> for PolicyConfig {
            fn from(rule: $rule) -> Self {
                Self(Chosen::$rule(rule))
            }
        })*

        /// A rule with its memory.
        #[derive(Debug)]
        pub(in crate::routing) enum RunningRule {
            $($rule($rule, <$rule as Policy>::Memory),)*
        }

        impl RunningRule {
            /// With an empty memory.
            pub fn new(config: PolicyConfig) -> Self {
                match config.0 {
                    $(Chosen::$rule(rule) => Self::$rule(rule, rule.memory()),)*
                }
            }

            pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
                match self { $(Self::$rule(rule, memory) => rule.observe(memory, now, what),)* }
            }

            pub fn choose(&self, request: &Request, view: &FleetView<'_>) -> Choice {
                match self { $(Self::$rule(rule, memory) => rule.choose(memory, request, view),)* }
            }
        }
    };
}

fn names() -> String {
    PolicyConfig::ALL.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for PolicyConfig {
    type Err = PolicyError;

    fn from_str(given: &str) -> Result<Self, PolicyError> {
        let (name, parameters) = spelling::split(given)?;
        Self::with(name, parameters)
    }
}

/// The canonical spelling: the parameters that differ from the rule's defaults, in the order in which
/// the rule declares them.
impl fmt::Display for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.changed();
        if changed.is_empty() {
            return f.pad(self.name());
        }
        let pairs: Vec<String> =
            changed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.pad(&format!("{}({})", self.name(), pairs.join(",")))
    }
}

impl Serialize for PolicyConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

rules! {
    round_robin::RoundRobin;
    random::Random;
    least_loaded::LeastLoaded;
    power_of_two::PowerOfTwo;
    session_affinity::SessionAffinity;
    kv_aware::KvAware;
    sticky_session::StickySession;
    wait_for_room::WaitForRoom;
}
