//! Rules of routers that people deploy, and of published research, each with its authors' defaults.

pub(super) mod aibrix_preble;
pub(super) mod aibrix_prefix_cache;
pub(super) mod dynamo;
mod kv_usage;
mod lowest_qps;
mod preble_times;
pub(super) mod production_stack_kvaware;
pub(super) mod production_stack_loadaware;
pub(super) mod production_stack_prefixaware;
pub(super) mod sglang_classic;
pub(super) mod smg_cache_aware;
pub(super) mod smg_least_load;
mod text_tree;
pub(super) mod vllm_router_kv_aware;
