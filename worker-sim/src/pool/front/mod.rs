//! The protocols that workers and routers use with a pool. Each has a file here.

pub mod grpc;
