//! Following one worker: its hello into the fleet, its batches into the index, its reports into the
//! heart.
//!
//! A feed with a gap, or a digest that differs at an equal batch, is watched anew from a snapshot,
//! while the worker goes on serving. A feed that ends or falls silent means that the worker is
//! lost. A worker that does not match is refused and asked again now and then; the router goes on.

use crate::feed::{self, End, FIRST_BACKOFF, MAX_BACKOFF, REFUSED_BACKOFF, SILENCE};
use crate::link::{Link, Standing};
use crate::metrics;
use crate::shared::{Shared, Terms};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::{sleep, timeout};
use warmpath_core::event::WorkerInfo;
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Input;
use warmpath_proto::convert::{self, SnapshotReader};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{self, Hello, WatchRequest};

/// Follows a worker for ever. Dropping it leaves the fleet as it is.
pub async fn follow(shared: Arc<Shared>, link: Arc<Link>) {
    let mut subscriber = Subscriber { shared, link, joined: None, quiet: false };
    let mut backoff = FIRST_BACKOFF;
    loop {
        let before = subscriber.joined;
        let end = subscriber.watch().await;
        if subscriber.joined.is_some() && subscriber.joined != before {
            backoff = FIRST_BACKOFF;
        }
        let wait = match end {
            End::Resync { why, kind } => {
                subscriber.count_resync(&why, kind);
                FIRST_BACKOFF
            }
            End::Refused(why) => {
                subscriber.refuse(why);
                REFUSED_BACKOFF
            }
            End::Lost(why) => {
                subscriber.lose(&why);
                let wait = backoff;
                backoff = (backoff * 2).min(MAX_BACKOFF);
                wait
            }
        };
        sleep(wait).await;
    }
}

#[derive(Debug)]
struct Subscriber {
    shared: Arc<Shared>,
    link: Arc<Link>,
    /// The epoch that the heart knows.
    joined: Option<u64>,
    /// That it can't be reached was said already.
    quiet: bool,
}

