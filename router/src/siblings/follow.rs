//! Following one sibling: what it tells is booked in the core router, for as long as it is there.
//!
//! - After a gap it is followed anew, and told of all that is under way.
//! - When it falls silent, or its feed ends, its requests are forgotten.
//! - One that does not match, or that is this router itself, is asked again each 5 s.

use crate::fleet::siblings::{Sibling, Standing};
use crate::fleet::status::FleetTerms;
use crate::metrics;
use crate::source::event::FeedEnd;
use crate::state::RouterState;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use warmpath_core::id::RequestId;
use warmpath_core::routing::feed::Backoff;
use warmpath_core::routing::input::{Input, News, RouterId};
use warmpath_core::routing::siblings::SILENCE_MS;
use warmpath_proto::convert::{Heard, Numbers, news_from_wire};
use warmpath_proto::transport::MAX_FEED_BYTES;
use warmpath_proto::v1::follow_response::Message;
use warmpath_proto::v1::siblings_client::SiblingsClient;
use warmpath_proto::v1::{self, FollowRequest, FollowResponse, SiblingHello, WorkerRef};

const SILENCE: Duration = Duration::from_millis(SILENCE_MS);
const REFUSED_BACKOFF: Duration = Duration::from_secs(5);
/// Requests that one sibling may have under way. A router that says more is wrong.
const MOST: usize = 65_536;

/// Follows for ever. When the task is dropped, what is known stays as it is.
pub async fn follow(state: Arc<RouterState>, id: RouterId, name: String, channel: Channel) {
    let under_way = BTreeMap::new();
    let mut sibling = Followed { state, id, name, channel, under_way, next: None, epoch: 0 };
    let mut backoff = Backoff::default();
    // The log says only once that it cannot be reached, or why it is not followed.
    let mut told: Option<Standing> = None;
    loop {
        let mut served = sibling.state.agreement.watch();
        drop(served.wait_for(Option::is_some).await);
        let Err(end) = sibling.read(&mut backoff).await;
        let (standing, wait) = match end {
            FeedEnd::Resync { why, kind } => {
                metrics::sibling_gap(kind);
                sibling.change(|sibling| sibling.gaps += 1);
                tracing::warn!(sibling = sibling.name, why, "followed anew");
                told = None;
                tokio::time::sleep(Duration::from_millis(Backoff::RESYNC_MS)).await;
                continue;
            }
            FeedEnd::Refused(why) => (Standing::Refused(why), REFUSED_BACKOFF),
            FeedEnd::Same(why) => (Standing::Same(why), REFUSED_BACKOFF),
            FeedEnd::Lost(why) => (Standing::Lost(why), Duration::from_millis(backoff.lost_ms())),
        };
        let was_followed = sibling.lose(standing.clone());
        let news = told.as_ref().map(|told| told.name().0) != Some(standing.name().0);
        if was_followed || news {
            let (standing, why) = standing.name();
            tracing::info!(sibling = sibling.name, standing, why, "sibling");
        }
        told = Some(standing);
        served.mark_unchanged();
        // A change of what is served may fit.
        let _ = timeout(wait, served.changed()).await;
    }
}

struct Followed {
    state: Arc<RouterState>,
    id: RouterId,
    /// Its address, for logs.
    name: String,
    channel: Channel,
    /// Its requests that have not ended. With a worker: that one is not in this router's fleet.
    under_way: BTreeMap<RequestId, Option<WorkerRef>>,
    /// The number of the next news. None: what is under way is not told yet.
    next: Option<u64>,
    /// The life that is followed.
    epoch: u64,
}

impl Followed {
    async fn read(&mut self, backoff: &mut Backoff) -> Result<Infallible, FeedEnd> {
        let Some(terms) = self.state.agreement.terms() else {
            return Err(FeedEnd::Lost("no worker has joined yet".to_owned()));
        };
        let (hello, mut messages) = self.open().await?;
        self.admit(&hello, &terms)?;
        backoff.reset();
        let mut served = self.state.agreement.watch();
        let mut changed = pin!(async move { served.changed().await });
        loop {
            let next = tokio::select! {
                biased;
                next = timeout(SILENCE, messages.next()) => next,
                () = &mut changed => {
                    return Err(FeedEnd::Lost("this router's fleet changed".to_owned()));
                }
            };
            self.take(message(next.map_err(|_| silent())?)?, terms.block_size)?;
        }
    }

    async fn open(&self) -> Result<(SiblingHello, Streaming<FollowResponse>), FeedEnd> {
        let client = SiblingsClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(MAX_FEED_BYTES);
        let naming = self.state.naming();
        let opened = timeout(SILENCE, client.follow(FollowRequest { naming })).await;
        let opened = opened.map_err(|_| silent())?.map_err(|status| lost(&status))?;
        let mut messages = opened.into_inner();
        let first = timeout(SILENCE, messages.next()).await.map_err(|_| silent())?;
        let Message::Hello(hello) = message(first)? else {
            return Err(FeedEnd::Lost("its feed did not begin with a hello".to_owned()));
        };
        Ok((hello, messages))
    }

