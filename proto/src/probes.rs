//! Health and reflection, which every listener serves.

use crate::{FILE_DESCRIPTOR_SET, transport};
use tonic::transport::server::Router;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::{Builder, Error};

/// A server with health and reflection, to which its own services are added. `pending_resets`: as in
/// [`transport::server`].
pub fn server(pending_resets: usize) -> Result<(HealthReporter, Router), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let server = transport::server(pending_resets)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((reporter, server))
}
