//! `warmpath.v1.WorkerCache`: what a router asks of the cache on its operator's behalf.

use super::status::of_refusal;
use crate::worker::WorkerState;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use warmpath_proto::v1::worker_cache_server::WorkerCache;
use warmpath_proto::v1::{ResetRequest, ResetResponse};

/// The cache of one worker.
#[derive(Clone, Debug)]
pub struct CacheService(pub Arc<WorkerState>);

#[tonic::async_trait]
impl WorkerCache for CacheService {
    async fn reset(
        &self,
        request: Request<ResetRequest>,
    ) -> Result<Response<ResetResponse>, Status> {
        let done = self.0.reset(request.into_inner().external).await.map_err(of_refusal)?;
        Ok(Response::new(ResetResponse { dropped: done.dropped, held: done.held }))
    }
}
