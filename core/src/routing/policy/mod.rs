//! The rules that a router can follow: one rule a file, all of them in the list of `list.rs`.
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
pub use kv_aware::KvAware;
pub use least_loaded::LeastLoaded;
pub use list::PolicyConfig;
pub(super) use list::RunningRule;
pub use named::{NamedPolicy, check_labels, parse_policies};
pub use power_of_two::PowerOfTwo;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use rule::Policy;
pub use session_affinity::SessionAffinity;
pub use spelling::PolicyError;
pub use sticky_session::StickySession;
pub use wait_for_room::WaitForRoom;
