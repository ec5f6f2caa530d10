//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

mod convert;
mod generate;
mod raw;
mod tiers;
