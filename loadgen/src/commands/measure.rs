//! `loadgen measure`: the command of [`crate::measure`].

use crate::files::{PendingFile, bad, check_target};
use crate::measure::{Asked, Grid, Names, Row, measure};
use crate::report::print;
use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Times the steps of a running engine, for `loadgen fidelity --measured` and `loadgen fit`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for vLLM's gRPC server on this machine:
  loadgen measure --worker http://127.0.0.1:50051 --device h100 --model llama-3.1-8b --output steps.csv")]
pub struct Args {
    /// Address of the engine (vLLM's gRPC): http://HOST:PORT. It must have no other load
    #[arg(long, value_name = "URL")]
    worker: String,
    /// The device's name in the rows: a known name, or the name in your device file
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    device: String,
    /// What the rows call the model
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    model: String,
    /// Devices that the engine splits the model over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    tp: u32,
    /// Number format of the weights
    #[arg(long, value_name = "FORMAT", default_value = "bf16")]
    precision: String,
    /// Number format of keys and values
    #[arg(long, value_name = "FORMAT", default_value = "bf16")]
    kv_dtype: String,
    /// New tokens of the prompts
    #[arg(
        long,
        value_name = "N,N,..",
        value_delimiter = ',',
        default_value = "64,256,512,1024,2048,4096,8192"
    )]
    lengths: Vec<u32>,
    /// Cached tokens before them
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', default_value = "0,2048,8192,32768")]
    prefixes: Vec<u32>,
    /// Sequences that decode at once
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', default_value = "1,4,16,64")]
    batches: Vec<u32>,
    /// Tokens of context that each of them has
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', default_value = "512,2048,8192")]
    contexts: Vec<u32>,
    /// Room for KV in tokens, as the engine reports it when it starts; points that need more are left out
    #[arg(long, value_name = "TOKENS", default_value_t = 200_000)]
    room: u32,
    /// How often each prompt is timed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Seed of the prompts' tokens [default: the clock, so that no run finds another's prompts cached]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// File of the rows (CSV)
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: Args) -> Result<ExitCode> {
    check_target(&args.worker)?;
    let grid = Grid {
        lengths: args.lengths,
        prefixes: args.prefixes,
        batches: args.batches,
        contexts: args.contexts,
        room: args.room,
    };
    let zero = [
        ("--lengths", &grid.lengths),
        ("--batches", &grid.batches),
        ("--contexts", &grid.contexts),
    ];
    if let Some((flag, _)) = zero.iter().find(|(_, values)| values.contains(&0)) {
        return Err(bad(format!("{flag}: 0, expected 1 or more")));
    }
    let output = PendingFile::create(&args.output)?;
    let clock =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let asked = Asked {
        worker: &args.worker,
        names: Names {
            device: args.device,
            model: args.model,
            tp: args.tp,
            precision: args.precision,
            kv_dtype: args.kv_dtype,
        },
        grid,
        repeats: args.repeats,
        seed: args.seed.unwrap_or(clock),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Hours of measuring do not end because the screen cannot be written.
    let mut shown = Ok(());
    let show = |row: &Row| {
        if shown.is_ok() {
            shown = print(&(said(row) + "\n"));
        }
    };
    let rows = runtime.block_on(measure(&asked, show))?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in &rows {
        csv.serialize(row)?;
    }
    output.finish(&csv.into_inner()?)?;
    shown.map(|()| ExitCode::SUCCESS)
}

fn said(row: &Row) -> String {
    let Row { phase, batch, input_len, prefix_len, context, ms, low_ms, high_ms, .. } = row;
    let what = match *phase {
        "decode" => format!("{batch} sequences at {context} tokens"),
        _ => format!("{input_len} tokens behind {prefix_len}"),
    };
    format!("{phase}: {what}: {ms:.2} ms ({low_ms:.2} to {high_ms:.2})")
}
