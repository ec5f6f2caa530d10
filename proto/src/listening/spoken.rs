//! Which HTTP a connection speaks, and what its bytes must keep to.
//!
//! HTTP/2 is read frame by frame. By HTTP/1.1 a request that has begun must become a call in time. What comes
//! while a call is under way is its body, which has a limit of its own.

use super::frames::Frames;
use super::limits::Times;
use super::streams::Calls;
use std::time::Instant;

/// What an HTTP/2 client sends first. No request of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of one connection.
#[derive(Debug)]
pub struct Spoken {
    frames: Frames,
    /// How much of the preface has come. None: it is known what the connection speaks.
    preface: Option<usize>,
    /// Present if that is HTTP/1.1.
    requests: Option<Requests>,
    times: Times,
    opened: Instant,
}

/// Requests by HTTP/1.1, one after the other.
#[derive(Debug, Default)]
struct Requests {
    /// Calls that had begun when the last bytes came.
    calls: u64,
    /// Since when a request has begun that is no call yet.
    since: Option<Instant>,
}

impl Spoken {
    /// `http1`: the listener speaks it too.
    pub fn new(times: Times, empty_frames_per_s: u32, http1: bool, now: Instant) -> Self {
        let frames = Frames::new(times, empty_frames_per_s, now);
        Self { frames, preface: http1.then_some(0), requests: None, times, opened: now }
    }

    /// These bytes came, after so many parts of answers were sent since the last call. An error is the
    /// reason to end the connection.
    pub fn read(
        &mut self,
        bytes: &[u8],
        answers: u64,
        calls: &Calls,
        now: Instant,
    ) -> Result<(), &'static str> {
        if let Some(have) = self.preface {
            let rest = &PREFACE[have..];
            let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let differs = same < rest.len().min(bytes.len());
            self.preface = (!differs && same < rest.len()).then_some(have + same);
            self.requests = differs.then(Requests::default);
        }
        match &mut self.requests {
            None => self.frames.read(bytes, answers, now),
            Some(requests) => {
                requests.read(calls, now);
                Ok(())
            }
        }
    }

    /// When the connection ends if nothing more comes, and why.
    pub fn deadline(&self, calls: &Calls) -> Option<(Instant, &'static str)> {
        let Some(requests) = &self.requests else { return self.frames.deadline() };
        let since = requests.since.filter(|_| calls.begun() == requests.calls);
        match calls.begun() {
            // A slow first request is both; the connection's own limit is the shorter story.
            0 => Some((self.opened + self.times.handshake, "handshake")),
            _ => since.map(|since| (since + self.times.header, "header")),
        }
    }
}

impl Requests {
    fn read(&mut self, calls: &Calls, now: Instant) {
        let begun = calls.begun();
        let new = std::mem::replace(&mut self.calls, begun) != begun;
        self.since = match calls.idle_since() {
            None => None,
            Some(_) if new => Some(now),
            Some(_) => self.since.or(Some(now)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::Limits;
    use std::time::Duration;

    fn spoken(now: Instant) -> Spoken {
        Spoken::new(Limits::PUBLIC.times.unwrap(), 2_000, true, now)
    }

    #[test]
    fn http2_is_known_by_its_preface_however_it_comes() {
        let (now, calls) = (Instant::now(), Calls::new());
        for size in [1, 7, 24] {
            let mut spoken = spoken(now);
            for part in PREFACE.chunks(size) {
                spoken.read(part, 0, &calls, now).unwrap();
            }
            assert!(spoken.requests.is_none() && spoken.preface.is_none());
            // A frame's head that never ends.
            spoken.read(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0], 0, &calls, now).unwrap();
            assert_eq!(spoken.deadline(&calls), Some((now + Duration::from_secs(10), "header")));
        }
    }

    #[test]
    fn a_request_by_http1_must_become_a_call_in_time() {
        let (now, calls) = (Instant::now(), Calls::new());
        let later = |s| now + Duration::from_secs(s);
        let mut spoken = spoken(now);
        spoken.read(b"PRI", 0, &calls, now).unwrap();
        spoken.read(b"X /", 0, &calls, later(1)).unwrap();
        assert_eq!(spoken.deadline(&calls), Some((later(10), "handshake")));
        let call = calls.begin();
        assert_eq!(spoken.deadline(&calls), None, "its body may take its time");
        spoken.read(b"body", 0, &calls, later(20)).unwrap();
        assert_eq!(spoken.deadline(&calls), None);
        drop(call);
        assert_eq!(spoken.deadline(&calls), None, "idle");
        spoken.read(b"POST", 0, &calls, later(30)).unwrap();
        spoken.read(b" /x", 0, &calls, later(35)).unwrap();
        assert_eq!(spoken.deadline(&calls), Some((later(40), "header")));
        drop(calls.begin());
        assert_eq!(spoken.deadline(&calls), None);
    }
}
