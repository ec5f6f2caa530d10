//! The list of the rules, at the end of this file. What depends on all of them follows from it.

use super::catalogue::{Group, RuleInfo};
use super::hold::Hold;
use super::rule::Policy;
use super::spelling::{self, PolicyError};
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! rules {
    ($([$group:ident] $rule:ident in $($module:ident)::+;)*) => {
        $(pub use super::$($module)::+::$rule;)*

        /// A rule with its parameters, as a person writes it: `NAME` or
        /// `NAME(key=value,key=value)`, with `+hold` or `+hold(key=value)` after it where requests
        /// wait in the router ([`Hold`]). A value is one of the constants, comes from a text, or from
        /// the rule's struct (`PolicyConfig::from(WaitForRoom { max_active: 2, recheck_s: 1.0 })`).
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub struct PolicyConfig {
            rule: Chosen,
            hold: Option<Hold>,
        }

        #[derive(Clone, Copy, PartialEq, Debug)]
        enum Chosen {
            $($rule($rule),)*
        }

        #[allow(non_upper_case_globals, reason = "each is called like its rule")]
        impl PolicyConfig {
            $(
                #[doc = concat!("[`", stringify!($rule), "`] with its defaults.")]
                pub const $rule: Self = Self { rule: Chosen::$rule($rule::DEFAULT), hold: None };
            )*
        }

        impl PolicyConfig {
            /// Each rule with its defaults.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// The bare name of the rule.
            pub const fn name(self) -> &'static str {
                match self.rule { $(Chosen::$rule(_) => <$rule>::NAME),* }
            }

            /// Where the rule comes from.
            pub const fn group(self) -> Group {
                match self.rule { $(Chosen::$rule(_) => Group::$group),* }
            }

            /// What the rule decides by, in a sentence.
            pub const fn rule(self) -> &'static str {
                match self.rule { $(Chosen::$rule(_) => <$rule>::RULE),* }
            }

            /// How often the rule reads the load of its workers. None: each report as it comes.
            pub fn poll(self) -> Option<Duration> {
                match self.rule { $(Chosen::$rule(rule) => rule.poll()),* }
            }

            /// Every rule with its parameters.
            pub fn catalogue() -> Vec<RuleInfo> {
                vec![$(RuleInfo::of::<$rule>(Group::$group)),*]
            }

            /// The rule `name` with these parameters; the others have their defaults.
            pub fn with(
                name: &str,
                parameters: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
            ) -> Result<Self, PolicyError> {
                match name {
                    $(<$rule>::NAME => {
                        Ok(spelling::build::<$rule>(<$rule>::NAME, parameters)?.into())
                    })*
                    _ => Err(PolicyError::Unknown { given: name.to_owned(), known: names() }),
                }
            }

            /// The rule with one parameter changed, for a search: the values of each parameter that are near its
            /// own, with smaller steps in each round.
            pub fn near(self, round: u32) -> Vec<Vec<Self>> {
                let hold = self.hold;
                match self.rule {
                    $(Chosen::$rule(rule) => spelling::near(&rule, round)
                        .into_iter()
                        .map(|of_one| of_one.into_iter().map(|rule| Self::from(rule).with_hold(hold)).collect())
                        .collect(),)*
                }
            }

            /// The parameters that differ from the rule's defaults, with their values as text.
            pub fn changed(self) -> Vec<(&'static str, String)> {
                match self.rule { $(Chosen::$rule(rule) => spelling::changed(&rule)),* }
            }
        }

        $(impl From<$rule> for PolicyConfig {
            fn from(rule: $rule) -> Self {
                Self { rule: Chosen::$rule(rule), hold: None }
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
                match config.rule {
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

impl PolicyConfig {
    /// The same rule, with requests that wait in the router. None: they do not.
    #[must_use]
    pub const fn with_hold(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    /// How requests wait in the router; None: they do not, unless the rule itself holds them.
    pub const fn hold(self) -> Option<Hold> {
        self.hold
    }
}

fn names() -> String {
    PolicyConfig::ALL.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for PolicyConfig {
    type Err = PolicyError;

    fn from_str(given: &str) -> Result<Self, PolicyError> {
        let (rule, part) = spelling::split_part(given);
        let (name, parameters) = spelling::split(rule)?;
        let policy = Self::with(name, parameters)?;
        let Some(part) = part else { return Ok(policy) };
        Ok(policy.with_hold(Some(Hold::read(given, part)?)))
    }
}

/// The canonical spelling: the parameters that differ from the rule's defaults, in the order in which
/// the rule declares them.
impl fmt::Display for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = spelling::join(self.name(), &self.changed());
        if let Some(hold) = self.hold {
            text.push('+');
            text.push_str(&spelling::join(Hold::NAME, &spelling::changed(&hold)));
        }
        f.pad(&text)
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
    [Naive] RoundRobin in naive::round_robin;
    [Naive] Random in naive::random;
    [Naive] LeastLoaded in naive::least_loaded;
    [Naive] PowerOfTwo in naive::power_of_two;
    [Naive] SessionAffinity in naive::session_affinity;
    [Field] Dynamo in field::dynamo;
    [Field] DynamoTwoTier in field::dynamo_two_tier;
    [Field] LlmDWeighted in field::llm_d::weighted;
    [Field] LlmDPrecise in field::llm_d::precise;
    [Field] LlmDSticky in field::llm_d::sticky;
    [Field] LlmDNoHitLru in field::llm_d::no_hit_lru;
    [Field] LlmDTokenLoad in field::llm_d::token_load;
    [Field] Mooncake in field::mooncake;
    [Field] SglangClassic in field::sglang_classic;
    [Field] SmgCacheAware in field::smg_cache_aware;
    [Field] SmgLeastLoad in field::smg_least_load;
    [Field] ProductionStackKvaware in field::production_stack_kvaware;
    [Field] ProductionStackPrefixaware in field::production_stack_prefixaware;
    [Field] ProductionStackLoadaware in field::production_stack_loadaware;
    [Field] VllmRouterKvAware in field::vllm_router_kv_aware;
    [Field] AibrixPrefixCache in field::aibrix_prefix_cache;
    [Field] AibrixPreble in field::aibrix_preble;
    [Field] Chwbl in field::chwbl;
    [Field] DualMap in field::dualmap;
    [Field] LMetric in field::lmetric;
    [Field] Lpwl in field::lpwl;
    [Field] Preble in field::preble;
    [Field] SMetric in field::smetric;
    [Own] Warmpath in warmpath;
    [Own] KvAware in kv_aware;
    [Own] StickySession in sticky_session;
    [Own] WaitForRoom in wait_for_room;
}
