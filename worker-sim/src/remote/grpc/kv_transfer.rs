//! `warmpath.v1.KvTransfer`, called by a decode worker.

use crate::recent::{MOST, Recent};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use warmpath_core::engine::FetchError;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::pool::Agreement;
use warmpath_proto::transfer::{Moved, Remote};
use warmpath_proto::transport::Dialling;
use warmpath_proto::v1::kv_transfer_client::KvTransferClient;
use warmpath_proto::v1::{self, PullRequest, PullResponse};
use warmpath_proto::{status, transport};

/// The connections to the prefill workers that were used last.
#[derive(Debug)]
pub struct KvTransfers {
    agreement: v1::Agreement,
    clients: Mutex<Recent<KvTransferClient<Channel>>>,
    /// Without TLS the prefill workers have none either.
    how: Dialling,
}

impl KvTransfers {
    pub fn new(agreement: &Agreement, how: Dialling) -> Self {
        Self { agreement: agreement.to_wire(), clients: Mutex::new(Recent::new(MOST)), how }
    }

    /// Pulls the KV of `tokens` prompt tokens, within `limit`. Returns the model time until the
    /// last byte left, and what came.
    pub async fn pull(
        &self,
        remote: Remote,
        tokens: u32,
        limit: Duration,
    ) -> Result<(ModelDuration, Moved), FetchError> {
        let mut client =
            self.client(&remote.url(self.how.tls.is_some())).ok_or(FetchError::Gone)?;
        let request = PullRequest {
            agreement: Some(self.agreement.clone()),
            engine_id: remote.engine_id,
            request_id: remote.request_id,
            tokens,
        };
        let answer = tokio::time::timeout(limit, client.pull(request));
        let answer = answer.await.map_err(|_| FetchError::Late)?;
        let answer = answer.map_err(|status| {
            tracing::debug!(%status, "a KV transfer failed");
            status::to_fetch(&status)
        })?;
        let PullResponse { sent_after_ns, bytes } = answer.into_inner();
        let moved = Moved { tokens: u64::from(tokens), bytes };
        Ok((ModelDuration::from_nanos(sent_after_ns), moved))
    }

    fn client(&self, url: &str) -> Option<KvTransferClient<Channel>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = || transport::channel_with(url, &self.how);
        let made = clients.get_or_make(url, || channel().map(KvTransferClient::new));
        made.ok().map(|(client, _)| client)
    }
}
