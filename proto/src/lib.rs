//! The gRPC messages of warmpath and vLLM, their conversion to core types, and what all processes
//! need to serve and call them.
//!
//! - [`v1`]: `warmpath.v1`: the feed from a worker to a router, the pool, the KV transfer, what routers
//!   tell each other, and the router's admin service.
//! - [`vllm`]: vLLM's gRPC, between clients and router and between router and workers.
//! - [`engine`]: SMG's contract with a vLLM engine, between SMG and workers.
//! - [`convert`]: feed messages and news of siblings to and from core types.
//! - [`generate`]: the fields of a `GenerateRequest` that are supported or rejected.
//! - [`raw`]: the generate calls as bytes, for a router that passes them on.
//! - [`control`]: vLLM's control calls, as far as a server without weights can answer them.
//! - [`admin`]: explanations and worker states of the admin service.
//! - [`hints`]: where a worker may fetch the blocks of a prompt.
//! - [`tiers`]: where a worker found the blocks of a prompt.
//! - [`scope`]: the sharing scope of a request.
//! - [`transfer`]: the KV transfer from the prefill worker to the decode worker.
//! - [`status`]: core errors as gRPC status codes.
//! - [`clock`]: model time and the wall clock.
//! - [`transport`]: the connections to others. [`listening`]: listeners, their limits, the accept loop.
//! - [`sockets`]: what listeners accept from and connections are made with: TCP, unless a test says otherwise.
//! - [`tls`]: certificates and keys, of listeners and of connections. [`deadline`]: deadlines of calls.
//! - [`measured`]: Prometheus' text, for a listener of its own and for others. [`exposition`]: such a text, read.
//! - [`http_client`]: a client of HTTP/1.1. [`event_stream`]: server-sent events, read.
//! - [`ext_proc`]: Envoy's external processing.
//! - [`probes`]: health and reflection, which every listener has.
//! - [`traces`]: a request's life, sent to a collector. [`trace_context`]: which trace it belongs to.
//! - [`watched`]: values whose changes can be waited for.
//! - [`pool`]: what who sends blocks and who asks for them must agree about.

pub mod admin;
pub mod clock;
pub mod control;
pub mod convert;
pub mod deadline;
pub mod event_stream;
pub mod exposition;
pub mod ext_proc;
pub mod generate;
pub mod hints;
pub mod http_client;
pub mod listening;
pub mod measured;
mod packed;
pub mod pool;
pub mod probes;
pub mod raw;
pub mod scope;
pub mod sockets;
pub mod status;
pub mod tiers;
pub mod tls;
pub mod trace_context;
pub mod traces;
pub mod transfer;
pub mod transport;
pub mod watched;

pub use vllm_proto as vllm;

/// `warmpath.v1`, generated. A hello is large, but a feed has only one.
#[allow(clippy::large_enum_variant)]
pub mod v1 {
    tonic::include_proto!("warmpath.v1");
}

/// SMG's contract with a vLLM engine, generated: `vllm.grpc.engine` and `smg.grpc.common`.
pub mod engine {
    /// The packages, nested as their names are.
    mod packages {
        include!(concat!(env!("OUT_DIR"), "/smg.rs"));
    }

    pub use packages::smg::grpc::common;
    pub use packages::vllm::grpc::engine::*;
}

/// The descriptors of [`engine`], for reflection.
pub const ENGINE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/smg_descriptor.bin"));

/// The descriptors of vLLM's services, for reflection.
pub const VLLM_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/vllm_descriptor.bin"));

/// The descriptors of the [`v1`] services of public listeners.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The descriptors of the router's admin listener.
pub const ADMIN_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptor.bin"));

/// The descriptors of the listener for a router's siblings.
pub const SIBLINGS_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/siblings_descriptor.bin"));

/// The descriptors of the listener for Envoy.
pub const EXT_PROC_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/ext_proc_descriptor.bin"));

/// The name of the block hash. Two processes with different hashes cannot share blocks.
pub const HASH_SCHEME: &str = "warmpath-aes-v2";
