//! The connections to one worker. Requests spread over several, since one HTTP/2 connection that
//! breaks takes all its streams along; the feed has one of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;
use tonic::transport::{Channel, Error};
use warmpath_core::id::WorkerId;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::transport::{self, MAX_FEED_BYTES, MAX_GENERATE_BYTES};
use warmpath_proto::v1::worker_state_client::WorkerStateClient;
use warmpath_proto::vllm::AbortRequest;
use warmpath_proto::vllm::control_client::ControlClient;

/// How a worker stands with this router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    Joined,
    /// Lost, or not reached yet, and why.
    Away(String),
    Refused(String),
}

#[derive(Debug)]
pub struct Link {
    pub id: WorkerId,
    pub url: String,
    /// As it stands in metrics, logs and response metadata.
    pub name: String,
    requests: Vec<Channel>,
    feed: Channel,
    next: AtomicUsize,
    standing: watch::Sender<Standing>,
    /// It is being removed, which can't be taken back.
    pub leaving: AtomicBool,
}

impl Link {
    /// Connects when first used, and again when broken.
    pub fn new(id: WorkerId, url: &str, connections: usize) -> Result<Self, Error> {
        let requests = (0..connections).map(|_| transport::channel(url)).collect::<Result<_, _>>();
        Ok(Self {
            id,
            url: url.to_owned(),
            name: id.to_string(),
            requests: requests?,
            feed: transport::channel(url)?,
            next: AtomicUsize::new(0),
            standing: watch::Sender::new(Standing::Away("not reached yet".to_owned())),
            leaving: AtomicBool::new(false),
        })
    }

    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    pub fn set_standing(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    /// Returns when the worker is not in the fleet any more, and why. An engine that is stuck shows in
    /// its feed alone: it goes on to accept calls, and would hold them for ever.
    pub async fn lost(&self) -> String {
        let mut standing = self.standing.subscribe();
        match standing.wait_for(|standing| *standing != Standing::Joined).await.as_deref() {
            Ok(Standing::Away(why) | Standing::Refused(why)) => why.clone(),
            // The sender is here.
            Ok(Standing::Joined) | Err(_) => unreachable!("who waits holds the link"),
        }
    }

    /// The next connection's turn.
    pub fn inference(&self) -> InferenceClient<Channel> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.requests.len();
        InferenceClient::new(self.requests[turn].clone())
            .max_decoding_message_size(MAX_GENERATE_BYTES)
            .max_encoding_message_size(MAX_GENERATE_BYTES)
    }

    pub fn state(&self) -> WorkerStateClient<Channel> {
        WorkerStateClient::new(self.feed.clone()).max_decoding_message_size(MAX_FEED_BYTES)
    }

    /// vLLM needs to be told: a stream that is dropped does not stop it.
    pub async fn abort(&self, request_ids: Vec<String>) {
        let mut control = ControlClient::new(self.feed.clone());
        if let Err(error) = control.abort(AbortRequest { request_ids }).await {
            tracing::debug!(worker = self.name, %error, "abort failed");
        }
    }
}
