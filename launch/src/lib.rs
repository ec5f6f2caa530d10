//! What a process or a tool needs to start. Nothing here speaks a protocol, so a tool that depends
//! on this crate does not pull in gRPC.
//!
//! - [`process`]: logs, the exit status, and the signal that stops a process.
//! - [`listen`]: the flags for a process's addresses, and the listeners behind them.
//! - [`settings`]: TOML files, with errors in one line.
//! - [`profiles`]: profiles, devices and models by name or file.

pub mod listen;
pub mod process;
pub mod profiles;
pub mod settings;
