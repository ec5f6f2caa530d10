//! The limits of a listener.

use std::sync::Arc;
use std::time::Duration;

/// Hears why a connection was not accepted or was cut: the name of a limit.
pub type Note = Arc<dyn Fn(&'static str) + Send + Sync>;

/// What a listener allows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// The same, from one peer address.
    pub connections_per_address: usize,
    /// Calls under way on one connection.
    pub streams_per_connection: u32,
    /// The metadata of a call, by HTTP/2's count: 32 bytes for each entry beside its name and value.
    pub header_bytes: u32,
    /// The message of a generate call.
    pub generate_bytes: usize,
    /// Any other message.
    pub message_bytes: usize,
    /// Messages that are being received, together. Small ones do not count. One address may have two
    /// thirds of it.
    pub receiving_bytes: usize,
    /// Calls that were cancelled before the listener took them up; one more ends the connection.
    pub pending_resets: usize,
    /// Frames a second that carry nothing, and ten times as many at once; a ping counts as 20. More
    /// end the connection. What an answer may cause does not count.
    pub empty_frames_per_s: u32,
    /// Calls under way that need no token and may last: reflection, and watching health.
    pub probes: usize,
    /// What a client may send of one message before it is read.
    pub stream_window: u32,
    /// The same, of all messages of a connection.
    pub connection_window: u32,
    pub frame_bytes: u32,
    /// None: the peers are the fleet's own processes and may take their time.
    pub times: Option<Times>,
}

/// How long a client may take. These times are of the wall clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Times {
    /// From the connection to its first HTTP/2 frame, TLS included.
    pub handshake: Duration,
    /// For a frame that is no message: the metadata of a call among them.
    pub header: Duration,
    /// For the whole body of a request.
    pub body: Duration,
    /// How long an answer with data may wait for its client to read.
    pub stall: Duration,
    /// A connection without calls.
    pub idle: Duration,
    /// A connection. Its clients are told to open another.
    pub age: Duration,
    /// From then to its end, for the calls under way.
    pub age_grace: Duration,
}

const MIB: usize = 1 << 20;

impl Limits {
    /// For processes of the fleet. h2 ends all streams of a connection if too many small frames wait
    /// unread or too many streams are reset early. So windows are wide, and bursts of cancels are
    /// tolerated.
    pub const FLEET: Self = Self {
        connections: usize::MAX,
        connections_per_address: usize::MAX,
        // The most that HTTP/2 can say.
        streams_per_connection: (1 << 31) - 1,
        header_bytes: 16 << 10,
        generate_bytes: 64 * MIB,
        message_bytes: 64 * MIB,
        receiving_bytes: usize::MAX,
        pending_resets: 100_000,
        empty_frames_per_s: u32::MAX,
        probes: 1 << 20,
        stream_window: 4 << 20,
        connection_window: 64 << 20,
        // Prompts have tens of kilobytes. In frames of the default 16 KiB, each one takes the
        // connection's task several turns.
        frame_bytes: 1 << 20,
        times: None,
    };

    /// For anybody. The windows bound what a client can make the listener hold; answers use the
    /// client's windows.
    pub const PUBLIC: Self = Self {
        connections: 4_096,
        connections_per_address: 512,
        streams_per_connection: 1_024,
        header_bytes: 16 << 10,
        generate_bytes: 16 * MIB,
        message_bytes: MIB / 4,
        receiving_bytes: 24 * MIB,
        pending_resets: 20,
        empty_frames_per_s: 2_000,
        probes: 256,
        stream_window: 64 << 10,
        connection_window: 1 << 20,
        frame_bytes: 64 << 10,
        times: Some(Times::PUBLIC),
    };
}

impl Times {
    /// For anybody.
    pub const PUBLIC: Self = Self {
        handshake: Duration::from_secs(10),
        header: Duration::from_secs(10),
        body: Duration::from_secs(20),
        stall: Duration::from_secs(20),
        idle: Duration::from_secs(300),
        age: Duration::from_secs(1_800),
        age_grace: Duration::from_secs(600),
    };
}
