//! What a process or a tool needs to start. Nothing here speaks a protocol, so a tool that depends
//! on this crate does not pull in gRPC.
//!
//! - [`process`]: logs, the exit status, and the signal that stops a process.
//! - [`command_line`]: reading the command line, and its help.
//! - [`listen`]: the flags for a process's addresses, and the listeners behind them.
//! - [`settings`]: TOML files; all that is wrong with one is reported at once ([`toml_file`]).
//! - [`bounded`]: files that end.
//! - [`names`]: built-in names and paths, and what was meant by an unknown name.
//! - [`terminal`]: printing, with errors instead of panics; colours.
//! - [`manual`], [`version`]: completions, manual pages, what `--version` says.
//! - [`profiles`]: profiles, devices and models by name or file.

pub mod bounded;
pub mod command_line;
pub mod listen;
pub mod manual;
pub mod names;
pub mod process;
pub mod profiles;
pub mod settings;
pub mod terminal;
pub mod toml_file;
pub mod version;
