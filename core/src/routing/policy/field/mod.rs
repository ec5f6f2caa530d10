//! Rules of routers that people deploy, and of published research, each with its authors' defaults.

pub(super) mod dynamo;
pub(super) mod dynamo_two_tier;
pub(super) mod llm_d;
pub(super) mod mooncake;
