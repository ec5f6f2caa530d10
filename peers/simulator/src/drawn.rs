//! Requests that `inference-lab` draws and plays.

use anyhow::{Result, anyhow};
use inference_lab::config::{Config, Deployment, WorkloadConfig};
use inference_lab::simulation::Simulator;

/// Requests a second on each server. The lengths are those of the chat workload that the crate ships.
const RATE: f64 = 4.0;
/// The crate's own description of the model, with the scheduler limits that it ships for it, on two GPUs.
const DEPLOYMENT: &str = r#"
hardware = "h100"
model = "llama-3-70b-fp8"

[parallel]
tp = 2

[scheduler]
max_num_batched_tokens = 8192
max_num_seqs = 100
policy = "fcfs"
enable_chunked_prefill = true
block_size = 16
"#;

/// Requests as they were drawn.
pub struct Drawn {
    /// In seconds.
    pub times: Vec<f64>,
    /// Tokens of prompt and answer.
    pub lengths: Vec<(u32, u32)>,
}

/// Draws the requests and plays them to the last one.
pub fn play(requests: usize, servers: u32) -> Result<Drawn> {
    let text = |error: String| anyhow!("{error}");
    let config = format!(
        r#"
        arrival_pattern = "poisson"
        arrival_rate = {}
        num_requests = {requests}
        seed = 42
        input_len_dist = {{ type = "lognormal", mean = 6.9, std_dev = 0.7 }}
        output_len_dist = {{ type = "lognormal", mean = 5.3, std_dev = 0.8 }}
        "#,
        RATE * f64::from(servers)
    );
    let workload: WorkloadConfig = toml::from_str(&config)?;
    let deployment: Deployment = toml::from_str(DEPLOYMENT)?;
    let mut config = Config::new(deployment, workload);
    config.replicas = servers;
    let mut simulator = Simulator::new(config, None).map_err(text)?;
    simulator.run_with_callback(|_| ()).map_err(text)?;
    let rows = simulator.request_rows().len();
    anyhow::ensure!(rows == requests, "{rows} of {requests} requests were played");
    let lengths = simulator.input_lengths().iter().zip(simulator.output_lengths());
    Ok(Drawn {
        times: simulator.admitted_arrival_times().to_vec(),
        lengths: lengths.map(|(&input, &output)| (input, output)).collect(),
    })
}
