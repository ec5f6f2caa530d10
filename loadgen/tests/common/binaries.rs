//! The programs that tests run besides loadgen.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the binaries. Those of the other crates are built if they are not there.
pub fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_loadgen")).parent().expect("a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline", "-p", "warmpath-router", "-p", "warmpath-worker-sim"]);
    build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let is_there = |name: &str| folder.join(name).is_file();
    if !["router", "worker-sim", "pool"].into_iter().all(is_there) {
        assert!(build.status().expect("cargo starts").success(), "the binaries are built");
    }
    folder.to_owned()
}
