//! OTLP's messages and its collector service, generated.

tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
