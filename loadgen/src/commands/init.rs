//! `loadgen init`: files to start from.

use crate::files::{PendingFile, bad};
use crate::init::{Asked, Kind, profile};
use crate::report::print;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use warmpath_core::engine::physics::Precision;
use warmpath_launch::names;

/// Writes a commented file to start from: a profile, a workload, a scenario or a device
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  loadgen init workload
  loadgen init scenario mine.toml
  loadgen init profile --model config.json --device h100 --tp 2

config.json is the file of that name in a model's repository on Hugging Face.")]
pub struct Args {
    /// Kind of file
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// File to write, or - for standard output [default: KIND.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replaces the file if it exists
    #[arg(long)]
    force: bool,
    /// Model of the profile: a config.json from Hugging Face, or a name
    #[arg(long, value_name = "FILE|NAME")]
    model: Option<String>,
    /// Device of the profile: a name, or a device file (TOML) [default: h100]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Devices that one worker splits the model over [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    tp: Option<u32>,
    /// Number format of the weights: bf16, fp8, fp8_block, nvfp4, mxfp4, int8 or int4 [default: the
    /// checkpoint's]
    #[arg(long, value_name = "FORMAT", value_parser = parse_precision)]
    precision: Option<Precision>,
    /// Name of the profile in reports [default: model, format and device]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    let known = Precision::ALL.into_iter().find(|precision| precision.name() == text);
    known.ok_or_else(|| {
        let all = Precision::ALL.map(Precision::name);
        format!("expected one of: {}{}", all.join(", "), names::perhaps(text, all))
    })
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let text = text(args)?;
    let standard = PathBuf::from(format!("{}.toml", args.kind.name()));
    let file = args.file.as_deref().unwrap_or(&standard);
    if file == Path::new("-") {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if file.is_file() && !args.force {
        let why = "exists, expected a new file, - or --force";
        return Err(bad(format!("{}: {why}", file.display())));
    }
    PendingFile::create(file)?.finish(text.as_bytes())?;
    let shown = file.display().to_string();
    // A name without a slash or an ending would be taken for that of a built-in file.
    let shown = if names::is_path(&shown) { shown } else { format!("./{shown}") };
    print(&format!("{shown} is written. To use it: {}\n", args.kind.next(&shown)))?;
    Ok(ExitCode::SUCCESS)
}

fn text(args: &Args) -> Result<String> {
    let given = [
        ("--model", args.model.is_some()),
        ("--device", args.device.is_some()),
        ("--tp", args.tp.is_some()),
        ("--precision", args.precision.is_some()),
        ("--name", args.name.is_some()),
    ];
    let Some((flag, _)) = given.iter().find(|(_, given)| *given) else {
        return Ok(args.kind.text().to_owned());
    };
    if args.kind != Kind::Profile {
        let why = format!("a {} has no such part", args.kind.name());
        return Err(bad(format!("{flag}: {why}, expected `loadgen init profile`")));
    }
    profile(&Asked {
        model: args.model.as_deref().unwrap_or("llama-3.1-8b"),
        device: args.device.as_deref().unwrap_or("h100"),
        tp: args.tp.unwrap_or(1),
        precision: args.precision,
        name: args.name.as_deref(),
    })
}
