//! The configuration from flags and a file. A flag overrides the file, the file overrides defaults.

use crate::RouterConfig;
use crate::admission::AdmissionConfig;
use crate::config::{ConfigError, Part, QueueConfig, ReliabilityConfig};
use crate::engines::EngineEntry;
use crate::ext_proc_config::ExtProcConfig;
use crate::http_config::HttpConfig;
use crate::limits::ListenerConfig;
use crate::operate::Admin;
use crate::public::PrefixEntry;
use crate::secret::Secret;
use crate::share::{SiblingsConfig, parse_sharing};
use crate::tenants::TenantEntry;
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use warmpath_core::routing::policy::{PolicyConfig, PolicyError};
use warmpath_core::routing::siblings::Sharing;
use warmpath_core::sharing::SharingScope;
use warmpath_launch::listen::{HttpArgs, ListenArgs, OtlpArgs, TlsArgs};
use warmpath_launch::manual::Manual;
use warmpath_launch::settings::{explain_given, read_given, set};
use warmpath_launch::terminal::escaped;
use warmpath_launch::version::VERSION;
use warmpath_proto::tls::{ListenerFiles, UpstreamFiles};
use warmpath_proto::traces::OtlpConfig;

/// A gRPC router that sends each request to the worker whose KV cache serves it soonest.
#[derive(Parser, Debug)]
#[command(version = VERSION, name = "router", args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Queries or controls a running router
    Admin(Admin),
    #[command(flatten)]
    Manual(Manual),
}

