//! Rules of routers that people deploy, and of published research, each with its authors' defaults.

pub(super) mod aibrix_preble;
pub(super) mod aibrix_prefix_cache;
pub(super) mod chwbl;
pub(super) mod dualmap;
pub(super) mod dynamo;
pub(super) mod dynamo_two_tier;
mod kv_usage;
pub(super) mod llm_d;
pub(super) mod lmetric;
mod lowest_qps;
pub(super) mod lpwl;
pub(super) mod mooncake;
pub(super) mod preble;
mod preble_times;
pub(super) mod preble_tree;
pub(super) mod production_stack_kvaware;
pub(super) mod production_stack_loadaware;
pub(super) mod production_stack_prefixaware;
pub(super) mod sglang_classic;
pub(super) mod smetric;
pub(super) mod smg_cache_aware;
pub(super) mod smg_least_load;
mod text_tree;
pub(super) mod vllm_router_kv_aware;
