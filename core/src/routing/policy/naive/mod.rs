//! Rules that know nothing of what workers hold: what a rule with that knowledge is worth is
//! measured against them.

pub(super) mod least_loaded;
pub(super) mod power_of_two;
pub(super) mod random;
pub(super) mod round_robin;
pub(super) mod session_affinity;

pub(super) use least_loaded::least_loaded;
