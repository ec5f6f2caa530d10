//! A pool or a peer that may hold blocks, and whether it is asked now.
//!
//! After a call that failed, it is not asked until it has answered a probe. So only the requests
//! that asked before the failure was known wait for it.

use crate::sending::Holds;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use warmpath_core::block::{BlockRun, Chain};
use warmpath_core::engine::FetchError;
use warmpath_core::request::Owner;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::pool::Agreement;
use warmpath_proto::transport::{Dialling, MAX_GENERATE_BYTES};
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::{self, GetRequest, LookupRequest, PutRequest};
use warmpath_proto::{convert, status, transport};

const FIRST_PROBE: Duration = Duration::from_millis(50);
const LAST_PROBE: Duration = Duration::from_secs(1);
/// A pool that does not match is asked again now and then: it may be restarted with other settings.
const REFUSED_PROBE: Duration = Duration::from_secs(5);
/// How long a probe waits for its answer.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// A pool or a peer.
#[derive(Debug)]
pub struct BlockHolder {
    url: String,
    client: PoolClient<Channel>,
    agreement: v1::Agreement,
    away: AtomicBool,
}

impl BlockHolder {
    /// Connects when it is first asked. An error says what is wrong with the URL.
    pub fn new(url: &str, agreement: &Agreement, how: &Dialling) -> Result<Arc<Self>, String> {
        let channel = transport::channel_with(url, how).map_err(|error| error.to_string())?;
        let client = PoolClient::new(channel).max_encoding_message_size(MAX_GENERATE_BYTES);
        let (url, away) = (url.to_owned(), AtomicBool::new(false));
        Ok(Arc::new(Self { url, client, agreement: agreement.to_wire(), away }))
    }

    /// Whether it is not asked now.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// How much it holds of a prompt's first `end` blocks. None: no answer within `limit`.
    pub async fn lookup(
        self: &Arc<Self>,
        prompt: &Chain,
        end: u32,
        limit: Duration,
    ) -> Option<Holds> {
        if self.is_away() {
            return None;
        }
        match self.try_lookup(convert::prompt_to_wire(prompt, end), limit).await {
            Ok(held) => Some(held),
            Err(status) => {
                self.failed(&status);
                None
            }
        }
    }

    async fn try_lookup(&self, hashes: Vec<u8>, limit: Duration) -> Result<Holds, Status> {
        let request = LookupRequest { agreement: Some(self.agreement.clone()), hashes };
        let mut client = self.client.clone();
        let answer = within(limit, client.lookup(request)).await?.into_inner();
        // A rate that is not a number, or below 0, counts as infinitely slow.
        let ns_per_block = answer.ns_per_block;
        let ns_per_block = if ns_per_block >= 0.0 { ns_per_block } else { f64::INFINITY };
        Ok(Holds { blocks: answer.blocks, ns_per_block })
    }

    /// Fetches blocks. Returns the model time until the last byte left, if that was within `limit`.
    pub async fn get(
        self: &Arc<Self>,
        run: &BlockRun,
        limit: Duration,
    ) -> Result<ModelDuration, FetchError> {
        if self.is_away() {
            return Err(FetchError::Gone);
        }
        let blocks = Some(convert::stretch_to_wire(run));
        let request = GetRequest { agreement: Some(self.agreement.clone()), blocks };
        let mut client = self.client.clone();
        match within(limit, client.get(request)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                match answer.checksum == Some(convert::checksum(run)) {
                    true => Ok(ModelDuration::from_nanos(answer.sent_after_ns)),
                    false => Err(FetchError::Corrupt),
                }
            }
            Err(status) => {
                let error = status::to_fetch(&status);
                if matches!(error, FetchError::Gone | FetchError::Late) {
                    self.failed(&status);
                }
                Err(error)
            }
        }
    }

    /// Puts blocks. Returns whether it accepted them.
    pub async fn put(
        self: &Arc<Self>,
        (run, owner): &(BlockRun, Option<Owner>),
        limit: Duration,
    ) -> bool {
        if self.is_away() {
            return false;
        }
        let blocks = Some(convert::stretch_to_wire(run));
        let request = PutRequest {
            agreement: Some(self.agreement.clone()),
            blocks,
            tenant: owner.map(|owner| owner.tenant.0),
            public_blocks: owner.map_or(0, |owner| owner.public_blocks),
        };
        let mut client = self.client.clone();
        let put = within(limit, client.put(request)).await;
        put.inspect_err(|status| self.failed(status)).is_ok()
    }

    /// A call failed: it is not asked until it answers a probe.
    fn failed(self: &Arc<Self>, why: &Status) {
        if !self.away.swap(true, Ordering::Relaxed) {
            let refused = is_refusal(why);
            let why = format!("{}: {}", why.code(), why.message());
            tracing::warn!(source = self.url, why, "not asked until it answers a probe");
            tokio::spawn(probe(Arc::downgrade(self), refused));
        }
    }
}

/// Its blocks are not this worker's: another model, block size, hash scheme or speedup.
fn is_refusal(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = || Status::deadline_exceeded(format!("no answer within {limit:?}"));
    timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
}

/// Asks for an empty prompt until that is answered. Ends when the holder is dropped.
async fn probe(holder: Weak<BlockHolder>, refused: bool) {
    let mut wait = if refused { REFUSED_PROBE } else { FIRST_PROBE };
    loop {
        sleep(wait).await;
        let Some(holder) = holder.upgrade() else { return };
        match holder.try_lookup(Vec::new(), PROBE_LIMIT).await {
            Err(status) if is_refusal(&status) => wait = REFUSED_PROBE,
            Err(status) if status.code() != Code::Unimplemented => {
                wait = (wait * 2).min(LAST_PROBE);
            }
            // A peer answers that it has no look-up. That is an answer.
            _ => {
                holder.away.store(false, Ordering::Relaxed);
                tracing::info!(source = holder.url, "answers again");
                return;
            }
        }
    }
}