impl Subscriber {
    async fn watch(&mut self) -> End {
        match self.try_watch().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_watch(&mut self) -> Result<std::convert::Infallible, End> {
        let mut client = self.link.state();
        let opened = timeout(SILENCE, client.watch(WatchRequest {})).await;
        let opened = opened.map_err(|_| feed::silent())?.map_err(|status| feed::lost(&status))?;
        let mut messages = opened.into_inner();
        let hello = feed::hello(&mut messages).await?;
        let info = self.admit(&hello)?;
        let mut reader = SnapshotReader::new(self.link.id, info.block_size);
        loop {
            match feed::next(&mut messages).await? {
                Message::Hello(_) => return Err(End::Lost("it said hello twice".to_owned())),
                Message::Snapshot(chunk) => {
                    if let Some(snapshot) = reader.push(&chunk)? {
                        self.shared.index_mut().replace(&snapshot)?;
                    }
                }
                Message::Batch(batch) => {
                    let batch = convert::batch_from_wire(self.link.id, info.block_size, &batch)?;
                    metrics::kv_batch(&self.link.name);
                    self.shared.index_mut().apply(&batch)?;
                }
                Message::Load(report) => self.load(&report)?,
                Message::Heartbeat(beat) => {
                    feed::check_heartbeat(&self.shared, self.link.id.into(), &beat)?;
                }
                Message::Draining(_) => {
                    tracing::info!(worker = self.link.name, url = self.link.url, "draining");
                    self.shared.heart.tell(Input::Draining(self.link.id));
                }
            }
        }
    }

    /// Joins the worker, unless it does not match; a new epoch begins anew.
    fn admit(&mut self, hello: &Hello) -> Result<WorkerInfo, End> {
        let info = convert::hello_from_wire(self.link.id, hello)
            .map_err(|error| End::Refused(error.to_string()))?;
        self.check(hello).map_err(End::Refused)?;
        if self.joined == Some(info.epoch) {
            return Ok(info);
        }
        if self.joined.is_some() {
            self.lose("it began a new epoch");
        }
        self.joined = Some(info.epoch);
        self.quiet = false;
        // Before it may be sent requests, which would take it for lost.
        self.link.set_standing(Standing::Joined);
        self.shared.heart.tell(Input::Joined(info.clone()));
        tracing::info!(worker = self.link.name, url = self.link.url, epoch = info.epoch, "joined");
        let (url, before) = (&self.link.url, self.before());
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            let at = status.joined.iter().take_while(|joined| before.contains(joined)).count();
            status.joined.insert(at, url.clone());
        });
        Ok(info)
    }

    /// The URLs of workers with lower numbers.
    fn before(&self) -> Vec<String> {
        let links = self.shared.roster.links().into_iter();
        links.take_while(|link| link.id < self.link.id).map(|link| link.url.clone()).collect()
    }

    fn check(&self, hello: &Hello) -> Result<(), String> {
        feed::check_common(&self.shared, hello)?;
        let config = &self.shared.config;
        let ours = Terms {
            model: config.model.clone().unwrap_or_else(|| hello.model.clone()),
            block_size: config.block_size.unwrap_or(hello.block_size),
        };
        let terms = self.shared.terms.get().unwrap_or(&ours);
        if hello.block_size != terms.block_size {
            let (theirs, ours) = (hello.block_size, terms.block_size);
            return Err(format!("block size is {theirs} tokens, this router's is {ours}"));
        }
        if hello.model != terms.model {
            let (theirs, ours) = (&hello.model, &terms.model);
            return Err(format!("model is '{theirs}', this router's is '{ours}'"));
        }
        // Two first workers may come at once; the slower one is held against the other's terms.
        let agreed = self.shared.terms.get_or_init(|| ours.clone());
        if *agreed == ours { Ok(()) } else { Err(format!("{ours:?}, the fleet has {agreed:?}")) }
    }

    fn load(&self, report: &v1::LoadReport) -> Result<(), End> {
        let report = convert::load_from_wire(self.link.id, report)?;
        let of = (report.epoch, report.seq);
        feed::check_digest(&self.shared, self.link.id.into(), of, report.digest)?;
        self.shared.heart.tell(Input::Load(report));
        Ok(())
    }

    fn count_resync(&self, why: &str, kind: &'static str) {
        self.shared.resyncs.fetch_add(1, Ordering::Relaxed);
        metrics::resync(&self.link.name, kind);
        tracing::warn!(worker = self.link.name, why, "feed is watched anew from a snapshot");
    }

    fn lose(&mut self, why: &str) {
        self.link.set_standing(Standing::Away(why.to_owned()));
        if self.joined.take().is_some() {
            self.forget();
            tracing::warn!(worker = self.link.name, url = self.link.url, why, "lost");
        } else if !std::mem::replace(&mut self.quiet, true) {
            tracing::info!(worker = self.link.name, url = self.link.url, why, "not reached yet");
        }
    }

    fn refuse(&mut self, why: String) {
        self.link.set_standing(Standing::Refused(why.clone()));
        if self.joined.take().is_some() {
            self.forget();
        }
        let url = self.link.url.clone();
        let told = self.shared.status.borrow().refused.contains(&(url.clone(), why.clone()));
        if !told {
            tracing::error!(worker = self.link.name, url, why, "refused");
        }
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| *refused != url);
            status.refused.push((url.clone(), why.clone()));
            status.refused.sort();
        });
    }

    fn forget(&self) {
        forget(&self.shared, &self.link);
    }
}

/// The worker is not in the fleet any more, and nothing is known of what it holds.
fn forget(shared: &Shared, link: &Link) {
    let source = SourceId::Worker(link.id);
    shared.heart.tell(Input::Lost(source));
    shared.index_mut().forget(source);
    shared.publish(|status| status.joined.retain(|joined| *joined != link.url));
}

/// For a worker that nobody follows any more and nobody will.
pub fn strike_out(shared: &Shared, link: &Link) {
    forget(shared, link);
    shared.heart.tell(Input::Undrained(link.id));
    shared.publish(|status| status.refused.retain(|(refused, _)| *refused != link.url));
    tracing::info!(worker = link.name, url = link.url, "removed");
}
