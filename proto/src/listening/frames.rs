//! What the bytes of a client must keep to, whatever is in them: it begins in time, ends what it began in
//! time, and does not send frames without end that carry nothing.
//!
//! h2 bounds the memory that a connection takes, but not the time of a frame that never ends, and answers
//! each ping. This reads the head of each frame and nothing else.

use super::limits::Times;
use std::time::Instant;

/// The bytes that an HTTP/2 client sends first.
const PREFACE: usize = 24;
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What frames that carry nothing cost. A client may save up what it gets in this many seconds, and gets
/// more with each part of an answer: clients ping and update windows as data comes.
const SAVED_S: f64 = 10.0;
const PER_ANSWER: f64 = 20.0;
const CHEAP: f64 = 1.0;
const DEAR: f64 = 20.0;

/// Reads the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    times: Times,
    opened: Instant,
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    /// Bytes that the current frame still has.
    left: usize,
    kind: u8,
    /// The metadata of a call has begun and not ended.
    in_headers: bool,
    /// Since when something other than a message has begun and not ended.
    since: Option<Instant>,
    begun: bool,
    per_second: f64,
    credit: f64,
    at: Instant,
}

impl Frames {
    pub fn new(times: Times, empty_frames_per_s: u32, now: Instant) -> Self {
        let per_second = f64::from(empty_frames_per_s);
        Self {
            times,
            opened: now,
            preface: PREFACE,
            head: [0; HEAD],
            have: 0,
            left: 0,
            kind: DATA,
            in_headers: false,
            since: None,
            begun: false,
            per_second,
            credit: per_second * SAVED_S,
            at: now,
        }
    }

    /// These bytes came, after so many parts of answers were sent since the last call. An error is the
    /// reason to end the connection.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        answers: u64,
        now: Instant,
    ) -> Result<(), &'static str> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        let most = self.per_second * SAVED_S;
        self.credit = (self.credit + gained + answers as f64 * PER_ANSWER).min(most);
        self.at = now;
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                let taken = (HEAD - self.have).min(bytes.len());
                self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have < HEAD {
                    break;
                }
                self.have = 0;
                self.begin_frame()?;
            }
        }
        self.note_open(now);
        Ok(())
    }

    /// A frame's head is here.
    fn begin_frame(&mut self) -> Result<(), &'static str> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        (self.kind, self.begun) = (kind, true);
        let cost = match kind {
            DATA if self.left == 0 && flags & END_STREAM == 0 => CHEAP,
            DATA => 0.0,
            HEADERS => 0.0,
            CONTINUATION | RESET | WINDOW_UPDATE => CHEAP,
            _ => DEAR,
        };
        self.credit -= cost;
        if self.credit < 0.0 {
            return Err("empty_frames");
        }
        if kind == HEADERS || kind == CONTINUATION {
            self.in_headers = flags & END_HEADERS == 0;
        }
        Ok(())
    }

    /// Notes since when something is open. A message may take longer: it has a limit of its own.
    fn note_open(&mut self, now: Instant) {
        let in_frame = self.have > 0 || self.left > 0 && self.kind != DATA;
        self.since = match in_frame || self.in_headers {
            true => self.since.or(Some(now)),
            false => None,
        };
    }

    /// When the connection ends if nothing more comes, and why.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        if !self.begun {
            return Some((self.opened + self.times.handshake, "handshake"));
        }
        self.since.map(|since| (since + self.times.header, "header"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::Limits;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn opened(now: Instant) -> Frames {
        let mut frames = Frames::new(Limits::PUBLIC.times.unwrap(), 2_000, now);
        frames.read(&[0; PREFACE], 0, now).unwrap();
        assert_eq!(frames.deadline().map(|(_, why)| why), Some("handshake"));
        frames.read(&frame(4, 0, &[]), 0, now).unwrap();
        assert_eq!(frames.deadline(), None);
        frames
    }

    #[test]
    fn what_has_begun_must_end_but_messages_may_take_their_time() {
        let now = Instant::now();
        let mut frames = opened(now);
        let bytes =
            [frame(1, 0, &[1, 2, 3]), frame(9, 0, &[]), frame(9, END_HEADERS, &[7])].concat();
        for (i, byte) in bytes.iter().enumerate() {
            frames.read(&[*byte], 0, now + Duration::from_millis(i as u64)).unwrap();
            let due = (now + Duration::from_secs(10), "header");
            assert_eq!(frames.deadline(), (i + 1 < bytes.len()).then_some(due), "byte {i}");
        }
        frames.read(&frame(DATA, 0, &[0; 100])[..50], 0, now).unwrap();
        assert_eq!(frames.deadline(), None);
    }

    #[test]
    fn a_flood_ends_and_what_answers_cause_does_not() {
        let now = Instant::now();
        let (ping, window) = (frame(6, 0, &[0; 8]), frame(WINDOW_UPDATE, 0, &[0; 4]));
        let mut flood = opened(now);
        let sent = (0..).take_while(|_| flood.read(&ping, 0, now).is_ok()).count();
        assert!((900..1_000).contains(&sent), "{sent}");
        let mut good = opened(now);
        for _ in 0..100_000 {
            good.read(&ping, 1, now).unwrap();
        }
        let mut slow = opened(now);
        for i in 0..100_000 {
            slow.read(&window, 0, now + Duration::from_millis(i)).unwrap();
        }
    }
}
