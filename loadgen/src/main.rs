//! The program `loadgen`.

use std::process::ExitCode;

fn main() -> ExitCode {
    warmpath_loadgen::main()
}
