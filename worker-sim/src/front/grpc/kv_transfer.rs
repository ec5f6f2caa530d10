//! `warmpath.v1.KvTransfer`: decode workers pull the KV of prompts that this worker computed for
//! them.

use super::status::of_refusal;
use crate::command::Command;
use crate::worker::WorkerState;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use warmpath_proto::v1::kv_transfer_server::KvTransfer;
use warmpath_proto::v1::{PullRequest, PullResponse};

/// A worker that holds KV for decode workers.
#[derive(Clone, Debug)]
pub struct KvTransferService(pub Arc<WorkerState>);

#[tonic::async_trait]
impl KvTransfer for KvTransferService {
    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        let worker = &self.0;
        let PullRequest { agreement, engine_id, request_id: name, tokens } = request.into_inner();
        worker.agreement.check(agreement.as_ref())?;
        let ours = &worker.address.engine_id;
        if engine_id != *ours {
            return Err(Status::not_found(format!("engine_id: {engine_id}, expected {ours}")));
        }
        let after = worker.send_off(|reply| Command::SendKv { name, tokens, reply }).await;
        let sent_after_ns = after.map_err(of_refusal)?.as_nanos();
        let bytes = worker.config.profile.kv_transfer_bytes(tokens);
        Ok(Response::new(PullResponse { sent_after_ns, bytes }))
    }
}
