//! One worker: its number, how to send it requests, how to learn of it, and its standing.

use crate::series::OfWorker;
use crate::source::event::EventSource;
use crate::upstream::Upstream;
use std::sync::atomic::AtomicBool;
use std::sync::{PoisonError, RwLock};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_proto::watched::Watched;

/// A worker's standing with this router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    Joined,
    /// Lost, or not reached yet, and why.
    Away(String),
    /// It does not match this router, and why.
    Refused(String),
    /// Another number is the same worker, and which.
    Same(String),
}

/// Why a worker is away that drained before it left.
pub const LEFT: &str = "it drained and left";

impl Standing {
    /// Why it is not in the fleet. None: it is.
    fn why(&self) -> Option<&str> {
        match self {
            Self::Joined => None,
            Self::Away(why) | Self::Refused(why) | Self::Same(why) => Some(why),
        }
    }

    /// It drained and left. That it cannot be reached since is no news.
    pub fn has_left(&self) -> bool {
        matches!(self, Self::Away(why) if why.starts_with(LEFT))
    }
}

/// What a request that waits for the worker must hear of at once.
#[derive(Debug)]
struct Situation {
    standing: Standing,
    /// The epoch of the process that joined last.
    life: u64,
    /// Requests that the core router gives up here: the worker answers nothing. Seldom any.
    abandoned: Vec<RequestId>,
}

/// Why a request need not wait for its worker any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gone {
    /// The worker left the fleet, or another process took its place, and why.
    Lost(String),
    /// The core router has found the worker silent.
    Silent,
}

/// A worker of this router.
#[derive(Debug)]
pub struct WorkerLink {
    pub id: WorkerId,
    pub url: String,
    /// Its number as a name, such as w3: in metrics, logs and response metadata.
    pub name: String,
    pub upstream: Upstream,
    pub source: Box<dyn EventSource>,
    /// What is counted of it.
    pub series: OfWorker,
    situation: Watched<Situation>,
    given: RwLock<String>,
    /// An operator is removing it. That cannot be undone.
    pub leaving: AtomicBool,
}

impl WorkerLink {
    pub fn new(id: WorkerId, url: &str, upstream: Upstream, source: Box<dyn EventSource>) -> Self {
        let name = id.to_string();
        Self {
            id,
            url: url.to_owned(),
            series: OfWorker::new(&name),
            name,
            upstream,
            source,
            situation: Watched::new(Situation {
                standing: Standing::Away("not reached yet".to_owned()),
                life: 0,
                abandoned: Vec::new(),
            }),
            given: RwLock::default(),
            leaving: AtomicBool::new(false),
        }
    }

    /// The name that the worker gave itself. Empty: none, or it was never reached.
    pub fn given(&self) -> String {
        self.given.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_given(&self, name: String) {
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// How errors and logs call it: its own name where it has one, and its number.
    pub fn title(&self) -> String {
        match self.given().as_str() {
            "" => self.name.clone(),
            given => format!("{given} ({})", self.name),
        }
    }

    /// How errors say which worker it is and where.
    pub fn place(&self) -> String {
        format!("{} ({})", self.title(), self.url)
    }

    pub fn standing(&self) -> Standing {
        self.situation.borrow().standing.clone()
    }

    pub fn set_standing(&self, standing: Standing) {
        self.situation.modify(|situation| situation.standing = standing);
    }

    /// The worker has joined with this epoch.
    pub fn set_joined(&self, epoch: u64) {
        self.situation.modify(|situation| {
            (situation.standing, situation.life) = (Standing::Joined, epoch);
        });
    }

    /// The epoch of the process that joined last. A request that was sent to an earlier one is lost.
    pub fn life(&self) -> u64 {
        self.situation.borrow().life
    }

    /// The core router gives up a request that waits for its first token here.
    pub fn abandon(&self, id: RequestId) {
        self.situation.modify(|situation| situation.abandoned.push(id));
    }

    /// A request does not wait here any more.
    pub fn forget(&self, id: RequestId) {
        if !self.situation.borrow().abandoned.is_empty() {
            self.situation.modify_if(|situation| {
                situation.abandoned.retain(|abandoned| *abandoned != id);
                false
            });
        }
    }

    /// Returns when a request that was sent here in this life need not wait longer. Only the feed shows that an engine is
    /// stuck: the worker still accepts calls, and would hold them for ever.
    pub async fn gone(&self, id: RequestId, life: u64) -> Gone {
        let mut situation = self.situation.watch();
        let is_over = |now: &Situation| {
            now.standing != Standing::Joined || now.life != life || now.abandoned.contains(&id)
        };
        let now = situation.wait_for(is_over).await;
        match now.standing.why() {
            Some(why) => Gone::Lost(why.to_owned()),
            None if now.life != life => Gone::Lost("it has restarted".to_owned()),
            None => Gone::Silent,
        }
    }

    /// Returns the reason when the worker leaves the fleet.
    pub async fn lost(&self) -> String {
        let mut situation = self.situation.watch();
        let is_over = |now: &Situation| now.standing != Standing::Joined;
        let now = situation.wait_for(is_over).await;
        now.standing.why().unwrap_or_default().to_owned()
    }

    /// Ends requests on the worker. A failure is only logged: the worker is then lost, or ends them
    /// itself.
    pub async fn abort(&self, ids: Vec<String>) {
        if let Err(error) = self.upstream.abort(ids).await {
            tracing::debug!(worker = self.name, %error, "abort failed");
        }
    }
}
