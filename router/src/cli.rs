//! Flags and file to one configuration. Flags win over the file, the file over defaults.

use crate::operate::Admin;
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;
use warmpath_launch::listen::ListenArgs;
use warmpath_launch::settings::{explain_given, read_given, set};
use warmpath_router::RouterConfig;
use warmpath_router::config::ConfigError;
use warmpath_router::public::PrefixEntry;
use warmpath_router::secret::Secret;
use warmpath_router::tenants::TenantEntry;

/// A gRPC router that sends each request to the worker whose KV cache serves it soonest.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Asks or tells a router that runs; without a command, one is served
    Admin(Admin),
}

#[derive(Args, Debug)]
pub struct Serve {
    /// A TOML file; its fields are named like the flags, `workers`, `pools`, `tenants` and
    /// `public_prefixes` are lists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
    /// Where to serve the admin service, a loopback address; without it there is none
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// A worker, `http://host:port`; may be given several times
    #[arg(long = "worker", value_name = "URL")]
    workers: Vec<String>,
    /// A pool that the workers share, `http://host:port`; may be given several times
    #[arg(long = "pool", value_name = "URL")]
    pools: Vec<String>,
    /// The rule by which requests are sent to workers
    #[arg(long)]
    policy: Option<PolicyConfig>,
    /// Rules that draw lots draw others with another seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Model seconds in a second of the wall clock
    #[arg(long, value_name = "X")]
    speedup: Option<f64>,
    /// Tokens a KV block; without it, that of the first worker
    #[arg(long, value_name = "N")]
    block_size: Option<u32>,
    /// The model to serve; without it, that of the first worker
    #[arg(long)]
    model: Option<String>,
    /// Whose requests these are, where the file names no tenants
    #[arg(long)]
    tenant: Option<String>,
    /// Within what KV cache is shared: none, session, tenant, group or all
    #[arg(long, value_name = "SCOPE")]
    sharing: Option<SharingScope>,
    /// Parts this router's blocks from those of routers with another secret
    #[arg(long, env = "WARMPATH_SECRET", hide_env_values = true)]
    secret: Option<Secret>,
    /// Where to write the run down, for replay
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    #[serde(default)]
    insecure_bind: bool,
    #[serde(default)]
    workers: Vec<String>,
    #[serde(default)]
    pools: Vec<String>,
    policy: Option<PolicyConfig>,
    seed: Option<u64>,
    speedup: Option<f64>,
    block_size: Option<u32>,
    model: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    tenants: Vec<TenantEntry>,
    sharing: Option<SharingScope>,
    #[serde(default)]
    public_prefixes: Vec<PrefixEntry>,
    secret: Option<Secret>,
    record: Option<PathBuf>,
    connections_per_worker: Option<usize>,
    drain_timeout_ms: Option<u64>,
    explain_last: Option<usize>,
}

#[derive(Debug)]
pub struct Settings {
    pub config: RouterConfig,
    pub listen: ListenArgs,
    pub admin_listen: Option<SocketAddr>,
}

/// An error is one line that names file, line and field, as far as there are any.
pub fn settings(cli: Serve) -> Result<Settings, String> {
    let (file, text) = read_given::<File>(cli.config.as_deref())?;
    let listen = cli.listen.or(ListenArgs {
        listen: file.listen,
        metrics_listen: file.metrics_listen,
        insecure_bind: file.insecure_bind,
    });
    let workers = if cli.workers.is_empty() { file.workers } else { cli.workers };
    let Some(policy) = cli.policy.or(file.policy) else {
        return Err("policy: missing, expected --policy NAME or one in --config".to_owned());
    };
    let mut config = RouterConfig::new(workers, policy);
    config.pools = if cli.pools.is_empty() { file.pools } else { cli.pools };
    set(&mut config.seed, cli.seed.or(file.seed));
    set(&mut config.speedup, cli.speedup.or(file.speedup));
    let folder = cli.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let explained =
        |error: ConfigError| explain_given(cli.config.as_deref(), &text, &error.field, &error.why);
    config.tenants =
        resolved(file.tenants, |i, entry| entry.resolve(i, folder)).map_err(explained)?;
    let prefixes = resolved(file.public_prefixes, |i, entry| entry.resolve(i, folder));
    config.public_prefixes = prefixes.map_err(explained)?;
    let tenant = cli.tenant.or(file.tenant);
    if tenant.is_some() && !config.tenants.is_empty() {
        return Err("tenant: the file names tenants, expected one or the other".to_owned());
    }
    set(&mut config.tenant, tenant);
    set(&mut config.sharing, cli.sharing.or(file.sharing));
    set(&mut config.connections_per_worker, file.connections_per_worker);
    set(&mut config.drain_timeout_ms, file.drain_timeout_ms);
    set(&mut config.explain_last, file.explain_last);
    config.block_size = cli.block_size.or(file.block_size);
    config.model = cli.model.or(file.model);
    config.secret = cli.secret.or(file.secret);
    config.record = cli.record.or(file.record);
    config.check().map_err(explained)?;
    Ok(Settings { config, listen, admin_listen: cli.admin_listen.or(file.admin_listen) })
}

/// Each entry of a list by its place; the first that can't be ends it.
fn resolved<E, T>(
    entries: Vec<E>,
    each: impl Fn(usize, E) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    entries.into_iter().enumerate().map(|(i, entry)| each(i, entry)).collect()
}
