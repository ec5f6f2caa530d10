//! SMG's contract with a vLLM engine, `vllm.grpc.engine.VllmEngine`, beside vLLM's own.
//!
//! - `service`: the calls.
//! - `ask`: a request as vLLM's own, or refused by the field that cannot be honoured.
//! - `answer`: answers.
//! - `load`: how much there is to do.
//! - `events`: what the worker holds.

mod answer;
mod ask;
mod events;
mod load;
mod service;

pub use service::EngineService;
