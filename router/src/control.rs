//! What the router answers to vLLM's control calls: the fleet as one server.

use crate::service::sender;
use crate::shared::Shared;
use std::sync::Arc;
use tonic::{Extensions, Status};
use warmpath_core::routing::input::RejectReason;
use warmpath_proto::control::Controlled;
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::{status, vllm};

#[tonic::async_trait]
impl Controlled for Shared {
    fn server_info(&self) -> vllm::ServerInfo {
        // 0 where any worker's memory has no limit.
        let (blocks, seqs) = self.heart.fleet(|fleet| {
            let infos = || fleet.workers().map(|(_, worker)| &worker.info);
            let blocks: Option<u64> = infos().map(|info| info.total_blocks).sum();
            let seqs: u64 = infos().map(|info| u64::from(info.max_num_seqs)).sum();
            (blocks.unwrap_or(0), seqs)
        });
        let block_size = self.terms.get().map_or(0, |terms| terms.block_size);
        vllm::ServerInfo {
            engine_version: concat!("warmpath-router ", env!("CARGO_PKG_VERSION")).to_owned(),
            instance_id: format!("router-{:x}", self.instance),
            max_model_len: MAX_MODEL_LEN,
            kv_block_size: block_size,
            total_kv_blocks: blocks,
            max_running_requests: seqs,
            proto_version: vllm::VERSION.to_owned(),
            effective_attention_block_size: (block_size > 0).then_some(u64::from(block_size)),
            ..Default::default()
        }
    }

    fn speedup(&self) -> f64 {
        self.config.speedup
    }

    fn model(&self) -> Result<String, Status> {
        let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
        let terms = self.terms.get().ok_or_else(|| status::from_reject(none))?;
        Ok(terms.model.clone())
    }

    /// The worker ends the streams, which says so through the relays. One that is still on its way
    /// to a worker is marked, and ended when it has got there.
    async fn abort(&self, caller: &Extensions, request_ids: &[String]) -> Result<(), Status> {
        let tenant = sender(caller)?.id;
        for name in request_ids {
            // Copied out: no guard of the table is held while waiting.
            let key = (tenant, name.clone());
            let place = self.in_flight.get_mut(&key).map(|mut place| {
                place.aborted = true;
                place.clone()
            });
            if let Some(place) = place
                && let Some(link) = place.link
            {
                Arc::clone(&link).abort(vec![place.upstream_id]).await;
            }
        }
        Ok(())
    }
}
