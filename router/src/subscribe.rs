//! Following one worker: into the fleet with its hello, its reports to the heart.

use crate::feed::{self, End};
use crate::follow::{self, Gone, Source};
use crate::link::{Link, Standing};
use crate::shared::{Shared, Terms};
use std::sync::Arc;
use tonic::{Response, Status, Streaming};
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Input;
use warmpath_proto::convert;
use warmpath_proto::v1::{self, Hello, WatchRequest, WatchResponse};

/// Follows a worker for ever. Dropping it leaves the fleet as it is.
pub async fn follow(shared: Arc<Shared>, link: Arc<Link>) {
    follow::follow(Subscriber { shared, link, joined: None }).await;
}

#[derive(Debug)]
struct Subscriber {
    shared: Arc<Shared>,
    link: Arc<Link>,
    /// The epoch that the heart knows.
    joined: Option<u64>,
}

impl Source for Subscriber {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn id(&self) -> SourceId {
        self.link.id.into()
    }

    fn name(&self) -> &str {
        &self.link.name
    }

    fn url(&self) -> &str {
        &self.link.url
    }

    fn epoch(&self) -> Option<u64> {
        self.joined
    }

    async fn ready(&self) {}

    async fn watch(&self) -> Result<Response<Streaming<WatchResponse>>, Status> {
        self.link.state().watch(WatchRequest {}).await
    }

    /// Joins the worker, unless it does not match.
    fn admit(&mut self, hello: &Hello) -> Result<(), String> {
        let info = convert::hello_from_wire(self.link.id, hello).map_err(|e| e.to_string())?;
        self.check(hello)?;
        if self.joined == Some(info.epoch) {
            return Ok(());
        }
        let (worker, url, epoch) = (&self.link.name, &self.link.url, info.epoch);
        if self.joined.is_some() {
            let why = "it began a new epoch";
            tracing::warn!(worker, url, why, "lost");
            self.forget(Gone::Lost(why));
        }
        self.joined = Some(epoch);
        // Before it may be sent requests, which would take it for lost.
        self.link.set_standing(Standing::Joined);
        self.shared.heart.tell(Input::Joined(info));
        let (worker, url) = (&self.link.name, &self.link.url);
        tracing::info!(worker, url, epoch, "joined");
        let before = self.before();
        self.shared.publish(|status| {
            status.refused.retain(|(refused, _)| refused != url);
            let at = status.joined.iter().take_while(|joined| before.contains(joined)).count();
            status.joined.insert(at, url.clone());
        });
        Ok(())
    }

    fn load(&self, report: &v1::LoadReport) -> Result<(), End> {
        let report = convert::load_from_wire(self.link.id, report)?;
        self.shared.heart.tell(Input::Load(report));
        Ok(())
    }

    fn draining(&self) -> Result<(), End> {
        tracing::info!(worker = self.link.name, url = self.link.url, "draining");
        self.shared.heart.tell(Input::Draining(self.link.id));
        Ok(())
    }

    fn forget(&mut self, why: Gone<'_>) {
        self.link.set_standing(match why {
            Gone::Lost(why) => Standing::Away(why.to_owned()),
            Gone::Refused(why) => Standing::Refused(why.to_owned()),
        });
        if self.joined.take().is_some() {
            forget(&self.shared, &self.link);
        }
    }
}

impl Subscriber {
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
        feed::check_terms(hello, terms)?;
        // Two first workers may come at once; the slower one is held against the other's terms.
        let agreed = self.shared.terms.get_or_init(|| ours.clone());
        if *agreed == ours { Ok(()) } else { Err(format!("{ours:?}, the fleet has {agreed:?}")) }
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
