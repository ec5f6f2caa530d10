//! The rules of the field, on small fleets worked by hand. Each test names the source that it follows.

mod bench;
mod dynamo;
mod dynamo_two_tier;
mod llm_d;
mod mooncake;
