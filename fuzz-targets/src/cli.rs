//! Command lines: an error, or settings. Nothing is listened to and nothing is run.

use crate::errors::check_lines;
use crate::seeds::tagged;
use clap::Parser;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use warmpath_loadgen::fuzzing;
use warmpath_router::cli as router;
use warmpath_worker_sim::{cli as worker, pool::cli as pool};

/// The first byte says which program it is. The rest are the arguments, one a line. A tab stands for a line
/// break in an argument.
pub fn run(bytes: &[u8]) {
    let Some((&program, lines)) = bytes.split_first() else { return };
    // A file would be read from where the fuzzer runs; what is in files has targets of its own.
    let broken = |&byte: &u8| if byte == b'\t' { b'\n' } else { byte };
    let args = lines.split(|&byte| byte == b'\n');
    let args = args.map(|arg| OsString::from_vec(arg.iter().map(broken).collect()));
    let args = [OsString::from("program")].into_iter().chain(args.filter(|arg| !arg.is_empty()));
    let settled = match program % 4 {
        0 => fuzzing::command_line(args),
        1 => match router::Cli::try_parse_from(args) {
            Ok(router::Cli { command: None, serve }) => router::settings(serve).map(drop),
            // What clap prints of an error has a line for the usage.
            Ok(_) | Err(_) => Ok(()),
        },
        2 => match worker::Cli::try_parse_from(args) {
            Ok(worker::Cli { about: None, serve }) => worker::settings(serve).map(drop),
            Ok(_) | Err(_) => Ok(()),
        },
        _ => match pool::Cli::try_parse_from(args) {
            Ok(pool::Cli { about: None, serve }) => pool::settings(serve).map(drop),
            Ok(_) | Err(_) => Ok(()),
        },
    };
    if let Err(why) = settled {
        check_lines(&why);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let lines: [(u8, &str); 20] = [
        (0, "sim --baseline a\tb --workload chat"),
        (1, "--policy a\tb --worker http://h:1"),
        (2, "--profile a\tb"),
        (0, "sim --policies warmpath,dynamo --workload chat --workers 2 --seeds 3 --rates 0.5,1,2"),
        (0, "sim --policies lpwl+hold,session-affinity(bound=1.5) --hbm-tokens unlimited"),
        (0, "sim --scenario sharing --sharing tenant --tenants 4 --block-size 32 --cost"),
        (0, "sim --stages 1x:60s,1x..2x:30s,12/s:2m --interval 10s --width 100 --quiet"),
        (0, "compare --scenario mixed-fleet --baseline dynamo --policies dynamo,warmpath"),
        (0, "compare --workload assistant --rate-scale 2 --seed 7 --tick-jitter --live-requests 0"),
        (0, "run --target http://127.0.0.1:1 --workload chat --requests 5 --duration 10s"),
        (0, "advise --ttft 2 --tpot 0.1 --price h100=2.5"),
        (0, "trace convert t --to mooncake --out o --format azure --block-size 16"),
        (0, "init profile - --model llama-3.1-8b --device h100 --tp 2 --precision fp8"),
        (0, "completions zsh"),
        (1, "--policy kv-aware --worker http://127.0.0.1:1 --listen 127.0.0.1:0 --seed 1"),
        (1, "--policy dynamo+hold(order=wspt) --worker http://h:1 --queue-requests 5 --speedup 2"),
        (1, "admin --target http://127.0.0.1:1 drain w1 --json --width 80"),
        (2, "--profile llama-8b-bf16-h100 --hbm-tokens 100000 --block-size 32 --role both"),
        (3, "--profile llama-70b-fp8-4xh100-shared --tokens 1600 --gb-s 1 --store-gb-s 1"),
        (3, "--eviction arc --tenant-quota 0.5 --profile llama-70b-fp8-4xh100-shared"),
    ];
    lines
        .iter()
        .map(|(program, line)| tagged(*program, line.replace(' ', "\n").as_bytes()))
        .collect()
}
