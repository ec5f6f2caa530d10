//! A source's feed as messages, and the reasons for which following it comes to an end. Workers and
//! pools speak alike.

use crate::shared::{Shared, Terms};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Streaming;
use warmpath_core::event::Digest;
use warmpath_core::id::SourceId;
use warmpath_core::routing::index::SequenceGap;
use warmpath_proto::HASH_SCHEME;
use warmpath_proto::convert::DecodeError;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{Heartbeat, Hello, WatchResponse};

/// Without any message for so long, a source counts as lost. Heartbeats come each 250 ms.
pub const SILENCE: Duration = Duration::from_secs(2);

/// Why a watch came to its end.
#[derive(Debug)]
pub enum End {
    /// The feed can't be trusted; a snapshot can.
    Resync {
        why: String,
        kind: &'static str,
    },
    Refused(String),
    Lost(String),
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        Self::Resync { why: error.to_string(), kind: "decode" }
    }
}

impl From<SequenceGap> for End {
    fn from(error: SequenceGap) -> Self {
        Self::Resync { why: error.to_string(), kind: "gap" }
    }
}

/// What a source says first.
pub async fn hello(feed: &mut Streaming<WatchResponse>) -> Result<Hello, End> {
    match next(feed).await? {
        Message::Hello(hello) => Ok(hello),
        _ => Err(End::Lost("its feed did not begin with a hello".to_owned())),
    }
}

pub async fn next(feed: &mut Streaming<WatchResponse>) -> Result<Message, End> {
    let message = timeout(SILENCE, feed.message()).await.map_err(|_| silent())?;
    match message {
        Ok(Some(response)) => {
            response.message.ok_or(DecodeError::Missing { field: "message" }.into())
        }
        Ok(None) => Err(End::Lost("its feed ended".to_owned())),
        // It cut us off for being slow, and says so with ABORTED.
        Err(status) if status.code() == tonic::Code::Aborted => {
            Err(End::Resync { why: status.message().to_owned(), kind: "lag" })
        }
        Err(status) => Err(lost(&status)),
    }
}

pub fn silent() -> End {
    End::Lost(format!("no message for {} s", SILENCE.as_secs()))
}

pub fn lost(status: &tonic::Status) -> End {
    End::Lost(status.message().to_owned())
}

/// Whether a hello's blocks are named as this router names them, at the pace that it keeps.
pub fn check_common(shared: &Shared, hello: &Hello) -> Result<(), String> {
    if hello.hash_scheme != HASH_SCHEME {
        let theirs = &hello.hash_scheme;
        return Err(format!("hash scheme is '{theirs}', this router's is '{HASH_SCHEME}'"));
    }
    let ours = shared.config.speedup;
    if hello.speedup != ours {
        return Err(format!("speedup is {}, this router's is {ours}", hello.speedup));
    }
    Ok(())
}

/// Whether a hello's blocks are those that the fleet has agreed about.
pub fn check_terms(hello: &Hello, terms: &Terms) -> Result<(), String> {
    if hello.block_size != terms.block_size {
        let (theirs, ours) = (hello.block_size, terms.block_size);
        return Err(format!("block size is {theirs} tokens, this router's is {ours}"));
    }
    if hello.model != terms.model {
        let (theirs, ours) = (&hello.model, &terms.model);
        return Err(format!("model is '{theirs}', this router's is '{ours}'"));
    }
    Ok(())
}

/// Whether the index has come as far as its source says.
pub fn check_heartbeat(shared: &Shared, source: SourceId, beat: &Heartbeat) -> Result<(), End> {
    let at = shared.index().position(source);
    if at == Some((beat.epoch, beat.seq)) {
        return Ok(());
    }
    let why = format!("heartbeat of batch {} of epoch {}, index at {at:?}", beat.seq, beat.epoch);
    Err(End::Resync { why, kind: "gap" })
}

/// Whether the index holds what its source held at an instant, if it is at that instant.
pub fn check_digest(
    shared: &Shared,
    source: SourceId,
    of: (u64, u64),
    theirs: Option<Digest>,
) -> Result<(), End> {
    let Some(theirs) = theirs else { return Ok(()) };
    let index = shared.index();
    if index.position(source) != Some(of) {
        return Ok(());
    }
    let ours = index.digest(source);
    if ours != theirs {
        let why = format!("its digest is {theirs:?}, the index has {ours:?}");
        return Err(End::Resync { why, kind: "digest" });
    }
    Ok(())
}
