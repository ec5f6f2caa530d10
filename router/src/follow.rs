//! Following a source for ever: its hello, its snapshot and batches into the index, and what is done when
//! that comes to an end. Workers and pools are followed alike.
//!
//! A feed with a gap, or a digest that differs at an equal batch, is watched anew from a snapshot. A
//! feed that ends or falls silent means that its source is lost. A source that does not match is
//! refused and asked again now and then; the router goes on.

use crate::feed::{self, End};
use crate::metrics;
use crate::shared::Shared;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Response, Status, Streaming};
use warmpath_core::id::SourceId;
use warmpath_proto::convert::{self, SnapshotReader};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{Hello, LoadReport, WatchResponse};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
const REFUSED_BACKOFF: Duration = Duration::from_secs(5);

/// Why a source is not followed now.
#[derive(Clone, Copy, Debug)]
pub enum Gone<'a> {
    /// Or not reached yet.
    Lost(&'a str),
    Refused(&'a str),
}

pub trait Source: Send + Sync {
    fn shared(&self) -> &Shared;
    fn id(&self) -> SourceId;
    /// As it stands in metrics and logs.
    fn name(&self) -> &str;
    fn url(&self) -> &str;
    /// Of the life of it that is followed; None: none is.
    fn epoch(&self) -> Option<u64>;
    /// Returns when there is a point in watching it.
    fn ready(&self) -> impl Future<Output = ()> + Send;
    fn watch(
        &self,
    ) -> impl Future<Output = Result<Response<Streaming<WatchResponse>>, Status>> + Send;
    /// Takes it up, unless it does not match, and then says why; another life of it begins anew.
    fn admit(&mut self, hello: &Hello) -> Result<(), String>;
    fn load(&self, report: &LoadReport) -> Result<(), End>;
    fn draining(&self) -> Result<(), End>;
    /// Nothing is known of it any more, whether or not it was followed.
    fn forget(&mut self, why: Gone<'_>);
}

/// Dropping it leaves what is known as it is.
pub async fn follow(mut source: impl Source) {
    let mut backoff = FIRST_BACKOFF;
    // That it can't be reached was said already.
    let mut quiet = false;
    loop {
        source.ready().await;
        let before = source.epoch();
        let Err(end) = read(&mut source).await;
        if source.epoch().is_some() && source.epoch() != before {
            (backoff, quiet) = (FIRST_BACKOFF, false);
        }
        let wait = match end {
            End::Resync { why, kind } => {
                count_resync(&source, &why, kind);
                FIRST_BACKOFF
            }
            End::Refused(why) => {
                source.forget(Gone::Refused(&why));
                refuse(&source, why);
                REFUSED_BACKOFF
            }
            End::Lost(why) => {
                lose(&mut source, &why, &mut quiet);
                let wait = backoff;
                backoff = (backoff * 2).min(MAX_BACKOFF);
                wait
            }
        };
        sleep(wait).await;
    }
}

async fn read(source: &mut impl Source) -> Result<Infallible, End> {
    let opened = timeout(feed::SILENCE, source.watch()).await;
    let opened = opened.map_err(|_| feed::silent())?.map_err(|status| feed::lost(&status))?;
    let mut messages = opened.into_inner();
    let hello = feed::hello(&mut messages).await?;
    source.admit(&hello).map_err(End::Refused)?;
    let (id, block_size) = (source.id(), hello.block_size);
    let mut reader = SnapshotReader::new(id, block_size);
    loop {
        match feed::next(&mut messages).await? {
            Message::Hello(_) => return Err(End::Lost("it said hello twice".to_owned())),
            Message::Snapshot(chunk) => {
                if let Some(snapshot) = reader.push(&chunk)? {
                    source.shared().index_mut().replace(&snapshot)?;
                }
            }
            Message::Batch(batch) => {
                let batch = convert::batch_from_wire(id, block_size, &batch)?;
                metrics::kv_batch(source.name());
                source.shared().index_mut().apply(&batch)?;
            }
            Message::Load(report) => {
                let digest = report.digest.as_ref().map(convert::digest_from_wire);
                feed::check_digest(source.shared(), id, (report.epoch, report.seq), digest)?;
                source.load(&report)?;
            }
            Message::Heartbeat(beat) => feed::check_heartbeat(source.shared(), id, &beat)?,
            Message::Draining(_) => source.draining()?,
        }
    }
}

fn count_resync(source: &impl Source, why: &str, kind: &'static str) {
    source.shared().resyncs.fetch_add(1, Ordering::Relaxed);
    metrics::resync(source.name(), kind);
    tracing::warn!(source = source.name(), why, "feed is watched anew from a snapshot");
}

fn lose(source: &mut impl Source, why: &str, quiet: &mut bool) {
    let was_followed = source.epoch().is_some();
    source.forget(Gone::Lost(why));
    let (name, url) = (source.name(), source.url());
    if was_followed {
        tracing::warn!(source = name, url, why, "lost");
    } else if !std::mem::replace(quiet, true) {
        tracing::info!(source = name, url, why, "not reached yet");
    }
}

/// Says so once, and shows it to whoever looks at the fleet.
fn refuse(source: &impl Source, why: String) {
    let (shared, url) = (source.shared(), source.url().to_owned());
    let told = shared.status.borrow().refused.contains(&(url.clone(), why.clone()));
    if !told {
        tracing::error!(source = source.name(), url, why, "refused");
    }
    shared.publish(|status| {
        status.refused.retain(|(refused, _)| *refused != url);
        status.refused.push((url, why));
        status.refused.sort();
    });
}
