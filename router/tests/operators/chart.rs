//! The Helm chart: it renders, Kubernetes accepts what it renders, and so do our own processes.

use crate::{deploy, succeeds};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::Command;

const NOTHING: &str = "";

fn chart() -> PathBuf {
    deploy("helm/warmpath")
}

/// Files of values: none, and the examples.
fn values() -> Vec<Option<PathBuf>> {
    let folder = std::fs::read_dir(deploy("helm/examples")).expect("examples");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    std::iter::once(None).chain(files.into_iter().map(Some)).collect()
}

fn helm(verb: &[&str], values: Option<&Path>) -> Command {
    let mut command = Command::new("helm");
    command.args(verb).arg(chart());
    if let Some(values) = values {
        command.arg("--values").arg(values);
    }
    command
}

fn rendered(values: Option<&Path>) -> String {
    let output = helm(&["template", "here"], values).output().expect("helm starts");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values:?}: {complaints}");
    String::from_utf8(output.stdout).expect("text")
}

/// What the chart brings along is the same as what is used without it.
pub fn brings_the_same_files() {
    for (inside, outside) in [
        ("alerts.yml", "prometheus/alerts.yml"),
        ("router.json", "grafana/router.json"),
        ("workers.json", "grafana/workers.json"),
    ] {
        let text = |path: PathBuf| std::fs::read_to_string(&path).expect("a file");
        let inside = text(chart().join("files").join(inside));
        assert!(!inside.is_empty() && inside == text(deploy(outside)), "{outside}");
    }
}

pub fn renders() {
    for values in values() {
        let values = values.as_deref();
        let said = succeeds(&mut helm(&["lint", "--strict"], values));
        assert!(said.contains("0 chart(s) failed"), "{said}");
        let text = rendered(values);
        let kinds = |kind: &str| text.matches(&format!("\nkind: {kind}\n")).count();
        let name = values.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let expected = match name.as_deref().unwrap_or_default() {
            NOTHING => [1, 1, 2, 0, 0, 0, 0, 0],
            "all.yaml" => [1, 1, 2, 2, 2, 1, 1, 3],
            "own-workers.yaml" => [1, 0, 1, 0, 0, 0, 0, 0],
            other => panic!("what does {other} render?"),
        };
        let found = [
            "Deployment",
            "StatefulSet",
            "PodDisruptionBudget",
            "HorizontalPodAutoscaler",
            "NetworkPolicy",
            "ServiceMonitor",
            "PrometheusRule",
            "Job",
        ]
        .map(kinds);
        assert_eq!(found, expected, "{name:?}");
        // A pod has time for its wait and its drain before it is killed.
        let [router, worker] = [5 + 60 + 10, 5 + 120 + 10];
        assert!(text.contains(&format!("terminationGracePeriodSeconds: {router}\n")), "{name:?}");
        let has_workers = expected[1] == 1;
        let workers = format!("terminationGracePeriodSeconds: {worker}\n");
        assert_eq!(text.contains(&workers), has_workers, "{name:?}");
    }
}

/// A value that cannot be is refused with its name.
pub fn refuses_by_name() {
    for (set, said) in [
        ("router.replica=2", "'/router': additional properties 'replica' not allowed"),
        ("router.replicas=0", "'/router/replicas': minimum: got 0, want 1"),
        ("router.workers={h}", "'/router/workers/0': 'h' does not match pattern"),
        ("workers.enabled=false", "router.workers: none, expected workers.enabled, router.workers"),
    ] {
        let output = helm(&["template", "here", "--set", set], None).output().expect("helm starts");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaints.contains(said), "{set}: {complaints}");
    }
}

/// By the schemas of the oldest version that the chart allows, and of a later one.
pub fn is_accepted_by_kubernetes() {
    let folder = tempfile::tempdir().expect("a folder");
    for values in values() {
        let file = folder.path().join("rendered.yaml");
        std::fs::write(&file, rendered(values.as_deref())).expect("written");
        for version in ["1.30", "1.34"] {
            let mut validate = Command::new("kubernetes-validate");
            let said = succeeds(validate.args(["--strict", "-k", version]).arg(&file));
            assert!(said.contains("passed for resource deployment/here-warmpath-router"), "{said}");
            assert!(!said.contains("ERROR"), "{said}");
        }
    }
}

/// The router and the worker take the flags and the files that the chart gives them.
pub fn fits_the_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    for values in values() {
        let text = rendered(values.as_deref());
        let mut processes = 0;
        for document in text.split("\n---\n") {
            for process in ["router", "worker"] {
                let command = format!("command: [warmpath-{process}");
                if !document.contains(&command) {
                    continue;
                }
                let config = folder.path().join(format!("{process}.toml"));
                std::fs::write(&config, block(&text, &format!("  {process}.toml: |\n")))
                    .expect("written");
                let args = arguments(document);
                let flag = |arg: String| match arg.split_once('=') {
                    Some(("--config", _)) => format!("--config={}", config.display()),
                    _ => arg.replace("$(POD_NAME)", "here-warmpath-workers-0"),
                };
                let args = std::iter::once(process.to_owned()).chain(args.into_iter().map(flag));
                let args: Vec<String> = args.collect();
                match process {
                    "router" => router(&args),
                    _ => worker(&args),
                }
                processes += 1;
            }
        }
        assert_eq!(processes, 1 + usize::from(text.contains("kind: StatefulSet")), "{values:?}");
    }
}

fn router(args: &[String]) {
    let cli = warmpath_router::cli::Cli::try_parse_from(args).expect("flags");
    let settings = warmpath_router::cli::settings(cli.serve).expect("settings");
    assert_eq!(settings.config.drain_timeout_ms, 60_000, "the file was read");
    assert_eq!(settings.config.workers_at.len(), 1);
}

fn worker(args: &[String]) {
    let cli = warmpath_worker_sim::cli::Cli::try_parse_from(args).expect("flags");
    let settings = warmpath_worker_sim::cli::settings(cli.serve).expect("settings");
    assert_eq!(settings.config.drain_timeout_ms, 120_000, "the file was read");
    assert_eq!(settings.config.name, "here-warmpath-workers-0");
}

/// The lines below `key`, as long as they are further in.
fn block(text: &str, key: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let (_, after) = text.split_once(key).unwrap_or_else(|| panic!("no {key}"));
    let inside = after.lines().take_while(|line| line.is_empty() || depth(line) > depth(key));
    inside.map(|line| format!("{}\n", line.trim_start())).collect()
}

fn arguments(document: &str) -> Vec<String> {
    let lines = block(document, "          args:\n");
    lines.lines().map(|line| line.trim_start_matches("- ").trim_matches('"').to_owned()).collect()
}
