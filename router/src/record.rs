//! Writes the record of a run, one JSON object per line. The router's lock decides the order; a
//! thread writes. The queue between them is bounded. If it is full, the router waits: a record with
//! a gap is useless.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use warmpath_core::routing::record::{End, Entry, Header};

const QUEUE: usize = 4_096;

#[derive(Debug)]
pub struct RecordSender(SyncSender<Entry>);

impl RecordSender {
    /// Waits while the queue is full.
    pub fn send(&self, entry: Entry) {
        // The writer ends early only by an error, which `RecordWriter::finish` reports.
        let _ = self.0.send(entry);
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct RecordWriter(JoinHandle<io::Result<u64>>);

/// Writes the header; entries follow as they are sent.
pub fn start(path: &Path, header: &Header) -> io::Result<(RecordSender, RecordWriter)> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    write_line(&mut file, header)?;
    let (sender, entries) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("record".to_owned());
    let writer = thread.spawn(move || write(file, &entries))?;
    Ok((RecordSender(sender), RecordWriter(writer)))
}

impl RecordWriter {
    /// Waits for the last entry. Returns the number of entries. Call it after the sender is
    /// dropped.
    pub fn finish(self) -> io::Result<u64> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the record's writer panicked")))
    }
}

fn write(mut file: BufWriter<File>, entries: &Receiver<Entry>) -> io::Result<u64> {
    let mut written = 0;
    for entry in entries {
        write_line(&mut file, &entry)?;
        written += 1;
    }
    write_line(&mut file, &End { end: written })?;
    file.flush()?;
    Ok(written)
}

fn write_line(file: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}
