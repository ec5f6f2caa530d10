//! What may stand where. The rules are those of ARCHITECTURE.md. A check that cannot fail is worth
//! nothing, so each is tried on a planted fault.

// The core may not read files. Its tests must, to read the core.
#![allow(clippy::disallowed_methods)]

mod bans;
mod crates;
mod dependencies;
mod files;
mod modules;
mod repeatable;
mod rooms;
mod words;
