//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod admission;
mod energy;
mod engine_oracle;
mod engine_soak;
mod engine_tiers;
mod explain;
mod health;
mod hold;
mod holding;
mod holding_soak;
mod index_cases;
mod index_model;
mod isolation;
mod kv_transfer;
mod naive_policies;
mod peer_fetch;
mod physics;
mod policies_as_data;
mod policy_table;
mod quota;
mod roles;
mod shadows;
mod siblings;
mod sticky_session;
mod store_model;
mod store_soak;
mod tries;
