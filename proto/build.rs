//! Compiles our services without `protoc`, and keeps their descriptors for reflection. The public
//! listeners, the admin listener and that for siblings have separate descriptors, so that a public listener
//! does not show the other services. The crate `vllm-proto` exports no descriptors, so vLLM's are compiled from
//! the protos in its package.

use prost::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs, process::Command};
use tonic_prost_build::manual::{Builder, Method, Service};

const WORKER: &str = "warmpath/v1/worker.proto";
const POOL: &str = "warmpath/v1/pool.proto";
const KV_TRANSFER: &str = "warmpath/v1/kv_transfer.proto";
const SIBLINGS: &str = "warmpath/v1/siblings.proto";
const EXT_PROC: &str = "envoy/ext_proc.proto";
const TRACES: &str = "otlp/traces.proto";
const ADMIN: &str = "warmpath/v1/admin.proto";
const SMG: [&str; 2] = ["smg/common.proto", "smg/vllm_engine.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=warmpath");
    println!("cargo:rerun-if-changed=smg");
    println!("cargo:rerun-if-changed=otlp");
    println!("cargo:rerun-if-changed=envoy");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let public = protox::compile([WORKER, POOL, KV_TRANSFER], ["."])?;
    fs::write(out.join("descriptor.bin"), public.encode_to_vec())?;
    let vllm = protox::compile(["inference.proto", "control.proto"], [vllm_package()?])?;
    fs::write(out.join("vllm_descriptor.bin"), vllm.encode_to_vec())?;
    let admin = protox::compile([WORKER, ADMIN], ["."])?;
    fs::write(out.join("admin_descriptor.bin"), admin.encode_to_vec())?;
    let siblings = protox::compile([SIBLINGS], ["."])?;
    fs::write(out.join("siblings_descriptor.bin"), siblings.encode_to_vec())?;
    let all = protox::compile([WORKER, POOL, KV_TRANSFER, SIBLINGS, ADMIN], ["."])?;
    tonic_prost_build::configure()
        // The command line prints these messages as JSON.
        .type_attribute(".warmpath.v1", "#[derive(serde::Serialize)]")
        .field_attribute(
            ".warmpath.v1.Worker.standing",
            "#[serde(serialize_with = \"crate::admin::write_standing\")]",
        )
        .compile_fds(all)?;
    let smg = protox::compile(SMG, ["."])?;
    fs::write(out.join("smg_descriptor.bin"), smg.encode_to_vec())?;
    tonic_prost_build::configure().include_file("smg.rs").compile_fds(smg)?;
    let ext_proc = protox::compile([EXT_PROC], ["."])?;
    fs::write(out.join("ext_proc_descriptor.bin"), ext_proc.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(ext_proc)?;
    tonic_prost_build::configure().compile_fds(protox::compile([TRACES], ["."])?)?;
    generate_raw();
    Ok(())
}

/// The folder of the package `vllm-proto`, as cargo resolved it for this build.
fn vllm_package() -> Result<PathBuf, Box<dyn Error>> {
    // Cargo has fetched what this build compiles. To describe the workspace it also wants the
    // packages that only tests use, so on a new machine it has to fetch those.
    let metadata = match metadata(&["--offline"]) {
        Ok(metadata) => metadata,
        Err(_) => metadata(&[])?,
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let path = packages
        .filter(|package| package["name"] == "vllm-proto")
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata names no package vllm-proto")?;
    Ok(Path::new(path).parent().ok_or("the package has no folder")?.to_owned())
}

/// What cargo says of the workspace's packages on this build's platform.
fn metadata(also: &[&str]) -> Result<Value, Box<dyn Error>> {
    let told = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &env::var("TARGET")?])
        .args(also)
        .arg("--manifest-path")
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .output()?;
    if !told.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&told.stderr)).into());
    }
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// Generates vLLM's generate calls again, with messages that stay bytes (see `src/raw.rs`).
fn generate_raw() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::raw::Bytes")
            .output_type("crate::raw::Bytes")
            .codec_path("crate::raw::RawCodec")
    };
    let service = Service::builder()
        .package("vllm")
        .name("Inference")
        .method(method("generate", "Generate").build())
        .method(method("generate_stream", "GenerateStream").server_streaming().build())
        .build();
    Builder::new().compile(&[service]);
}