#[derive(Args, Debug)]
pub struct Serve {
    /// A TOML file. Its fields have the names of the flags; `workers`, `workers_at`, `pools`, `tenants`
    /// and `public_prefixes` are lists, `queue`, `reliability`, `admission`, `listener`, `http`, `siblings`,
    /// `tls`, `admin_tls`, `upstream_tls`, `otlp` and `ext_proc` are tables (docs/reference/router.md)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    otlp: OtlpArgs,
    /// Serves Envoy as an endpoint picker (ext_proc) at this address: loopback, or any with --insecure-bind; no picker
    /// without it
    #[arg(long, value_name = "ADDRESS")]
    ext_proc_listen: Option<SocketAddr>,
    /// The port at which workers serve OpenAI's HTTP, for Envoy [default: 8000]
    #[arg(long, value_name = "PORT")]
    ext_proc_port: Option<u16>,
    /// The address of the admin service: loopback, or any with [admin_tls]; no admin service without it
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// A worker, `http://host:port`, or `https://` with [upstream_tls]; required here or in the file;
    /// repeat the flag for more
    #[arg(long = "worker", value_name = "URL")]
    workers: Vec<String>,
    /// Workers that are found by a name: each address of the host is one, looked up each 5 s;
    /// `http://host:port`; repeat the flag for more
    #[arg(long = "workers-at", value_name = "URL")]
    workers_at: Vec<String>,
    /// A pool that the workers share, `http://host:port`; repeat the flag for more
    #[arg(long = "pool", value_name = "URL")]
    pools: Vec<String>,
    /// Another router before the fleet, where it listens for its siblings: `http://host:port`. Each address of
    /// the host is a router; repeat the flag for more
    #[arg(long = "sibling", value_name = "URL")]
    siblings: Vec<String>,
    /// The address at which other routers before the fleet learn what this one sends: loopback, or any with
    /// [siblings.tls] or --insecure-bind; without it they learn nothing
    #[arg(long, value_name = "ADDRESS")]
    siblings_listen: Option<SocketAddr>,
    /// How this router learns what others send to its fleet: nothing, load-reports or bookings [default:
    /// bookings with --sibling or --siblings-listen, else nothing]
    #[arg(long, value_name = "HOW", value_parser = parse_sharing)]
    siblings_share: Option<Sharing>,
    /// The routing policy, required here or in the file: NAME or 'NAME(key=value,key=value)'.
    /// `loadgen policies` lists them
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// A rule to ask about each request beside the policy, spelled like it; repeat the flag for more.
    /// `router admin shadows` says how they differ
    #[arg(long = "shadow", value_name = "POLICY")]
    shadows: Vec<String>,
    /// How many requests may wait for a worker with room, 0 to 1000000 [default: 1024]
    #[arg(long, value_name = "N")]
    queue_requests: Option<u32>,
    /// How many prompt tokens the waiting requests may have in total [default: 16777216]
    #[arg(long, value_name = "N")]
    queue_prompt_tokens: Option<u64>,
    /// The longest wait of one request, in model seconds, 0.001 to 86400 [default: 60]
    #[arg(long, value_name = "SECONDS")]
    queue_longest_wait_s: Option<f64>,
    /// Seed for policies that choose at random [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Model seconds per wall second, 0.001 to 10000 [default: 1]
    #[arg(long, value_name = "X")]
    speedup: Option<f64>,
    /// Tokens per KV block, 1 to 65536 [default: that of most workers]
    #[arg(long, value_name = "N")]
    block_size: Option<u32>,
    /// The model to serve [default: that of most workers]
    #[arg(long)]
    model: Option<String>,
    /// The tenant of all requests, if the file names no tenants [default: default]
    #[arg(long)]
    tenant: Option<String>,
    /// The scope in which KV cache is shared: none, session, tenant, group or all [default: tenant]
    #[arg(long, value_name = "SCOPE")]
    sharing: Option<SharingScope>,
    /// A key for block names, required if the file names tenants. Routers with different secrets
    /// share no blocks
    #[arg(long, env = "WARMPATH_SECRET", hide_env_values = true)]
    secret: Option<Secret>,
    /// How many decisions are kept for `explain`, 0 to 65536 [default: 256]
    #[arg(long, value_name = "N")]
    explain_last: Option<usize>,
    /// Writes inputs and decisions to this file (JSONL), for `loadgen replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Writes the traffic to this file as a trace without texts (JSONL), for `loadgen --trace`
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    http_listen: Option<SocketAddr>,
    #[serde(default)]
    insecure_bind: bool,
    #[serde(default)]
    workers: Vec<String>,
    #[serde(default)]
    workers_at: Vec<String>,
    #[serde(default)]
    worker: Vec<EngineEntry>,
    #[serde(default)]
    pools: Vec<String>,
    policy: Option<PolicyConfig>,
    #[serde(default)]
    shadow: Vec<PolicyConfig>,
    #[serde(default)]
    queue: QueueConfig,
    #[serde(default)]
    reliability: ReliabilityConfig,
    #[serde(default)]
    admission: Part<AdmissionConfig>,
    #[serde(default)]
    listener: ListenerConfig,
    #[serde(default)]
    siblings: SiblingsConfig,
    #[serde(default)]
    http: HttpConfig,
    tls: Option<ListenerFiles>,
    admin_tls: Option<ListenerFiles>,
    upstream_tls: Option<UpstreamFiles>,
    otlp: Option<OtlpConfig>,
    ext_proc: Option<ExtProcConfig>,
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
    capture: Option<PathBuf>,
    connections_per_worker: Option<usize>,
    drain_timeout_ms: Option<u64>,
    explain_last: Option<usize>,
}

