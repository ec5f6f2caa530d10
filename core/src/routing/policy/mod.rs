//! The rules that a router can follow. A rule is one file, which declares its parameters and memory,
//! with its `mod` line here and its line in the list at the end of `list.rs`.
//!
//! A rule is written as its name with those parameters that differ from its defaults:
//! `kv-aware`, `wait-for-room(max_active=4,recheck_s=0.5)`. Any rule can be followed with late binding
//! (`hold.rs`): `kv-aware+hold`.

mod catalogue;
mod field;
pub mod hold;
mod kv_aware;
mod list;
mod naive;
mod named;
pub mod parameter;
mod parts;
pub mod rule;
pub mod shadow;
mod spelling;
mod sticky_session;
mod wait_for_room;
mod warmpath;

pub use catalogue::{Group, ParameterInfo, RuleInfo};
pub use field::preble_tree::PrefillTime;
pub use hold::Hold;
pub use list::*;
pub use named::{NamedPolicy, check_labels, parse_policies};
pub use parts::predicted::Index;
pub use rule::Policy;
pub use spelling::PolicyError;
