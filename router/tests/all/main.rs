//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod authz;
mod binary;
mod clients;
mod failures;
mod feed;
mod holding;
mod hostile;
mod kv_transfer;
mod members;
mod overload;
mod pools;
mod raw;
mod record;
mod streams;
mod tenants;
mod tls;
mod trouble;
