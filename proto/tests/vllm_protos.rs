//! The protos in `vllm/`, from which reflection describes vLLM's services, are those of the crate
//! `vllm-proto`, which has the messages.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

#[test]
fn the_copies_are_those_of_the_crate() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo starts");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "vllm-proto");
    let manifest = package.expect("vllm-proto is a dependency")["manifest_path"].as_str();
    let theirs = Path::new(manifest.expect("a path")).parent().expect("a folder");
    for name in ["inference.proto", "control.proto"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).expect(name);
        let ours = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vllm"));
        assert!(ours == read(theirs), "vllm/{name} differs from {}", theirs.display());
    }
}
