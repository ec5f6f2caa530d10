//! Starting to measure: Prometheus' text for a listener of its own, and for others.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::net::SocketAddr;
use std::time::Duration;

/// How often values that were recorded are added up. Without it they wait for the next look at them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Measures from now on. The handle has the text, which is also served at `address`, if there is one. Call it
/// once in a process, in a tokio runtime.
pub fn install(
    builder: PrometheusBuilder,
    address: Option<SocketAddr>,
) -> Result<PrometheusHandle, BuildError> {
    let Some(address) = address else {
        let handle = builder.install_recorder()?;
        let kept = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                kept.run_upkeep();
            }
        });
        return Ok(handle);
    };
    let (recorder, exporter) = builder.with_http_listener(address).build()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
    tokio::spawn(exporter);
    Ok(handle)
}
