//! `warmpath.v1.Pool`, answered by a worker: peers get blocks from it. The other calls are a
//! pool's.

use super::blocks;
use super::status::of_refusal;
use super::watch::WatchFeed;
use crate::command::Command;
use crate::worker::WorkerState;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use warmpath_proto::convert;
use warmpath_proto::v1::pool_server::Pool;
use warmpath_proto::v1::{
    GetRequest, GetResponse, LookupRequest, LookupResponse, PutRequest, PutResponse, WatchRequest,
};

/// A worker that sends blocks to its peers.
#[derive(Clone, Debug)]
pub struct PeerFetchService(pub Arc<WorkerState>);

#[tonic::async_trait]
impl Pool for PeerFetchService {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let worker = &self.0;
        if worker.config.profile.peers.is_none() {
            return Err(Status::unimplemented(
                "this worker sends no blocks to peers: its profile has no [peers]",
            ));
        }
        worker.refuse_if_draining().map_err(of_refusal)?;
        let run = blocks::wanted(&worker.agreement, request.get_ref())?;
        let checksum = convert::checksum(&run);
        let after = worker.send_off(|reply| Command::ServeFetch { run, reply }).await;
        Ok(Response::new(blocks::sent(checksum, after.map_err(of_refusal)?)))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Err(Status::unimplemented("a worker keeps only blocks that it computed, expected a pool"))
    }

    async fn lookup(&self, _: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        Err(Status::unimplemented("a worker has no lookup, expected WorkerState.Watch"))
    }

    type WatchStream = WatchFeed;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchFeed>, Status> {
        Err(Status::unimplemented("a worker has no Pool.Watch, expected WorkerState.Watch"))
    }
}
