//! The rules that a router can follow. A rule is one file, which declares its parameters and memory,
//! with its `mod` line here and its line in the list at the end of `list.rs`.
//!
//! A rule is written as its name with those parameters that differ from its defaults:
//! `kv-aware`, `wait-for-room(max_active=4,recheck_s=0.5)`.

mod catalogue;
mod kv_aware;
mod least_loaded;
mod list;
mod named;
pub mod parameter;
mod power_of_two;
mod random;
mod round_robin;
pub mod rule;
mod session_affinity;
mod spelling;
mod sticky_session;
mod wait_for_room;

pub use catalogue::{ParameterInfo, RuleInfo};
pub use list::*;
pub use named::{NamedPolicy, check_labels, parse_policies};
pub use rule::Policy;
pub use spelling::PolicyError;
