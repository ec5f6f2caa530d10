//! What the client must know about a running router before it sends requests.

use super::identities::Identities;
use crate::files::bad;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};
use warmpath_core::id::TenantId;
use warmpath_proto::control::SPEEDUP;
use warmpath_proto::vllm::GetServerInfoRequest;
use warmpath_proto::vllm::control_client::ControlClient;

/// How long a router may take to answer, and to have a worker.
const START_LIMIT: Duration = Duration::from_secs(5);

/// What a running router reports.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    /// Tokens in a KV block.
    pub block_size: u32,
    /// Model seconds per wall second. None: real engines.
    pub speedup: Option<f64>,
}

/// Asks all routers, which must say the same.
pub async fn targets_of(targets: &[String], identities: &Identities) -> Result<Target> {
    let mut found = None;
    for target in targets {
        let is = target_of(target, identities).await?;
        if found.is_some_and(|before| before != is) {
            let why = "another block size or speedup than the one before it";
            let why = format!("{target} has {why}, expected routers before one fleet");
            return Err(bad(format!("--target: {why}")));
        }
        found = Some(is);
    }
    found.ok_or_else(|| bad("--target: missing, expected http://HOST:PORT".to_owned()))
}

/// Asks a router. One that was just started has no workers yet, so it is asked for a while.
async fn target_of(target: &str, identities: &Identities) -> Result<Target> {
    let begun = Instant::now();
    loop {
        match ask(target, identities).await {
            Ok(fleet) if fleet.block_size > 0 => return Ok(fleet),
            result if begun.elapsed() > START_LIMIT => {
                result?;
                bail!("no worker has joined the router at {target}; its log says why");
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn ask(target: &str, identities: &Identities) -> Result<Target> {
    let mut client = ControlClient::connect(target.to_owned())
        .await
        .with_context(|| format!("cannot reach the router at {target}"))?;
    let info = client
        .get_server_info(identities.sign(TenantId(0), GetServerInfoRequest {}))
        .await
        .with_context(|| format!("{target} does not answer vllm.Control/GetServerInfo"))?;
    let speedup = info.metadata().get(SPEEDUP).and_then(|text| text.to_str().ok()?.parse().ok());
    Ok(Target { block_size: info.get_ref().kv_block_size, speedup })
}
