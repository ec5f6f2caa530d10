//! What workers and routers speak with a pool. Each protocol has a file here.

pub mod grpc;
