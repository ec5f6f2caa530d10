//! `--capture FILE`: live traffic as a trace that `loadgen` replays. No text and no token gets into the file: a
//! block is a salted hash of its name, and the salt is forgotten with the process.
//!
//! - `row`: a request as a row, and which conversation it continues.
//!
//! A thread writes. The queue to it is bounded. If it is full a row is lost and counted: traffic does not wait for a
//! disk.

mod row;

use crate::call::Ids;
use crate::metrics::{self, Row as Outcome};
use row::{Rows, Salt};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use warmpath_core::block::{ScopePlan, TokenBlocks};
use warmpath_core::time::Instant;
use warmpath_proto::clock::{ModelClock, now, since};

const QUEUE: usize = 1_024;
/// How long a row may stay in memory.
const FLUSH: Duration = Duration::from_secs(1);

/// A request that is over.
#[derive(Debug)]
struct Over {
    arrived: Instant,
    ended: Instant,
    /// The number of the client's session.
    session: Option<u64>,
    priority: i32,
    prompt: Vec<u32>,
    blocks: TokenBlocks,
    /// Names the blocks of what comes after the prompt.
    plan: ScopePlan,
    answer: Vec<u32>,
    /// Tokens of the answer, also of those whose ids are not known.
    answer_tokens: u32,
    /// The most that the client asked for.
    asked: u32,
}

/// Where requests are handed in.
#[derive(Clone, Debug)]
pub struct Capture {
    /// None: the router ends.
    sender: SyncSender<Option<Over>>,
    clock: ModelClock,
}

/// The thread that writes.
#[derive(Debug)]
pub struct CaptureWriter(JoinHandle<io::Result<u64>>);

/// Creates the file.
pub fn start(path: &Path, clock: ModelClock) -> io::Result<(Capture, CaptureWriter)> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (sender, over) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("capture".to_owned());
    let writer = thread.spawn(move || write(file, &over, &mut Rows::new(salt())))?;
    Ok((Capture { sender, clock }, CaptureWriter(writer)))
}

/// Keys of the standard library's hash maps are the machine's own randomness.
fn salt() -> Salt {
    let state = RandomState::new();
    let mut salt = Salt::default();
    for (part, number) in salt.chunks_exact_mut(8).zip(0_u64..) {
        part.copy_from_slice(&state.hash_one(number).to_le_bytes());
    }
    salt
}

impl CaptureWriter {
    /// Waits for the last row. Returns the number of rows. What comes later is lost.
    pub fn finish(self, capture: &Capture) -> io::Result<u64> {
        // The writer ends early only by an error, which it gives back.
        let _ = capture.sender.send(None);
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the capture's writer panicked")))
    }
}

fn write(mut file: impl Write, over: &Receiver<Option<Over>>, rows: &mut Rows) -> io::Result<u64> {
    let (mut written, mut flushed) = (0, now());
    loop {
        // A steady traffic never lets the time pass.
        if since(flushed) >= FLUSH {
            file.flush()?;
            flushed = now();
        }
        match over.recv_timeout(FLUSH) {
            Ok(Some(over)) => {
                serde_json::to_writer(&mut file, &rows.row(over))?;
                file.write_all(b"\n")?;
                written += 1;
                metrics::captured(Outcome::Written);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    file.flush()?;
    Ok(written)
}

/// What a request hands in about itself when it is dropped: then it is over, however it ended.
#[derive(Debug)]
pub struct Capturing {
    capture: Capture,
    over: Option<Over>,
}

/// What is known of a request when it comes.
#[derive(Debug)]
pub struct Arrived<'a> {
    pub at: std::time::Instant,
    pub session: Option<u64>,
    pub priority: i32,
    pub prompt: &'a [u32],
    pub asked: u32,
}

impl Capture {
    /// A request arrived. `blocks`: of its prompt; `plan`: how more of them are named.
    pub fn begin(&self, arrived: &Arrived<'_>, blocks: TokenBlocks, plan: ScopePlan) -> Capturing {
        let at = self.clock.at(arrived.at);
        let over = Over {
            arrived: at,
            ended: at,
            session: arrived.session,
            priority: arrived.priority,
            prompt: arrived.prompt.to_vec(),
            blocks,
            plan,
            answer: Vec::new(),
            answer_tokens: 0,
            asked: arrived.asked,
        };
        Capturing { capture: self.clone(), over: Some(over) }
    }
}

impl Capturing {
    /// A part of the answer goes to the client. `ids`: None where they are not known.
    pub fn hand_out(&mut self, tokens: u32, ids: Option<&Ids>) {
        if let Some(over) = &mut self.over {
            over.answer_tokens = over.answer_tokens.saturating_add(tokens);
            over.answer.extend_from_slice(ids.map_or(&[], |ids| &ids[..]));
        }
    }
}

impl Drop for Capturing {
    fn drop(&mut self) {
        let Some(mut over) = self.over.take() else { return };
        over.ended = self.capture.clock.now();
        match self.capture.sender.try_send(Some(over)) {
            Ok(()) => {}
            // The writer ends early only by an error, which is told when the router ends.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                metrics::captured(Outcome::Lost);
            }
        }
    }
}
