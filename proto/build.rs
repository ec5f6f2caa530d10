//! Compiles our own services without `protoc`, and keeps their descriptors for reflection.

use prost::Message;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=warmpath");
    let descriptors = protox::compile(["warmpath/v1/worker.proto"], ["."])?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