    /// Checks that it is another router, and one that matches.
    fn admit(&mut self, hello: &SiblingHello, ours: &FleetTerms) -> Result<(), FeedEnd> {
        let state = &self.state;
        if hello.epoch == state.instance {
            return Err(FeedEnd::Same("this router itself".to_owned()));
        }
        let theirs = FleetTerms { model: hello.model.clone(), block_size: hello.block_size };
        if let Some(why) = theirs.difference(ours) {
            return Err(FeedEnd::Refused(why));
        }
        let (theirs, ours) = (hello.speedup, state.config.speedup);
        if theirs != ours {
            let why = format!("speedup is {theirs}, this router's is {ours}");
            return Err(FeedEnd::Refused(why));
        }
        state.siblings.claim(self.id, hello.epoch).map_err(FeedEnd::Same)?;
        self.next = None;
        let same_names = hello.naming == state.naming();
        if self.epoch != hello.epoch {
            self.epoch = hello.epoch;
            tracing::info!(sibling = self.name, epoch = hello.epoch, "sibling followed");
            if !same_names {
                let why = "the two differ in secret, sharing scope or hash scheme";
                tracing::warn!(sibling = self.name, why, "only loads are shared");
            }
        }
        self.change(|sibling| {
            (sibling.standing, sibling.same_names) = (Standing::Followed, same_names);
        });
        Ok(())
    }

    fn take(&mut self, message: Message, block_size: u32) -> Result<(), FeedEnd> {
        match message {
            Message::Hello(_) => Err(FeedEnd::Lost("it said hello twice".to_owned())),
            Message::UnderWay(part) => {
                match self.next {
                    // Whatever was under way before is told again.
                    None => self.forget(),
                    Some(next) if next == part.number + 1 => {}
                    Some(next) => return Err(gap(part.number + 1, next)),
                }
                self.next = Some(part.number + 1);
                self.hear(part.news, block_size)
            }
            Message::News(batch) => {
                self.expect(batch.first)?;
                self.next = Some(batch.first + batch.news.len() as u64);
                self.hear(batch.news, block_size)
            }
            Message::Heartbeat(beat) => {
                self.expect(beat.number + 1)?;
                self.look_for_joined()
            }
        }
    }

    fn expect(&self, number: u64) -> Result<(), FeedEnd> {
        match self.next {
            Some(next) if next == number => Ok(()),
            next => Err(gap(number, next.unwrap_or(0))),
        }
    }

    fn hear(&mut self, all: Vec<v1::News>, block_size: u32) -> Result<(), FeedEnd> {
        let count = all.len() as u64;
        metrics::sibling_news("received", count);
        for news in all {
            let heard = news_from_wire((self.epoch, block_size), news, &*self.state);
            let undecodable = |why: String| FeedEnd::Resync { why, kind: "decode" };
            match heard.map_err(|error| undecodable(error.to_string()))? {
                Heard::Elsewhere(id, worker) => {
                    self.under_way.insert(id, Some(worker));
                }
                Heard::News(news) => {
                    let id = news.id();
                    match news {
                        News::Sent { .. } => {
                            self.under_way.insert(id, None);
                        }
                        News::Finished { .. } | News::Cancelled(_) => {
                            self.under_way.remove(&id);
                        }
                        News::PrefillDone(_) | News::FirstToken(_) => {}
                    }
                    self.state.router.tell(Input::Sibling { router: self.id, news });
                }
            }
            if self.under_way.len() > MOST {
                return Err(FeedEnd::Refused(format!("more than {MOST} requests under way")));
            }
        }
        self.change(|sibling| sibling.news += count);
        self.show();
        Ok(())
    }

    /// A worker that joined after a request was sent there: what is under way is told again.
    fn look_for_joined(&self) -> Result<(), FeedEnd> {
        let mut elsewhere = self.under_way.values().flatten();
        let joined = |worker: &WorkerRef| Numbers::worker(&*self.state, worker).is_some();
        match elsewhere.any(joined) {
            true => {
                let why = "a worker of its requests has joined".to_owned();
                Err(FeedEnd::Resync { why, kind: "joined" })
            }
            false => Ok(()),
        }
    }

    /// It is not followed any more. Returns whether it was.
    fn lose(&mut self, standing: Standing) -> bool {
        self.forget();
        self.epoch = 0;
        let mut was_followed = false;
        self.change(|sibling| {
            was_followed = sibling.standing == Standing::Followed;
            (sibling.standing, sibling.epoch) = (standing, None);
        });
        was_followed
    }

    /// Nothing is known of its requests.
    fn forget(&mut self) {
        self.under_way.clear();
        self.state.router.tell(Input::SiblingLost(self.id));
        self.show();
    }

    fn show(&self) {
        let elsewhere = self.under_way.values().flatten().count();
        self.change(|sibling| {
            (sibling.under_way, sibling.elsewhere) = (self.under_way.len(), elsewhere);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Sibling)) {
        self.state.siblings.change(self.id, change);
    }
}

fn gap(got: u64, expected: u64) -> FeedEnd {
    FeedEnd::Resync { why: format!("news {got}, expected {expected}"), kind: "gap" }
}

fn silent() -> FeedEnd {
    FeedEnd::Lost(format!("no message for {} s", SILENCE.as_secs_f64()))
}

fn lost(status: &Status) -> FeedEnd {
    FeedEnd::Lost(status.message().to_owned())
}

fn message(next: Option<Result<FollowResponse, Status>>) -> Result<Message, FeedEnd> {
    match next {
        Some(Ok(FollowResponse { message: Some(message) })) => Ok(message),
        Some(Ok(FollowResponse { message: None })) => {
            let why = "a message without content".to_owned();
            Err(FeedEnd::Resync { why, kind: "decode" })
        }
        None => Err(FeedEnd::Lost("its feed ended".to_owned())),
        // A follower that falls behind is cut with ABORTED.
        Some(Err(status)) if status.code() == Code::Aborted => {
            Err(FeedEnd::Resync { why: status.message().to_owned(), kind: "lag" })
        }
        Some(Err(status)) => Err(lost(&status)),
    }
}
