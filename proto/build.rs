//! Compiles our own services without `protoc`, and keeps their descriptors for reflection: each
//! listener's apart, so that a public one does not speak of the admin service.

use prost::Message;
use std::{env, error::Error, fs, path::Path};

const WORKER: &str = "warmpath/v1/worker.proto";
const ADMIN: &str = "warmpath/v1/admin.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=warmpath");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let worker = protox::compile([WORKER], ["."])?;
    fs::write(out.join("descriptor.bin"), worker.encode_to_vec())?;
    let all = protox::compile([WORKER, ADMIN], ["."])?;
    fs::write(out.join("admin_descriptor.bin"), all.encode_to_vec())?;
    tonic_prost_build::configure()
        // What the command line prints as JSON.
        .type_attribute(".warmpath.v1", "#[derive(serde::Serialize)]")
        .field_attribute(
            ".warmpath.v1.Worker.standing",
            "#[serde(serialize_with = \"crate::admin::write_standing\")]",
        )
        .compile_fds(all)?;
    Ok(())
}
