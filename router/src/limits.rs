//! `[listener]`: what a client may do to the public listener.

use crate::config_error::ConfigError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use warmpath_proto::listening::{Limits, Times};

/// The limits of the public listener. A client that keeps to gRPC's habits meets none of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerConfig {
    /// Connections at the same time. At most half of the files that the process may open.
    pub connections: usize,
    /// The same, from one address (IPv6: from one /64 network).
    pub connections_per_address: usize,
    /// Calls under way on one connection.
    pub streams_per_connection: u32,
    /// Generate calls under way of one tenant.
    pub streams_per_tenant: u32,
    /// Bytes of a call's metadata.
    pub header_bytes: u32,
    /// Bytes of a generate request.
    pub generate_bytes: usize,
    /// Bytes of any other message.
    pub message_bytes: usize,
    /// Bytes of all requests above 64 KiB that are being received.
    pub receiving_bytes: usize,
    /// Calls cancelled before the router took them up, until the connection ends.
    pub pending_resets: usize,
    /// Frames a second that carry nothing, and ten times as many at once; a ping counts as 20.
    pub empty_frames_per_s: u32,
    /// From the connection to its first HTTP/2 frame, TLS included.
    pub handshake_s: f64,
    /// For a frame that is no message.
    pub header_s: f64,
    /// For the whole body of a request.
    pub body_s: f64,
    /// How long an answer may wait for its client to read.
    pub stall_s: f64,
    /// A connection without calls.
    pub idle_s: f64,
    /// A connection, before its client is told to open another.
    pub age_s: f64,
    /// For the calls that are then under way.
    pub age_grace_s: f64,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        let limits = Limits::PUBLIC;
        let times = limits.times.unwrap_or(Times::PUBLIC);
        Self {
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            streams_per_connection: limits.streams_per_connection,
            streams_per_tenant: 4_096,
            header_bytes: limits.header_bytes,
            generate_bytes: limits.generate_bytes,
            message_bytes: limits.message_bytes,
            receiving_bytes: limits.receiving_bytes,
            pending_resets: limits.pending_resets,
            empty_frames_per_s: limits.empty_frames_per_s,
            handshake_s: times.handshake.as_secs_f64(),
            header_s: times.header.as_secs_f64(),
            body_s: times.body.as_secs_f64(),
            stall_s: times.stall.as_secs_f64(),
            idle_s: times.idle.as_secs_f64(),
            age_s: times.age.as_secs_f64(),
            age_grace_s: times.age_grace.as_secs_f64(),
        }
    }
}

impl ListenerConfig {
    /// For clients of the same process that play a load: no limit may change what they measure.
    pub fn for_own_clients() -> Self {
        Self {
            connections_per_address: 1_000_000,
            streams_per_connection: 1_000_000,
            streams_per_tenant: 1_000_000,
            pending_resets: 1_000_000,
            body_s: 1e6,
            stall_s: 1e6,
            idle_s: 1e6,
            age_s: 1e6,
            ..Self::default()
        }
    }

    /// The limits as the listener takes them.
    pub fn limits(&self) -> Limits {
        let span = Duration::from_secs_f64;
        Limits {
            connections: self.connections.min(open_files() / 2),
            connections_per_address: self.connections_per_address,
            streams_per_connection: self.streams_per_connection,
            header_bytes: self.header_bytes,
            generate_bytes: self.generate_bytes,
            message_bytes: self.message_bytes,
            receiving_bytes: self.receiving_bytes,
            pending_resets: self.pending_resets,
            empty_frames_per_s: self.empty_frames_per_s,
            times: Some(Times {
                handshake: span(self.handshake_s),
                header: span(self.header_s),
                body: span(self.body_s),
                stall: span(self.stall_s),
                idle: span(self.idle_s),
                age: span(self.age_s),
                age_grace: span(self.age_grace_s),
            }),
            ..Limits::PUBLIC
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: format!("listener.{field}"), why });
        let counts = [
            ("connections", self.connections as u64, 1..=1_000_000),
            ("connections_per_address", self.connections_per_address as u64, 1..=1_000_000),
            ("streams_per_connection", u64::from(self.streams_per_connection), 1..=1_000_000),
            ("streams_per_tenant", u64::from(self.streams_per_tenant), 1..=1_000_000),
            ("header_bytes", u64::from(self.header_bytes), 1_024..=1 << 20),
            ("generate_bytes", self.generate_bytes as u64, 1_024..=16 << 20),
            ("message_bytes", self.message_bytes as u64, 1_024..=4 << 20),
            ("receiving_bytes", self.receiving_bytes as u64, 1_024..=1 << 40),
            ("pending_resets", self.pending_resets as u64, 1..=1_000_000),
            ("empty_frames_per_s", u64::from(self.empty_frames_per_s), 1..=1_000_000_000),
        ];
        for (field, value, range) in counts {
            if !range.contains(&value) {
                let (from, to) = range.into_inner();
                return err(field, format!("{value}, expected {from} to {to}"));
            }
        }
        if self.receiving_bytes / 3 * 2 < self.generate_bytes {
            let (all, least) = (self.receiving_bytes, self.generate_bytes / 2 * 3);
            let why = format!("{all}, expected at least {least}: 1.5 times generate_bytes");
            return err("receiving_bytes", why);
        }
        let times = [
            ("handshake_s", self.handshake_s),
            ("header_s", self.header_s),
            ("body_s", self.body_s),
            ("stall_s", self.stall_s),
            ("idle_s", self.idle_s),
            ("age_s", self.age_s),
            ("age_grace_s", self.age_grace_s),
        ];
        for (field, value) in times {
            if !(1e-3..=1e6).contains(&value) {
                return err(field, format!("{value}, expected 0.001 to 1000000 s"));
            }
        }
        Ok(())
    }
}

/// How many files this process may open. Without an answer, as many as it likes.
fn open_files() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(usize::MAX)
}
