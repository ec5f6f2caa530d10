//! A router's side: the published batches of one engine, and the replay of missed ones.

use crate::frames::{self, Numbered, Replayed};
use crate::zmtp::{Kind, Link, LinkError};
use tokio::io::{AsyncRead, AsyncWrite};

/// The most bytes of one batch. A prompt of a million tokens takes some 8 MiB.
pub const MOST_BYTES: usize = 16 << 20;

/// The batches that an engine publishes. What it published before is not sent.
#[derive(Debug)]
pub struct Subscription<S>(Link<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Subscribes to the topics that begin with `topic`.
    pub async fn open(stream: S, topic: &str) -> Result<Self, LinkError> {
        let mut link = Link::open(stream, Kind::Sub, MOST_BYTES).await?;
        let subscribe = [b"\x01", topic.as_bytes()].concat();
        link.send(&[subscribe]).await?;
        Ok(Self(link))
    }

    /// The next batch. Waiting may be given up at any time.
    pub async fn next(&mut self) -> Result<Numbered, LinkError> {
        Ok(frames::read_published(self.0.message().await?)?)
    }
}

/// Asks for batches that were missed.
#[derive(Debug)]
pub struct Replay<S>(Link<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Replay<S> {
    pub async fn open(stream: S) -> Result<Self, LinkError> {
        Link::open(stream, Kind::Dealer, MOST_BYTES).await.map(Self)
    }

    /// Asks for all batches from `start` on.
    pub async fn ask(&mut self, start: u64) -> Result<(), LinkError> {
        self.0.send(&frames::replay_request(start)).await
    }

    /// The next answer. Waiting may be given up at any time.
    pub async fn next(&mut self) -> Result<Replayed, LinkError> {
        Ok(frames::read_replayed(self.0.message().await?)?)
    }
}
