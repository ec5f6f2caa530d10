//! `warmpath.v1.Pool`, answered by a worker: its peers get blocks from it, and no more.

use crate::driver::Command;
use crate::inference::Shared;
use crate::lend;
use crate::state::WatchFeed;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use warmpath_proto::v1::pool_server::Pool;
use warmpath_proto::v1::{
    GetRequest, GetResponse, LookupRequest, LookupResponse, PutRequest, PutResponse, WatchRequest,
};

#[derive(Clone, Debug)]
pub struct Lender(pub Arc<Shared>);

#[tonic::async_trait]
impl Pool for Lender {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        if self.0.config.profile.peers.is_none() {
            return Err(Status::unimplemented(
                "this worker lends nothing: its profile has no [peers]",
            ));
        }
        self.0.refuse_if_draining()?;
        lend::answer(&self.0.agreement, request, |run, reply| {
            self.0.send(Command::Lend { run, reply })
        })
        .await
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Err(Status::unimplemented("a worker keeps what it computes; blocks are put into a pool"))
    }

    async fn lookup(&self, _: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        Err(Status::unimplemented("what a worker holds its router knows, by WorkerState.Watch"))
    }

    type WatchStream = WatchFeed;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchFeed>, Status> {
        Err(Status::unimplemented("a worker is watched by WorkerState.Watch"))
    }
}
