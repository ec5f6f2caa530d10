//! Blocks that are sent to who asked for them: what a pool's process and a worker that lends to its peers
//! have in common.

use std::collections::HashMap;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};
use warmpath_core::block::BlockRun;
use warmpath_core::engine::{FetchError, LoanKey};
use warmpath_core::id::{TransferId, WorkerId};
use warmpath_core::time::{Duration, Instant};
use warmpath_proto::pool::Agreement;
use warmpath_proto::v1::{GetRequest, GetResponse};
use warmpath_proto::{convert, status};

/// Who waits for blocks to leave: after how much model time they had.
pub type Reply = oneshot::Sender<Result<Duration, FetchError>>;

/// Gets whose blocks are being sent.
#[derive(Debug, Default)]
pub struct Sending {
    begun: u64,
    waiting: HashMap<LoanKey, (Instant, Reply)>,
}

impl Sending {
    /// Asks `lend` for the blocks under a key of their own, since those of two who ask might be the
    /// same. Whether they will be sent.
    pub fn begin(
        &mut self,
        now: Instant,
        reply: Reply,
        lend: impl FnOnce(LoanKey) -> Result<(), FetchError>,
    ) -> bool {
        let key = (WorkerId(0), TransferId(self.begun));
        self.begun += 1;
        let lent = lend(key);
        match lent {
            Ok(()) => drop(self.waiting.insert(key, (now, reply))),
            // Whoever asked may have gone away.
            Err(error) => drop(reply.send(Err(error))),
        }
        lent.is_ok()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn end(&mut self, at: Instant, key: LoanKey) {
        if let Some((asked, reply)) = self.waiting.remove(&key) {
            let _ = reply.send(Ok(at.since(asked)));
        }
    }
}

/// Answers a get. `ask` hands it to the heart that times it.
pub async fn answer(
    agreement: &Agreement,
    request: Request<GetRequest>,
    ask: impl FnOnce(BlockRun, Reply) -> Result<(), Status>,
) -> Result<Response<GetResponse>, Status> {
    let request = request.into_inner();
    agreement.check(request.agreement.as_ref())?;
    let run = stretch(agreement, request.blocks.as_ref())?;
    let checksum = Some(convert::checksum(&run));
    let (reply, sent) = oneshot::channel();
    ask(run, reply)?;
    let sent = sent.await.map_err(|_| Status::unavailable("it has stopped"))?;
    let sent_after_ns = sent.map_err(status::from_fetch)?.as_nanos();
    Ok(Response::new(GetResponse { sent_after_ns, checksum }))
}

pub fn stretch(
    agreement: &Agreement,
    blocks: Option<&warmpath_proto::v1::Stretch>,
) -> Result<BlockRun, Status> {
    let blocks = blocks.ok_or_else(|| Status::invalid_argument("blocks: missing"))?;
    convert::stretch_from_wire(agreement.block_size, blocks)
        .map_err(|error| Status::invalid_argument(format!("blocks: {error}")))
}
