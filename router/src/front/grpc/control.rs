//! vLLM's control calls. The whole fleet answers as one server.

use super::identify::sender;
use super::status::of_error;
use crate::relay;
use crate::state::RouterState;
use std::sync::Arc;
use tonic::{Extensions, Status};
use warmpath_proto::control::Controlled;
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::vllm;

/// The fleet as one server.
#[derive(Clone, Debug)]
pub struct FleetControl(pub Arc<RouterState>);

#[tonic::async_trait]
impl Controlled for FleetControl {
    fn server_info(&self) -> vllm::ServerInfo {
        let state = &self.0;
        // 0 blocks if any worker's memory has no limit. The longest request is that of the largest
        // worker; 0 before one has joined.
        let (blocks, seqs, tokens) = state.router.fleet(|fleet| {
            let infos = || fleet.workers().map(|(_, worker)| worker.info);
            let blocks: Option<u64> = infos().map(|info| info.total_blocks).sum();
            let seqs: u64 = infos().map(|info| u64::from(info.max_num_seqs)).sum();
            let most = fleet.largest_request().unwrap_or(u64::MAX);
            let tokens = if infos().next().is_none() { 0 } else { most };
            (blocks.unwrap_or(0), seqs, tokens)
        });
        let block_size = state.agreement.terms().map_or(0, |terms| terms.block_size);
        vllm::ServerInfo {
            engine_version: concat!("warmpath-router ", env!("CARGO_PKG_VERSION")).to_owned(),
            instance_id: format!("router-{:x}", state.instance),
            max_model_len: tokens.min(u64::from(MAX_MODEL_LEN)) as u32,
            kv_block_size: block_size,
            total_kv_blocks: blocks,
            max_running_requests: seqs,
            proto_version: vllm::VERSION.to_owned(),
            effective_attention_block_size: (block_size > 0).then_some(u64::from(block_size)),
            ..Default::default()
        }
    }

    fn speedup(&self) -> f64 {
        self.0.config.speedup
    }

    fn model(&self) -> Result<String, Status> {
        let terms = self.0.terms().map_err(|error| of_error(&error))?;
        Ok(terms.model.clone())
    }

    async fn abort(&self, caller: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        relay::abort(&self.0, sender(caller)?.id, request_ids).await;
        Ok(())
    }
}
