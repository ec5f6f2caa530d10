//! Compiles our services without `protoc`, and keeps their descriptors for reflection. The public
//! listeners and the admin listener have separate descriptors, so that a public listener does not
//! show the admin service. `vllm/` has the protos of the crate `vllm-proto`, which exports no
//! descriptors; a test compares them with that crate.

use prost::Message;
use std::{env, error::Error, fs, path::Path};
use tonic_prost_build::manual::{Builder, Method, Service};

const WORKER: &str = "warmpath/v1/worker.proto";
const POOL: &str = "warmpath/v1/pool.proto";
const KV_TRANSFER: &str = "warmpath/v1/kv_transfer.proto";
const ADMIN: &str = "warmpath/v1/admin.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=warmpath");
    println!("cargo:rerun-if-changed=vllm");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let public = protox::compile([WORKER, POOL, KV_TRANSFER], ["."])?;
    fs::write(out.join("descriptor.bin"), public.encode_to_vec())?;
    let vllm = protox::compile(["inference.proto", "control.proto"], ["vllm"])?;
    fs::write(out.join("vllm_descriptor.bin"), vllm.encode_to_vec())?;
    let admin = protox::compile([WORKER, ADMIN], ["."])?;
    fs::write(out.join("admin_descriptor.bin"), admin.encode_to_vec())?;
    let all = protox::compile([WORKER, POOL, KV_TRANSFER, ADMIN], ["."])?;
    tonic_prost_build::configure()
        // The command line prints these messages as JSON.
        .type_attribute(".warmpath.v1", "#[derive(serde::Serialize)]")
        .field_attribute(
            ".warmpath.v1.Worker.standing",
            "#[serde(serialize_with = \"crate::admin::write_standing\")]",
        )
        .compile_fds(all)?;
    generate_raw();
    Ok(())
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
