//! The configuration from flags and a file. A flag overrides the file, the file overrides defaults.

use super::PoolConfig;
use clap::{Args, Parser};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_launch::listen::{ListenArgs, TlsArgs};
use warmpath_launch::manual::Manual;
use warmpath_launch::profiles;
use warmpath_launch::settings::{explain_given, read_given, set};
use warmpath_launch::version::VERSION;
use warmpath_proto::tls::ListenerFiles;

/// A context-memory pool that simulated workers share. It simulates the time of each transfer; no
/// KV bytes are sent.
#[derive(Parser, Debug)]
#[command(version = VERSION, args_conflicts_with_subcommands = true, name = "pool")]
pub struct Cli {
    #[command(subcommand)]
    pub about: Option<Manual>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Args, Debug)]
pub struct Serve {
    /// A TOML file. Its fields have the names of the flags, but tokens, gb_s, store_gb_s, eviction
    /// and tenant_quota are in a table [pool], as in a scenario
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// The pool's name in logs and metrics [default: pool]
    #[arg(long)]
    name: Option<String>,
    /// The model of its blocks [default: simulated]
    #[arg(long)]
    model: Option<String>,
    /// The workers' profile, a name or a TOML file; required here or in the settings file. It gives
    /// the block size and each worker's link to the pool
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Tokens per KV block, 1 to 65536 [default: the profile's]
    #[arg(long, value_name = "N")]
    block_size: Option<u32>,
    /// Capacity in tokens; required here or in the settings file
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// Read bandwidth in GB/s, shared by all reads at a time; required here or in the settings file
    #[arg(long, value_name = "X")]
    gb_s: Option<f64>,
    /// Write bandwidth in GB/s; required here or in the settings file
    #[arg(long, value_name = "X")]
    store_gb_s: Option<f64>,
    /// The eviction rule: lru or arc [default: lru]
    #[arg(long, value_name = "RULE", value_parser = eviction)]
    eviction: Option<EvictionRule>,
    /// The share of the capacity that each tenant may keep from eviction by others, above 0 and at
    /// most 1 [default: none]
    #[arg(long, value_name = "SHARE")]
    tenant_quota: Option<f64>,
    /// Model seconds per wall second, 0.001 to 10000 [default: 1]
    #[arg(long, value_name = "X")]
    speedup: Option<f64>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    #[serde(default)]
    insecure_bind: bool,
    tls: Option<ListenerFiles>,
    name: Option<String>,
    model: Option<String>,
    /// A name, or a file relative to the configuration's folder.
    profile: Option<String>,
    block_size: Option<u32>,
    pool: Option<PoolSpec>,
    speedup: Option<f64>,
    heartbeat_ms: Option<u64>,
    digest_interval_ms: Option<u64>,
    drain_timeout_ms: Option<u64>,
}

#[derive(Debug)]
pub struct Settings {
    pub config: PoolConfig,
    pub listen: ListenArgs,
}

/// Merges flags and file. An error is one line; it names the file, the line and the field where it
/// can.
pub fn settings(cli: Serve) -> Result<Settings, String> {
    let (file, text) = read_given::<File>(cli.config.as_deref())?;
    let listen = cli.listen.or(ListenArgs {
        listen: file.listen,
        metrics_listen: file.metrics_listen,
        insecure_bind: file.insecure_bind,
    });
    let beside = cli.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut profile = match (&cli.profile, &file.profile) {
        (Some(name), _) => profiles::load(name, Path::new(""))?,
        (None, Some(name)) => profiles::load(name, beside)?,
        (None, None) => return Err(missing("profile", "--profile NAME or FILE")),
    };
    if let Some(block_size) = cli.block_size.or(file.block_size) {
        profile.set_block_size(block_size);
    }
    let given = file.pool.as_ref();
    let spec = PoolSpec {
        tokens: cli
            .tokens
            .or(given.map(|pool| pool.tokens))
            .ok_or_else(|| missing("tokens", "--tokens N"))?,
        gb_s: cli
            .gb_s
            .or(given.map(|pool| pool.gb_s))
            .ok_or_else(|| missing("gb_s", "--gb-s X"))?,
        store_gb_s: cli
            .store_gb_s
            .or(given.map(|pool| pool.store_gb_s))
            .ok_or_else(|| missing("store_gb_s", "--store-gb-s X"))?,
        eviction: cli.eviction.or(given.map(|pool| pool.eviction)).unwrap_or_default(),
        tenant_quota: cli.tenant_quota.or(given.and_then(|pool| pool.tenant_quota)),
    };
    let mut config = PoolConfig::new(profile, spec);
    set(&mut config.name, cli.name.or(file.name));
    set(&mut config.model, cli.model.or(file.model));
    set(&mut config.speedup, cli.speedup.or(file.speedup));
    set(&mut config.heartbeat_ms, file.heartbeat_ms);
    set(&mut config.digest_interval_ms, file.digest_interval_ms);
    set(&mut config.drain_timeout_ms, file.drain_timeout_ms);
    let flags = cli.tls.tls_cert.zip(cli.tls.tls_key);
    let client_ca = cli.tls.tls_client_ca;
    let flags = flags.map(|(cert, key)| ListenerFiles { cert, key, client_ca });
    config.tls = flags.or(file.tls.map(|files| files.in_folder(beside)));
    config.check().and_then(|()| config.check_files()).map_err(|error| {
        let (field, why) = error.parts();
        explain_given(cli.config.as_deref(), &text, &field, why)
    })?;
    Ok(Settings { config, listen })
}

fn missing(field: &str, flag: &str) -> String {
    format!("{field}: missing, expected {flag} or one in --config")
}

/// The eviction rule with this name, as in files.
fn eviction(name: &str) -> Result<EvictionRule, Error> {
    EvictionRule::deserialize(name.into_deserializer())
}
