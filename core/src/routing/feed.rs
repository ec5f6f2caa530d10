//! How long a router waits for a feed, and until it opens one again. The live router takes these as wall time,
//! a simulated one as model time.

/// A source that says nothing for this long counts as lost, in milliseconds: six heartbeats are missing. With
/// what it takes to send a request elsewhere, it stays below two seconds.
pub const SILENCE_MS: u64 = 1_750;
/// How often a source that has nothing to say sends a heartbeat, in milliseconds.
pub const HEARTBEAT_MS: u64 = 250;
/// How often a source at most sends the digest of its blocks, in milliseconds.
pub const DIGEST_MS: u64 = 1_000;

const FIRST_MS: u64 = 50;
const MOST_MS: u64 = 2_000;

/// The time until a feed is opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    next_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next_ms: FIRST_MS }
    }
}

impl Backoff {
    /// After a feed with a gap or a wrong digest, in milliseconds: its source is there.
    pub const RESYNC_MS: u64 = FIRST_MS;

    /// The source was reached.
    pub const fn reset(&mut self) {
        self.next_ms = FIRST_MS;
    }

    /// After a source was lost or not reached, in milliseconds: twice as long as the time before.
    pub fn lost_ms(&mut self) -> u64 {
        let wait = self.next_ms;
        self.next_ms = (wait * 2).min(MOST_MS);
        wait
    }
}
