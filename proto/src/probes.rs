//! Health and reflection, which every listener serves.

use crate::{
    ADMIN_DESCRIPTOR_SET, ENGINE_DESCRIPTOR_SET, EXT_PROC_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET,
    SIBLINGS_DESCRIPTOR_SET, VLLM_DESCRIPTOR_SET,
};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::{Builder, Error};

/// vLLM's services.
pub const VLLM: [&str; 2] = ["vllm.Inference", "vllm.Control"];

/// SMG's contract with an engine.
pub const ENGINE: &str = "vllm.grpc.engine.VllmEngine";

/// The name under which probes ask whether the process lives. It always serves: a process without work to do must
/// not be restarted.
pub const LIVENESS: &str = "liveness";

/// The name under which probes ask whether requests may come. The empty name means the same.
pub const READINESS: &str = "readiness";

/// What a listener serves besides health and reflection. Reflection shows these services only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// A router's, for clients.
    Router,
    /// A router's, for its operator.
    Admin,
    /// A router's, for other routers before its fleet.
    Siblings,
    /// A router's, for Envoy.
    Picker,
    /// A worker's.
    Worker,
    /// A pool's.
    Pool,
}

impl Listener {
    /// The full names of its services.
    pub fn services(self) -> Vec<&'static str> {
        match self {
            Self::Router => VLLM.to_vec(),
            Self::Admin => vec!["warmpath.v1.RouterAdmin"],
            Self::Siblings => vec!["warmpath.v1.Siblings"],
            Self::Picker => vec!["envoy.service.ext_proc.v3.ExternalProcessor"],
            Self::Worker => {
                let own = [
                    "warmpath.v1.WorkerState",
                    "warmpath.v1.WorkerCache",
                    "warmpath.v1.Pool",
                    "warmpath.v1.KvTransfer",
                    ENGINE,
                ];
                [&VLLM[..], &own].concat()
            }
            Self::Pool => vec!["warmpath.v1.Pool"],
        }
    }

    fn descriptors(self) -> Vec<&'static [u8]> {
        match self {
            Self::Router => vec![VLLM_DESCRIPTOR_SET],
            Self::Admin => vec![ADMIN_DESCRIPTOR_SET],
            Self::Siblings => vec![SIBLINGS_DESCRIPTOR_SET],
            Self::Picker => vec![EXT_PROC_DESCRIPTOR_SET],
            Self::Worker => {
                vec![VLLM_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET, ENGINE_DESCRIPTOR_SET]
            }
            Self::Pool => vec![FILE_DESCRIPTOR_SET],
        }
    }
}

/// What the probes of a listener hear from now on: it lives, and requests may come or not.
pub async fn set_ready(reporter: &HealthReporter, listener: Listener, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    for name in ["", READINESS].into_iter().chain(listener.services()) {
        reporter.set_service_status(name, status).await;
    }
}

/// Health and reflection, to which the listener's own services are added.
pub fn routes(listener: Listener) -> Result<(HealthReporter, Routes), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        let mut builder = Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for descriptors in listener.descriptors() {
            builder = builder.register_encoded_file_descriptor_set(descriptors);
        }
        listener.services().into_iter().fold(builder, Builder::with_service_name)
    };
    let routes = Routes::new(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((reporter, routes))
}
