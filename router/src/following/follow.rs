//! The loop that follows one source for ever.
//!
//! - A feed with a gap, or a digest that differs after an equal batch, is opened again for a new
//!   snapshot.
//! - A feed that ends or falls silent means that its worker or pool is lost.
//! - A source that does not match is refused and asked again each 5 s.

use crate::metrics;
use crate::source::event::{
    Announcement, Event, EventSource, FeedEnd, Opened, Told, unless_silent,
};
use crate::state::RouterState;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, SourceId};
use warmpath_core::routing::feed::Backoff;

const REFUSED_BACKOFF: Duration = Duration::from_secs(5);

/// Why a worker or a pool is not followed now.
#[derive(Clone, Copy, Debug)]
pub enum Gone<'a> {
    /// Or not reached yet.
    Lost(&'a str),
    Refused(&'a str),
    /// Another number is the same worker.
    Same(&'a str),
}

/// A worker or a pool, as the loop sees it.
pub trait Followed: Send + Sync {
    fn state(&self) -> &RouterState;
    fn id(&self) -> SourceId;
    /// Its name in metrics and logs.
    fn name(&self) -> &str;
    fn url(&self) -> &str;
    fn source(&self) -> &dyn EventSource;
    /// The epoch that is followed. None: not followed now.
    fn epoch(&self) -> Option<u64>;
    /// Returns when the feed may be opened.
    fn ready(&self) -> impl Future<Output = ()> + Send;
    /// Starts to follow it, or says why it does not match. Another epoch replaces the one before.
    fn admit(&mut self, announcement: Announcement) -> Result<(), FeedEnd>;
    /// Returns the reason when it is not to be followed any more: most workers now have something else,
    /// or a lower number is the same worker.
    fn misfit(&self) -> impl Future<Output = FeedEnd> + Send + 'static;
    fn load(&self, report: LoadReport);
    /// Takes what is booked on it for a report of its load, and of its requests what it says itself.
    fn booked(&self, of: (u64, u64), blocks_by_tier: [u64; MAX_TIERS], told: Option<Told>);
    fn draining(&self) -> Result<(), FeedEnd>;
    /// Removes everything known of it, whether or not it was followed.
    fn forget(&mut self, why: Gone<'_>);
}

/// Follows for ever. When the task is dropped, what is known stays as it is.
pub async fn follow(mut followed: impl Followed) {
    let mut backoff = Backoff::default();
    // The log says only once that it cannot be reached.
    let mut quiet = false;
    loop {
        followed.ready().await;
        let before = followed.epoch();
        let Err(end) = read(&mut followed).await;
        if followed.epoch().is_some() && followed.epoch() != before {
            backoff.reset();
            quiet = false;
        }
        let wait = match end {
            FeedEnd::Resync { why, kind } => {
                count_resync(&followed, &why, kind);
                Duration::from_millis(Backoff::RESYNC_MS)
            }
            FeedEnd::Refused(why) => {
                followed.forget(Gone::Refused(&why));
                refuse(&followed, why);
                REFUSED_BACKOFF
            }
            FeedEnd::Same(why) => {
                followed.forget(Gone::Same(&why));
                REFUSED_BACKOFF
            }
            FeedEnd::Lost(why) => {
                lose(&mut followed, &why, &mut quiet);
                Duration::from_millis(backoff.lost_ms())
            }
        };
        let mut served = followed.state().agreement.watch();
        served.mark_unchanged();
        // A change of what is served may take it in.
        let _ = timeout(wait, served.changed()).await;
    }
}

async fn read(followed: &mut impl Followed) -> Result<Infallible, FeedEnd> {
    let Opened { announcement, mut events } = followed.source().open().await?;
    followed.admit(announcement)?;
    let mut misfit = pin!(followed.misfit());
    let id = followed.id();
    loop {
        let event = tokio::select! {
            biased;
            event = unless_silent(events.next()) => event?,
            end = &mut misfit => return Err(end),
        };
        let event = event.unwrap_or_else(|| Err(FeedEnd::Lost("its feed ended".to_owned())))?;
        let index = &followed.state().index;
        match event {
            Event::Snapshot(snapshot) => index.write().replace(&snapshot)?,
            Event::Batch(batch) => {
                metrics::kv_batch(followed.name());
                index.write().apply(&batch)?;
            }
            Event::Load(report) => {
                if let Some(digest) = report.digest {
                    index.read().check_digest(id, (report.epoch, report.seq), digest)?;
                }
                followed.load(report);
            }
            Event::Digest { epoch, seq, digest } => {
                index.read().check_digest(id, (epoch, seq), digest)?;
            }
            Event::Heartbeat { epoch, seq } => index.read().check_heartbeat(id, (epoch, seq))?,
            Event::Booked { epoch, seq, blocks_by_tier, told } => {
                followed.booked((epoch, seq), blocks_by_tier, told);
            }
            Event::Draining => followed.draining()?,
            Event::Alive => {}
        }
    }
}

fn count_resync(followed: &impl Followed, why: &str, kind: &'static str) {
    followed.state().resyncs.fetch_add(1, Ordering::Relaxed);
    metrics::resync(followed.name(), kind);
    tracing::warn!(source = followed.name(), why, "the feed is opened again for a new snapshot");
}

fn lose(followed: &mut impl Followed, why: &str, quiet: &mut bool) {
    let was_followed = followed.epoch().is_some();
    followed.forget(Gone::Lost(why));
    let (name, url) = (followed.name(), followed.url());
    if was_followed {
        tracing::warn!(source = name, url, why, "lost");
    } else if !std::mem::replace(quiet, true) {
        tracing::info!(source = name, url, why, "not reached yet");
    }
}

/// Logs a refusal once, and puts it into the fleet's status.
fn refuse(followed: &impl Followed, why: String) {
    let (state, url) = (followed.state(), followed.url().to_owned());
    let told = state.status.borrow().refused.contains(&(url.clone(), why.clone()));
    if !told {
        tracing::error!(source = followed.name(), url, why, "refused");
    }
    state.publish(|status| {
        status.refused.retain(|(refused, _)| *refused != url);
        status.refused.push((url, why));
        status.refused.sort();
    });
}
