//! `warmpath.v1.Pool`, answered by a pool.

use crate::feed::QUEUE;
use crate::front::grpc::blocks;
use crate::front::grpc::watch::WatchFeed;
use crate::pool::command::Command;
use crate::turns::Commands;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};
use warmpath_core::id::TenantId;
use warmpath_core::request::Owner;
use warmpath_proto::pool::Agreement;
use warmpath_proto::v1::pool_server::Pool;
use warmpath_proto::v1::{
    GetRequest, GetResponse, LookupRequest, LookupResponse, PutRequest, PutResponse, WatchRequest,
};
use warmpath_proto::{convert, status};

/// One pool.
#[derive(Clone, Debug)]
pub struct PoolService {
    pub agreement: Arc<Agreement>,
    pub commands: Commands<Command>,
    pub draining: Arc<AtomicBool>,
}

impl PoolService {
    fn send(&self, command: Command) -> Result<(), Status> {
        self.commands.send(command).map_err(|_| stopped())
    }

    fn refuse_if_draining(&self) -> Result<(), Status> {
        match self.draining.load(Ordering::Acquire) {
            true => Err(Status::unavailable("the pool is draining")),
            false => Ok(()),
        }
    }
}

fn stopped() -> Status {
    Status::unavailable("the pool has stopped")
}

#[tonic::async_trait]
impl Pool for PoolService {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.refuse_if_draining()?;
        let request = request.into_inner();
        self.agreement.check(request.agreement.as_ref())?;
        let run = blocks::stretch(&self.agreement, request.blocks.as_ref())?;
        let public_blocks = request.public_blocks;
        let owner = |tenant| Owner { tenant: TenantId(tenant), public_blocks };
        self.send(Command::Put(run, request.tenant.map(owner)))?;
        Ok(Response::new(PutResponse {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.refuse_if_draining()?;
        let run = blocks::wanted(&self.agreement, request.get_ref())?;
        let checksum = convert::checksum(&run);
        let (reply, sent) = oneshot::channel();
        self.send(Command::Get { run, reply })?;
        let after = sent.await.map_err(|_| stopped())?.map_err(status::from_fetch)?;
        Ok(Response::new(blocks::sent(checksum, after)))
    }

    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        self.refuse_if_draining()?;
        let request = request.into_inner();
        self.agreement.check(request.agreement.as_ref())?;
        let prompt = convert::prompt_from_wire(self.agreement.block_size, &request.hashes)
            .map_err(|error| Status::invalid_argument(format!("hashes: {error}")))?;
        let (reply, held) = oneshot::channel();
        self.send(Command::Lookup { prompt, reply })?;
        let held = held.await.map_err(|_| stopped())?;
        Ok(Response::new(LookupResponse { blocks: held.blocks, ns_per_block: held.ns_per_block }))
    }

    type WatchStream = WatchFeed;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchFeed>, Status> {
        self.refuse_if_draining()?;
        let (sender, items) = mpsc::channel(QUEUE);
        self.send(Command::Watch(sender))?;
        let Agreement { model, speedup, .. } = &*self.agreement;
        Ok(Response::new(WatchFeed::new(items, model.clone(), *speedup)))
    }
}
