//! vLLM's control calls.

use super::status::of_refusal;
use crate::kv_events::KvEvents;
use crate::worker::WorkerState;
use std::sync::Arc;
use tonic::{Extensions, Status};
use warmpath_proto::control::Controlled;
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::vllm;

/// A worker, as the control calls see it.
#[derive(Clone, Debug)]
pub struct WorkerControl(pub Arc<WorkerState>);

#[tonic::async_trait]
impl Controlled for WorkerControl {
    fn server_info(&self) -> vllm::ServerInfo {
        let profile = &self.0.config.profile;
        let room = profile.hbm_tokens.unwrap_or(u64::MAX);
        vllm::ServerInfo {
            engine_version: concat!("warmpath-worker-sim ", env!("CARGO_PKG_VERSION")).to_owned(),
            instance_id: format!("{}-{}", self.0.config.name, self.0.epoch),
            parallelism: Some(vllm::ParallelismInfo {
                tensor_parallel_size: 1,
                pipeline_parallel_size: 1,
                data_parallel_size: 1,
                world_size: 1,
                data_parallel_size_local: 1,
                ..Default::default()
            }),
            max_model_len: room.min(u64::from(MAX_MODEL_LEN)) as u32,
            kv_block_size: profile.block_size,
            // 0: without limit.
            total_kv_blocks: profile.hbm_blocks().unwrap_or(0),
            max_running_requests: u64::from(profile.max_num_seqs),
            max_batched_tokens: u64::from(profile.max_num_batched_tokens),
            proto_version: vllm::VERSION.to_owned(),
            effective_attention_block_size: Some(u64::from(profile.block_size)),
            ..Default::default()
        }
    }

    fn kv_event_sources(&self) -> Vec<vllm::KvEventSource> {
        self.0.kv_events.iter().map(KvEvents::source).collect()
    }

    fn speedup(&self) -> f64 {
        self.0.config.speedup
    }

    fn model(&self) -> Result<String, Status> {
        Ok(self.0.config.model.clone())
    }

    async fn abort(&self, _: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        self.0.abort(request_ids).map_err(of_refusal)
    }
}