#[derive(Debug)]
pub struct Settings {
    pub config: RouterConfig,
    pub listen: ListenArgs,
    pub admin_listen: Option<SocketAddr>,
    pub http_listen: Option<SocketAddr>,
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
    let workers = if cli.workers.is_empty() { file.workers } else { cli.workers };
    let given = cli.policy.map(|policy| policy.parse()).transpose();
    let given = given.map_err(|error: PolicyError| escaped(&format!("--policy: {error}")))?;
    let Some(policy) = given.or(file.policy) else {
        return Err("policy: missing, expected --policy NAME or one in --config".to_owned());
    };
    let mut config = RouterConfig::new(workers, policy);
    let shadow = |given: &String| {
        let rule = given.parse::<PolicyConfig>();
        rule.map_err(|error| escaped(&format!("--shadow: {error}")))
    };
    config.shadows = match cli.shadows.is_empty() {
        true => file.shadow,
        false => cli.shadows.iter().map(shadow).collect::<Result<_, _>>()?,
    };
    config.workers_at = if cli.workers_at.is_empty() { file.workers_at } else { cli.workers_at };
    config.pools = if cli.pools.is_empty() { file.pools } else { cli.pools };
    config.queue = file.queue;
    config.reliability = file.reliability;
    config.admission = file.admission;
    config.listener = file.listener;
    config.siblings = file.siblings;
    if !cli.siblings.is_empty() {
        config.siblings.urls = cli.siblings;
    }
    config.siblings.listen = cli.siblings_listen.or(config.siblings.listen);
    config.siblings.share = cli.siblings_share.or(config.siblings.share);
    set(&mut config.queue.requests, cli.queue_requests);
    set(&mut config.queue.prompt_tokens, cli.queue_prompt_tokens);
    set(&mut config.queue.longest_wait_s, cli.queue_longest_wait_s);
    set(&mut config.seed, cli.seed.or(file.seed));
    set(&mut config.speedup, cli.speedup.or(file.speedup));
    let folder = cli.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let explained =
        |error: ConfigError| explain_given(cli.config.as_deref(), &text, &error.field, &error.why);
    let flags = cli.tls.tls_cert.zip(cli.tls.tls_key);
    let client_ca = cli.tls.tls_client_ca;
    let flags = flags.map(|(cert, key)| ListenerFiles { cert, key, client_ca });
    config.tls = flags.or(file.tls.map(|files| files.in_folder(folder)));
    config.http = file.http.in_folder(folder);
    config.http.tokenizer = cli.http.tokenizer.or(config.http.tokenizer);
    config.admin_tls = file.admin_tls.map(|files| files.in_folder(folder));
    config.siblings.tls = config.siblings.tls.map(|files| files.in_folder(folder));
    config.upstream_tls = file.upstream_tls.map(|files| files.in_folder(folder));
    config.ext_proc = ExtProcConfig::merged(cli.ext_proc_listen, cli.ext_proc_port, file.ext_proc)?;
    config.otlp = OtlpConfig::merged(cli.otlp.otlp, cli.otlp.otlp_ratio, file.otlp)?;
    let engines = resolved(file.worker, |i, entry| entry.resolve(i, folder));
    config.worker = engines.map_err(explained)?;
    config.tenants =
        resolved(file.tenants, |i, entry| entry.resolve(i, folder)).map_err(explained)?;
    let prefixes = resolved(file.public_prefixes, |i, entry| entry.resolve(i, folder));
    config.public_prefixes = prefixes.map_err(explained)?;
    let tenant = cli.tenant.or(file.tenant);
    if tenant.is_some() && !config.tenants.is_empty() {
        return Err("tenant: given with [[tenants]], expected only one of the two".to_owned());
    }
    set(&mut config.tenant, tenant);
    set(&mut config.sharing, cli.sharing.or(file.sharing));
    set(&mut config.connections_per_worker, file.connections_per_worker);
    set(&mut config.drain_timeout_ms, file.drain_timeout_ms);
    set(&mut config.explain_last, cli.explain_last.or(file.explain_last));
    config.block_size = cli.block_size.or(file.block_size);
    config.model = cli.model.or(file.model);
    config.secret = cli.secret.or(file.secret);
    config.record = cli.record.or(file.record);
    config.capture = cli.capture.or(file.capture);
    config.check().and_then(|()| config.check_files()).map_err(explained)?;
    let admin_listen = cli.admin_listen.or(file.admin_listen);
    let http_listen = cli.http.http_listen.or(file.http_listen);
    Ok(Settings { config, listen, admin_listen, http_listen })
}

/// Resolves each entry of a list, with its place. The first error ends it.
fn resolved<E, T>(
    entries: Vec<E>,
    each: impl Fn(usize, E) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    entries.into_iter().enumerate().map(|(i, entry)| each(i, entry)).collect()
}
