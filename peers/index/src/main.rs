//! Measures our index beside those of SMG and Dynamo: look-ups, updates and memory.
//!
//! All indexes get the same events and must give the same answer to each look-up before anything is
//! timed.

mod rows;
mod sides;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    let which = std::env::args().nth(1).unwrap_or_else(|| "all".to_owned());
    if !["moon", "synth10m", "all"].contains(&which.as_str()) {
        eprintln!("peers-index: '{which}', expected moon, synth10m or all");
        return ExitCode::from(2);
    }
    peers_table::head();
    if which != "synth10m" {
        let path = peers_table::trace_path();
        if path.exists() {
            rows::conversation(&path);
        } else {
            println!(
                "skipped: there is no trace {}; WARMPATH_TRACES names its folder",
                path.display()
            );
        }
    }
    if which != "moon" {
        rows::synthetic();
    }
    ExitCode::SUCCESS
}
