//! Envoy's external processing, generated.

tonic::include_proto!("envoy.service.ext_proc.v3");
