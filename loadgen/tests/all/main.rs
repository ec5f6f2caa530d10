//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod absent;
mod advise;
mod bad_input;
mod benchmark_report;
mod blind_spots;
mod classes;
mod economics;
mod export;
mod fidelity;
mod groups;
mod html;
mod html_more;
mod limits;
mod measure;
mod mixed_capacity;
mod object_store;
mod policies;
mod rank;
mod regret;
mod report;
mod routers;
mod rows;
mod sharing;
mod stages;
mod staging;
mod sweep;
mod terminal;
mod traces;
