//! The Dockerfile and the compose file.

use crate::{deploy, succeeds};
use clap::Parser;
use std::process::Command;

pub fn lints() {
    succeeds(Command::new("hadolint").arg(deploy("Dockerfile")));
}

pub fn compose_fits_its_schema() {
    let mut check = Command::new("check-jsonschema");
    succeeds(check.args(["--builtin-schema", "vendor.compose-spec"]).arg(deploy("compose.yaml")));
}

/// With the rules beside it, as the compose file mounts them.
pub fn prometheus_takes_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(deploy("prometheus/prometheus.yml")).expect("a file");
    let rules = deploy("prometheus/alerts.yml").canonicalize().expect("the rules");
    let text = text.replace("/etc/prometheus/alerts.yml", &rules.display().to_string());
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, text).expect("written");
    let said = succeeds(Command::new("promtool").args(["check", "config"]).arg(&file));
    assert!(said.contains("1 rule files found"), "{said}");
}

/// The router and the workers take what the compose file gives them, and all that it mounts is there.
pub fn compose_fits_the_processes() {
    let compose = std::fs::read_to_string(deploy("compose.yaml")).expect("a file");
    let (_, after) = compose.split_once("- warmpath-router\n").expect("the router's command");
    let args = after.lines().map_while(|line| line.trim().strip_prefix("- --"));
    let args = std::iter::once("router".to_owned()).chain(args.map(|arg| format!("--{arg}")));
    let args: Vec<String> = args.collect();
    let cli = warmpath_router::cli::Cli::try_parse_from(&args).expect("flags");
    let settings = warmpath_router::cli::settings(cli.serve).expect("settings");
    assert_eq!(settings.config.workers_at, ["http://workers:7000"]);
    assert!(settings.http_listen.is_some() && settings.listen.insecure_bind);

    let (_, after) = compose.split_once("    content: |\n").expect("the workers' file");
    let file = after.lines().map_while(|line| line.strip_prefix("      "));
    let file: String = file.map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("worker.toml");
    std::fs::write(&path, file).expect("written");
    let workers =
        compose.matches("[warmpath-worker-sim, --config=/etc/warmpath/worker.toml, --name=");
    assert_eq!(workers.count(), 4);
    let config = format!("--config={}", path.display());
    let args = ["worker-sim", &config, "--name=worker-0"];
    let cli = warmpath_worker_sim::cli::Cli::try_parse_from(args).expect("flags");
    let settings = warmpath_worker_sim::cli::settings(cli.serve).expect("settings");
    assert!(settings.listen.metrics_listen.is_some_and(|address| address.port() == 9100));

    let mounted = compose.lines().filter_map(|line| line.trim().strip_prefix("- ./"));
    let mounted: Vec<_> = mounted.map(|line| line.split_once(':').expect("where to").0).collect();
    assert!(mounted.len() >= 5, "{mounted:?}");
    for file in mounted {
        assert!(deploy(file).exists(), "{file} is mounted and not there");
    }
}
