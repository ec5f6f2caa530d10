//! What this worker answers to vLLM's control calls.

use crate::driver::Command;
use crate::inference::Shared;
use tonic::{Extensions, Status};
use warmpath_proto::control::Controlled;
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::vllm;

#[tonic::async_trait]
impl Controlled for Shared {
    fn server_info(&self) -> vllm::ServerInfo {
        let profile = &self.config.profile;
        let room = profile.hbm_tokens.unwrap_or(u64::MAX);
        vllm::ServerInfo {
            engine_version: concat!("warmpath-worker-sim ", env!("CARGO_PKG_VERSION")).to_owned(),
            instance_id: format!("{}-{}", self.config.name, self.epoch),
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

    fn speedup(&self) -> f64 {
        self.config.speedup
    }

    fn model(&self) -> Result<String, Status> {
        Ok(self.config.model.clone())
    }

    async fn abort(&self, _: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        for name in request_ids {
            match self.id_of(name) {
                Some(id) => self.send(Command::Abort(id))?,
                // It may have ended with its prompt held for another.
                None => self.send(Command::Release(name.clone()))?,
            }
        }
        Ok(())
    }
}
