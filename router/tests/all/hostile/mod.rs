//! Hostile clients on raw sockets, against a router process. Each is played twice: with the limit that is
//! meant, and with that limit out of reach, where it must get its way. Beside each one a good client works,
//! and the memory of the process is watched.

mod bodies;
mod connections;
mod frames;
mod router;
mod spoken;
mod streams;
mod wire;

use std::time::Duration;

/// One at a time: they compare times.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// More than every limit of these tests, and less than every limit that is out of reach.
const LONG: Duration = Duration::from_millis(900);
