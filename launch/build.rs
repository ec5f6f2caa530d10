//! Sets what `--version` says.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WARMPATH_COMMIT");
    let given = std::env::var("WARMPATH_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { read_commit() } else { None });
    let version = env!("CARGO_PKG_VERSION");
    let built = match commit {
        Some(commit) => format!("commit {commit}"),
        None => "commit not recorded".to_owned(),
    };
    println!("cargo:rustc-env=WARMPATH_VERSION={version} ({built})");
}

/// The commit of the working tree. `logs/HEAD` grows with every commit and checkout.
fn read_commit() -> Option<String> {
    let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])?;
    println!("cargo:rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
