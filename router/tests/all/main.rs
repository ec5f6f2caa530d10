//! One binary for all tests of this crate that need no process of their own: linking each of them apart takes
//! longer than running them.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod authz;
mod binary;
mod cancels;
mod capture;
mod clients;
mod engines;
mod failures;
mod feed;
mod frozen;
mod health;
mod holding;
mod hostile;
mod http;
mod interference;
mod kv_transfer;
mod members;
mod overload;
mod picker;
mod pools;
mod raw;
mod record;
mod recorded;
mod restarts;
mod served;
mod siblings;
mod siblings_as_processes;
mod streams;
mod tenants;
mod tls;
mod traces;
mod trouble;
