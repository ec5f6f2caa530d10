//! KV transfers to this worker.

use crate::config::WorkerConfig;
use metrics::{Counter, counter, describe_counter};
use warmpath_proto::transfer::Moved;

const BYTES: &str = "warmpath_worker_kv_transfer_bytes_total";
const ENDED: &str = "warmpath_worker_kv_transfers_total";

pub fn describe() {
    describe_counter!(BYTES, "Bytes of KV that came from prefill workers");
    describe_counter!(ENDED, "Prompts that prefill workers computed, by whether their KV came");
}

pub struct KvTransferMetrics {
    bytes: Counter,
    came: Counter,
    failed: Counter,
}

impl KvTransferMetrics {
    pub fn new(config: &WorkerConfig) -> Self {
        let labels = [("model_name", config.model.clone()), ("engine", config.name.clone())];
        let ended = |outcome: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(("outcome", outcome.to_owned()));
            counter!(ENDED, &labels)
        };
        Self { bytes: counter!(BYTES, &labels), came: ended("came"), failed: ended("failed") }
    }

    /// None: its KV did not come.
    pub fn ended(&self, moved: Option<Moved>) {
        match moved {
            Some(moved) => {
                self.bytes.increment(moved.bytes);
                self.came.increment(1);
            }
            None => self.failed.increment(1),
        }
    }
}
