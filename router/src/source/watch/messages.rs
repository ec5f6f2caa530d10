//! The stream of a watch, from the wire's terms into the core's.

use crate::source::event::{Event, FeedEnd, unless_silent};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Response, Status, Streaming};
use warmpath_core::id::SourceId;
use warmpath_proto::HASH_SCHEME;
use warmpath_proto::convert::{self, DecodeError, SnapshotReader};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{self, Hello, WatchResponse};

/// Opens a watch and reads its hello. The hash scheme is checked here, since only this feed has
/// one.
pub async fn open(
    watch: impl Future<Output = Result<Response<Streaming<WatchResponse>>, Status>>,
) -> Result<(Hello, Streaming<WatchResponse>), FeedEnd> {
    let opened = unless_silent(watch).await?.map_err(|status| lost(&status))?;
    let mut messages = opened.into_inner();
    let first = unless_silent(messages.next()).await?;
    let Message::Hello(hello) = message(first)? else {
        return Err(FeedEnd::Lost("its feed did not begin with a hello".to_owned()));
    };
    Ok((hello, messages))
}

/// Two processes with different hash schemes share no block names.
pub fn check_hash_scheme(hello: &Hello) -> Result<(), FeedEnd> {
    let theirs = &hello.hash_scheme;
    if theirs == HASH_SCHEME {
        return Ok(());
    }
    let why = format!("hash scheme is '{theirs}', this router's is '{HASH_SCHEME}'");
    Err(FeedEnd::Refused(why))
}

/// A name as it is shown: one line, and not longer than a table bears.
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A message that cannot be decoded. A new snapshot repairs it.
fn undecodable(error: &DecodeError) -> FeedEnd {
    FeedEnd::Resync { why: error.to_string(), kind: "decode" }
}

fn lost(status: &Status) -> FeedEnd {
    FeedEnd::Lost(status.message().to_owned())
}

fn message(next: Option<Result<WatchResponse, Status>>) -> Result<Message, FeedEnd> {
    match next {
        Some(Ok(response)) => {
            response.message.ok_or_else(|| undecodable(&DecodeError::Missing { field: "message" }))
        }
        None => Err(FeedEnd::Lost("its feed ended".to_owned())),
        // The source closes the feed of a slow reader with ABORTED.
        Some(Err(status)) if status.code() == Code::Aborted => {
            Err(FeedEnd::Resync { why: status.message().to_owned(), kind: "lag" })
        }
        Some(Err(status)) => Err(lost(&status)),
    }
}

/// The events after the hello.
#[derive(Debug)]
pub struct Messages {
    messages: Streaming<WatchResponse>,
    id: SourceId,
    /// Tokens a block, as the hello said.
    block_size: u32,
    snapshot: SnapshotReader,
}

impl Messages {
    pub fn new(messages: Streaming<WatchResponse>, id: SourceId, block_size: u32) -> Self {
        Self { messages, id, block_size, snapshot: SnapshotReader::new(id, block_size) }
    }

    fn event(&mut self, message: Message) -> Result<Event, FeedEnd> {
        let event = match message {
            Message::Hello(_) => return Err(FeedEnd::Lost("it said hello twice".to_owned())),
            Message::Snapshot(chunk) => {
                self.snapshot.push(&chunk).map(|whole| whole.map_or(Event::Alive, Event::Snapshot))
            }
            Message::Batch(batch) => {
                convert::batch_from_wire(self.id, self.block_size, &batch).map(Event::Batch)
            }
            Message::Load(report) => self.load(&report),
            Message::Heartbeat(beat) => Ok(Event::Heartbeat { epoch: beat.epoch, seq: beat.seq }),
            Message::Draining(_) => Ok(Event::Draining),
        };
        event.map_err(|error| undecodable(&error))
    }

    /// A pool's report counts only for its digest: it takes no requests.
    fn load(&self, report: &v1::LoadReport) -> Result<Event, DecodeError> {
        match self.id {
            SourceId::Worker(worker) => convert::load_from_wire(worker, report).map(Event::Load),
            SourceId::Pool(_) => Ok(report.digest.as_ref().map_or(Event::Alive, |digest| {
                let digest = convert::digest_from_wire(digest);
                Event::Digest { epoch: report.epoch, seq: report.seq, digest }
            })),
        }
    }
}

impl Stream for Messages {
    type Item = Result<Event, FeedEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(Some(message(next).and_then(|message| self.event(message))))
    }
}
