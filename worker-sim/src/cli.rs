//! The configuration from flags and a file. A flag overrides the file, the file overrides defaults.

use crate::http_config::HttpConfig;
use crate::{EventForm, KvEventsConfig, WorkerConfig};
use clap::{Args, Parser};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_launch::listen::{HttpArgs, ListenArgs, OtlpArgs, TlsArgs};
use warmpath_launch::manual::Manual;
use warmpath_launch::settings::{explain_field, explain_given, read_given, set};
use warmpath_launch::version::VERSION;
use warmpath_launch::{names, profiles};
use warmpath_proto::tls::{ListenerFiles, UpstreamFiles};
use warmpath_proto::traces::OtlpConfig;

/// A simulated GPU worker that speaks vLLM's gRPC.
#[derive(Parser, Debug)]
#[command(version = VERSION, name = "worker-sim", args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub about: Option<Manual>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Args, Debug)]
pub struct Serve {
    /// A TOML file with the settings (docs/reference/worker.md); a flag wins over the file
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
    /// The worker's name in logs and metrics [default: worker]
    #[arg(long)]
    name: Option<String>,
    /// The model that it reports [default: simulated]
    #[arg(long)]
    model: Option<String>,
    /// The profile of the hardware and engine to simulate: a name or a TOML file; required here or
    /// in the settings file
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<PathBuf>,
    /// HBM for KV, in tokens, or "unlimited" [default: the profile's]
    #[arg(long, value_name = "N|unlimited")]
    hbm_tokens: Option<HbmTokens>,
    /// Tokens per KV block, 1 to 65536 [default: the profile's]
    #[arg(long, value_name = "N")]
    block_size: Option<u32>,
    /// The pool that it shares with other workers, http://host:port; required if the profile has a
    /// [pool]
    #[arg(long, value_name = "URL")]
    pool: Option<String>,
    /// The worker's role: prefill, decode or both. prefill and decode need [kv_transfer] in the file
    /// [default: both]
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Option<Role>,
    /// Publishes vLLM's KV events at this address, tcp://address:port
    #[arg(long, value_name = "ENDPOINT")]
    kv_events: Option<String>,
    /// Replays missed KV events at this address, tcp://address:port
    #[arg(long, value_name = "ENDPOINT")]
    kv_events_replay: Option<String>,
    /// The form of the events: map, or array as older versions of vLLM have it [default: map]
    #[arg(long, value_name = "FORM", value_parser = parse_form)]
    kv_events_format: Option<EventForm>,
    /// The topic of the events [default: none]
    #[arg(long, value_name = "TOPIC")]
    kv_events_topic: Option<String>,
    /// Model seconds per wall second, 0.001 to 10000 [default: 1]
    #[arg(long, value_name = "X")]
    speedup: Option<f64>,
}

fn parse_role(text: &str) -> Result<Role, String> {
    let all = [Role::Prefill, Role::Decode, Role::Both];
    let found = all.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| "expected prefill, decode or both".to_owned())
}

fn parse_form(text: &str) -> Result<EventForm, String> {
    match text {
        "map" => Ok(EventForm::Map),
        "array" => Ok(EventForm::Array),
        _ => Err("expected map or array".to_owned()),
    }
}

#[derive(Clone, Copy, Debug)]
struct HbmTokens(Option<u64>);

impl FromStr for HbmTokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(tokens) => Ok(Self(Some(tokens))),
                Err(_) => Err("expected a number of tokens or 'unlimited'".to_owned()),
            },
        }
    }
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    http_listen: Option<SocketAddr>,
    #[serde(default)]
    insecure_bind: bool,
    #[serde(default)]
    http: HttpConfig,
    tls: Option<ListenerFiles>,
    upstream_tls: Option<UpstreamFiles>,
    otlp: Option<OtlpConfig>,
    name: Option<String>,
    model: Option<String>,
    profile: Option<Source>,
    pool: Option<String>,
    role: Option<Role>,
    #[serde(alias = "handover")]
    kv_transfer: Option<KvTransferLink>,
    kv_events: Option<KvEventsConfig>,
    speedup: Option<f64>,
    flush_ms: Option<u64>,
    report_interval_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    digest_interval_ms: Option<u64>,
    drain_timeout_ms: Option<u64>,
}

