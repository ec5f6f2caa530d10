//! One worker: its number, how to send it requests, how to learn of it, and its standing.

use crate::source::event::EventSource;
use crate::upstream::Upstream;
use std::sync::atomic::AtomicBool;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;
use warmpath_core::id::WorkerId;

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
    /// It drained and left. That it cannot be reached since is no news.
    pub fn has_left(&self) -> bool {
        matches!(self, Self::Away(why) if why.starts_with(LEFT))
    }
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
    standing: watch::Sender<Standing>,
    given: RwLock<String>,
    /// An operator is removing it. That cannot be undone.
    pub leaving: AtomicBool,
}

impl WorkerLink {
    pub fn new(id: WorkerId, url: &str, upstream: Upstream, source: Box<dyn EventSource>) -> Self {
        Self {
            id,
            url: url.to_owned(),
            name: id.to_string(),
            upstream,
            source,
            standing: watch::Sender::new(Standing::Away("not reached yet".to_owned())),
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

    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    pub fn set_standing(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    /// Returns the reason when the worker leaves the fleet. Only the feed shows that an engine is
    /// stuck: the worker still accepts calls, and would hold them for ever.
    pub async fn lost(&self) -> String {
        let mut standing = self.standing.subscribe();
        match standing.wait_for(|standing| *standing != Standing::Joined).await.as_deref() {
            Ok(Standing::Away(why) | Standing::Refused(why) | Standing::Same(why)) => why.clone(),
            // The sender is a part of `self`.
            Ok(Standing::Joined) | Err(_) => unreachable!("the sender lives as long as its link"),
        }
    }

    /// Ends requests on the worker. A failure is only logged: the worker is then lost, or ends them
    /// itself.
    pub async fn abort(&self, ids: Vec<String>) {
        if let Err(error) = self.upstream.abort(ids).await {
            tracing::debug!(worker = self.name, %error, "abort failed");
        }
    }
}
