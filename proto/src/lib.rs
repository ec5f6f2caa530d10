//! The wire: our own services, vLLM's beside them, and what every process on it shares.
//!
//! - [`v1`]: `warmpath.v1`, what a worker tells a router and what an operator asks of one.
//! - [`vllm`]: vLLM's own gRPC, which clients speak to the router and the router to workers.
//! - [`convert`]: the only place that knows the words of both the wire and the core.
//! - [`generate`]: what of a `GenerateRequest` is honoured, and what is refused.
//! - [`raw`]: the generate calls as bytes, for who only passes them on.
//! - [`control`]: vLLM's control calls, as far as a server without weights can answer them.
//! - [`admin`]: explanations and standings in the words of the router's control surface.
//! - [`hints`]: where a worker might fetch a prompt's blocks.
//! - [`tiers`]: where it found them.
//! - [`scope`]: within what blocks are shared.
//! - [`transfer`]: prompts that one worker computes and another answers.
//! - [`status`]: what the core's errors are called in gRPC.
//! - [`clock`]: model time and the wall clock.
//! - [`transport`]: windows, limits, deadlines and the accept loop.
//! - [`probes`]: health and reflection, which every listener has.
//! - [`pool`]: what who sends blocks and who asks for them must agree about.

pub mod admin;
pub mod clock;
pub mod control;
pub mod convert;
pub mod generate;
pub mod hints;
pub mod pool;
pub mod probes;
pub mod raw;
pub mod scope;
pub mod status;
pub mod tiers;
pub mod transfer;
pub mod transport;

pub use vllm_proto as vllm;
/// At its old path until every crate names it at the new one.
pub use warmpath_launch::settings;

/// `warmpath.v1`, generated.
pub mod v1 {
    tonic::include_proto!("warmpath.v1");
}

/// The descriptors of what public listeners have of [`v1`], for reflection. vLLM's are not among them: its crate does not export
/// them, and its `.proto` files are not copied here.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// Those of the router's admin listener.
pub const ADMIN_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptor.bin"));

/// How blocks are named. Two processes that differ in it share nothing.
pub const HASH_SCHEME: &str = "warmpath-blake3-v1";