/// A profile, or the path of its file, relative to the configuration's folder.
#[derive(Debug)]
enum Source {
    Path(PathBuf),
    Inline(Box<Profile>),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a profile's path or a table")
            }

            fn visit_str<E>(self, path: &str) -> Result<Source, E> {
                Ok(Source::Path(path.into()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Source, M::Error> {
                let profile = Profile::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Source::Inline(Box::new(profile)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug)]
pub struct Settings {
    pub config: WorkerConfig,
    pub listen: ListenArgs,
    pub http_listen: Option<SocketAddr>,
}

/// Merges flags and file. An error is one line; it names the file, the line and the field where it
/// can.
pub fn settings(cli: Serve) -> Result<Settings, String> {
    let (file, text) = read_given::<File>(cli.config.as_deref())?;
    let kv_events = kv_events(&cli, file.kv_events)?;
    let listen = cli.listen.or(ListenArgs {
        listen: file.listen,
        metrics_listen: file.metrics_listen,
        insecure_bind: file.insecure_bind,
    });
    // The profile's file, for error messages.
    let mut profile_file = None;
    let mut profile = match (&cli.profile, file.profile) {
        (Some(path), _) => from_file(path, &mut profile_file)?,
        (None, Some(Source::Path(path))) => {
            let beside = cli.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            let is_file = path.to_str().is_none_or(names::is_path);
            from_file(&if is_file { beside.join(path) } else { path }, &mut profile_file)?
        }
        (None, Some(Source::Inline(profile))) => *profile,
        (None, None) => {
            return Err(
                "profile: missing, expected --profile NAME or FILE, or one in --config".to_owned()
            );
        }
    };
    if let Some(block_size) = cli.block_size {
        profile.set_block_size(block_size);
    }
    // After the block size: it changes the HBM for KV.
    if let Some(HbmTokens(tokens)) = cli.hbm_tokens {
        profile.hbm_tokens = tokens;
    }

    let mut config = WorkerConfig::new(profile);
    set(&mut config.name, cli.name.or(file.name));
    set(&mut config.model, cli.model.or(file.model));
    config.pool = cli.pool.or(file.pool);
    set(&mut config.role, cli.role.or(file.role));
    config.kv_transfer = file.kv_transfer;
    config.kv_events = kv_events;
    set(&mut config.speedup, cli.speedup.or(file.speedup));
    set(&mut config.flush_ms, file.flush_ms);
    set(&mut config.report_interval_ms, file.report_interval_ms);
    set(&mut config.heartbeat_ms, file.heartbeat_ms);
    set(&mut config.digest_interval_ms, file.digest_interval_ms);
    set(&mut config.drain_timeout_ms, file.drain_timeout_ms);
    let folder = cli.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let flags = cli.tls.tls_cert.zip(cli.tls.tls_key);
    let client_ca = cli.tls.tls_client_ca;
    let flags = flags.map(|(cert, key)| ListenerFiles { cert, key, client_ca });
    config.tls = flags.or(file.tls.map(|files| files.in_folder(folder)));
    config.http = file.http.in_folder(folder);
    config.http.tokenizer = cli.http.tokenizer.or(config.http.tokenizer);
    config.upstream_tls = file.upstream_tls.map(|files| files.in_folder(folder));
    config.otlp = OtlpConfig::merged(cli.otlp.otlp, cli.otlp.otlp_ratio, file.otlp)?;
    let public = config.kv_events.iter().filter_map(|events| events.addresses().ok()).flatten();
    for (field, address) in public {
        if !address.ip().is_loopback() && !listen.insecure_bind {
            let why = "is not a loopback address, expected one or --insecure-bind";
            return Err(format!("{field}: {address} {why}"));
        }
    }
    config.check().and_then(|()| config.check_files()).map_err(|error| {
        let (field, why) = error.parts();
        match (field.strip_prefix("profile."), &profile_file, &cli.config) {
            (Some(inner), Some((path, text)), _) => explain_field(path, text, inner, why),
            (_, _, config) => explain_given(config.as_deref(), &text, &field, why),
        }
    })?;
    Ok(Settings { config, listen, http_listen: cli.http.http_listen.or(file.http_listen) })
}

/// Where KV events are published: flags over the file's table.
fn kv_events(cli: &Serve, file: Option<KvEventsConfig>) -> Result<Option<KvEventsConfig>, String> {
    let mut events = match (&cli.kv_events, file) {
        (Some(endpoint), Some(file)) => KvEventsConfig { endpoint: endpoint.clone(), ..file },
        (Some(endpoint), None) => KvEventsConfig::new(endpoint),
        (None, Some(file)) => file,
        (None, None) => {
            let others = cli.kv_events_replay.is_some() || cli.kv_events_topic.is_some();
            return match others || cli.kv_events_format.is_some() {
                true => {
                    Err("kv_events: missing, expected --kv-events tcp://address:port".to_owned())
                }
                false => Ok(None),
            };
        }
    };
    events.replay = cli.kv_events_replay.clone().or(events.replay);
    set(&mut events.format, cli.kv_events_format);
    set(&mut events.topic, cli.kv_events_topic.clone());
    Ok(Some(events))
}

/// The profile with this name, or in this file. `seen`: the file that was read.
fn from_file(path: &Path, seen: &mut Option<(PathBuf, String)>) -> Result<Profile, String> {
    if let Some(name) = path.to_str().filter(|name| !names::is_path(name)) {
        return profiles::load(name, Path::new(""));
    }
    let (profile, text) = profiles::from_file(path)?;
    *seen = Some((path.to_owned(), text));
    Ok(profile)
}
