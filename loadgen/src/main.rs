//! The program `loadgen`.

use std::process::ExitCode;

/// A simulation makes and frees millions of small things on all threads, and a search plays many simulations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    warmpath_loadgen::main()
}
