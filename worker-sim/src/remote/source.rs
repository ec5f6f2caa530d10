//! Somebody who may have blocks, and whether it is worth asking.
//!
//! After a call that failed a source is not asked any more until a probe of its own has been answered.
//! So whatever it does, only those wait for it that asked before that was known.

use crate::pool::Held;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Error};
use tonic::{Code, Status};
use warmpath_core::block::BlockRun;
use warmpath_core::engine::FetchError;
use warmpath_core::request::Owner;
use warmpath_core::time::Duration as ModelDuration;
use warmpath_proto::transport::MAX_GENERATE_BYTES;
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::{self, GetRequest, LookupRequest, PutRequest};
use warmpath_proto::{convert, status, transport};

const FIRST_PROBE: Duration = Duration::from_millis(50);
const LAST_PROBE: Duration = Duration::from_secs(1);
/// One that does not match is asked again now and then: it may be restarted as something else.
const REFUSED_PROBE: Duration = Duration::from_secs(5);
/// How long a probe waits for its answer.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Source {
    url: String,
    client: PoolClient<Channel>,
    agreement: v1::Agreement,
    away: AtomicBool,
}

impl Source {
    /// Connects when first asked.
    pub fn new(url: &str, agreement: v1::Agreement) -> Result<Arc<Self>, Error> {
        let client =
            PoolClient::new(transport::channel(url)?).max_encoding_message_size(MAX_GENERATE_BYTES);
        let (url, away) = (url.to_owned(), AtomicBool::new(false));
        Ok(Arc::new(Self { url, client, agreement, away }))
    }

    /// Whether it is not asked now.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// What it has of a prompt; None if it does not say so within `limit`.
    pub async fn lookup(self: &Arc<Self>, hashes: Vec<u8>, limit: Duration) -> Option<Held> {
        if self.is_away() {
            return None;
        }
        match self.try_lookup(hashes, limit).await {
            Ok(held) => Some(held),
            Err(status) => {
                self.failed(&status);
                None
            }
        }
    }

    async fn try_lookup(&self, hashes: Vec<u8>, limit: Duration) -> Result<Held, Status> {
        let request = LookupRequest { agreement: Some(self.agreement.clone()), hashes };
        let mut client = self.client.clone();
        let answer = within(limit, client.lookup(request)).await?.into_inner();
        // Whatever it says, a rate is a number and not below 0.
        let ns_per_block = answer.ns_per_block;
        let ns_per_block = if ns_per_block >= 0.0 { ns_per_block } else { f64::INFINITY };
        Ok(Held { blocks: answer.blocks, ns_per_block })
    }

    /// Has blocks sent: after how much model time they had left, if they did within `limit`.
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

    /// Whether it took the blocks.
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

    /// It is not asked until a probe is answered.
    fn failed(self: &Arc<Self>, why: &Status) {
        if !self.away.swap(true, Ordering::Relaxed) {
            let refused = is_refusal(why);
            let why = format!("{}: {}", why.code(), why.message());
            tracing::warn!(source = self.url, why, "not asked until it answers a probe");
            tokio::spawn(probe(Arc::downgrade(self), refused));
        }
    }
}

/// It does not mean the same by a block.
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

/// Asks for nothing until that is answered. Ends when nobody uses the source any more.
async fn probe(source: Weak<Source>, refused: bool) {
    let mut wait = if refused { REFUSED_PROBE } else { FIRST_PROBE };
    loop {
        sleep(wait).await;
        let Some(source) = source.upgrade() else { return };
        match source.try_lookup(Vec::new(), PROBE_LIMIT).await {
            Err(status) if is_refusal(&status) => wait = REFUSED_PROBE,
            Err(status) if status.code() != Code::Unimplemented => {
                wait = (wait * 2).min(LAST_PROBE);
            }
            // A peer looks nothing up, and says so.
            _ => {
                source.away.store(false, Ordering::Relaxed);
                tracing::info!(source = source.url, "answers again");
                return;
            }
        }
    }
}
