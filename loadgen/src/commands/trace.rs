//! `trace`: trace files. Which formats there are, what a trace holds, and a trace in another format.

use crate::args::ReadingArgs;
use crate::files::{PendingFile, bad};
use crate::report::{Screen, print};
use crate::traces::{self, Files, Holds, Target};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_core::workload::trace::parse_size;
use warmpath_sheet::Page;

/// Lists trace formats, says what a trace holds, or converts a trace
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

const EXAMPLE: &str = "Examples:\n  \
    loadgen trace formats\n  \
    loadgen trace check conversation.jsonl\n  \
    loadgen trace convert requests.csv --to mooncake --out requests.jsonl";

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the formats that are read, each with an example
    Formats,
    Check(Check),
    Convert(Convert),
}

/// Says what a trace holds: lengths, reuse, the highest hit rate that a cache can have, and what is
/// unusual about it
#[derive(Debug, clap::Args)]
struct Check {
    /// Trace files; several are one trace, merged by time
    #[arg(id = "trace", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Tokens per KV block, 1 to 65536 [default: the trace's, else 16]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    block_size: Option<u32>,
    /// Sizes of caches whose hit rates are shown, in tokens, separated by commas [default: 1 to 256 million]
    #[arg(long, value_name = "TOKENS,...", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    memory: Vec<u64>,
    /// Writes JSON to this file, or without a file to standard output instead of the tables
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
}

/// Writes a trace in another format
#[derive(Debug, clap::Args)]
struct Convert {
    /// Trace files; several are one trace, merged by time
    #[arg(id = "trace", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Format to write
    #[arg(long, value_name = "FORMAT")]
    to: Target,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Tokens that each written id stands for, 1 to 65536 [default: the trace's; without blocks 16, or
    /// 512 for Mooncake where prompts share nothing]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    block_size: Option<u32>,
}

pub fn run(args: &Args, screen: Screen) -> Result<ExitCode> {
    match &args.what {
        What::Formats => screen.show(&traces::formats())?,
        What::Check(check) => run_check(check, screen)?,
        What::Convert(convert) => run_convert(convert, screen)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the files, and checks that the trace's blocks can be cut into those that are asked for.
fn read(
    files: &[PathBuf],
    args: &ReadingArgs,
    block_size: Option<u32>,
    may_be_cut: bool,
) -> Result<Files> {
    let read = Files::read(files, args, may_be_cut).map_err(bad)?;
    if let Some(size) = block_size {
        let checked = read.recording.check_block_size(size);
        checked.map_err(|error| bad(format!("--block-size: {error}")))?;
    }
    Ok(read)
}

fn run_check(check: &Check, screen: Screen) -> Result<()> {
    let to = check.json.as_ref().filter(|path| path.as_os_str() != "-");
    let json = to.map(|path| PendingFile::create(path)).transpose()?;
    let files = read(&check.files, &check.reading, check.block_size, true)?;
    let holds = Holds::of(&files, check.block_size, &check.memory);
    let text = serde_json::to_string_pretty(&holds)? + "\n";
    match (&check.json, json) {
        (Some(_), None) => {
            print(&text)?;
            let page = page(check, &holds);
            screen.write(&page, |document| traces::add_plots(document, &holds))?;
        }
        (_, json) => {
            let page = page(check, &holds);
            screen.show_with(&page, |document| traces::add_plots(document, &holds))?;
            json.map_or(Ok(()), |file| file.finish(text.as_bytes()))?;
        }
    }
    Ok(())
}

fn page(check: &Check, holds: &Holds) -> Page {
    let names: Vec<_> = check.files.iter().map(|file| file.display().to_string()).collect();
    traces::page(holds, &names.join(", "))
}

fn run_convert(convert: &Convert, screen: Screen) -> Result<()> {
    if screen.html().is_some() {
        return Err(bad("--html: this command prints no table"));
    }
    let out = PendingFile::create(&convert.out)?;
    let files = read(&convert.files, &convert.reading, convert.block_size, false)?;
    let mut written = None;
    out.write(|file| {
        written = Some(traces::write(&files.recording, convert.to, convert.block_size, file)?);
        Ok(())
    })?;
    if let Some(written) = written {
        let mut said = vec![format!(
            "{}: {} requests in blocks of {} tokens",
            convert.out.display(),
            written.requests,
            written.block_size
        )];
        said.extend(written.lost.iter().map(|lost| format!("Note: {lost}.")));
        let ignored: Vec<&str> = files.recording.ignored.iter().map(String::as_str).collect();
        if !ignored.is_empty() {
            said.push(format!("Note: not written, because not read: {}.", ignored.join(", ")));
        }
        print(&(said.join("\n") + "\n"))?;
    }
    Ok(())
}
