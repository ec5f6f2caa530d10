//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod beliefs;
mod blind_spots;
mod broken_feeds;
mod broken_worlds;
mod devices;
mod disaggregated;
mod failing_workers;
mod faults;
mod fleets;
mod holding;
mod hot_prefix;
mod interference;
mod oracle;
mod overload;
mod pool_and_peers;
mod quota;
mod replay;
mod seeds;
mod several_routers;
