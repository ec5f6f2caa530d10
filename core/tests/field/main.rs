//! The rules of the field, on small fleets worked by hand. Each test names the source that it follows.

mod aibrix_preble;
mod aibrix_prefix_cache;
mod any_fleet;
mod bench;
mod chwbl;
mod dualmap;
mod dynamo;
mod dynamo_two_tier;
mod llm_d;
mod lmetric;
mod lpwl;
mod mooncake;
mod preble;
mod production_stack;
mod sglang_classic;
mod smetric;
mod smg_cache_aware;
mod smg_least_load;
mod vllm_router_kv_aware;
