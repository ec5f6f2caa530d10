//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod binary;
mod engine;
mod http;
mod pool;
mod quota;
mod wire;
