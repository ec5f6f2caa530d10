//! Whether the rows of all requests fit in memory.

use super::options::RunOptions;
use crate::files::bad;
use crate::setup::Setup;
use anyhow::Result;

/// Rows are kept until the last run has ended, at about 130 bytes each: about a gigabyte.
const MOST_ROWS: u64 = 8_000_000;

/// Rejects a command whose rows would not fit in memory, before it plays. `total`: requests of the
/// workload. `live`: requests of a live run, which are also simulated.
pub fn check(setup: &Setup, options: &RunOptions, total: u64, live: u64) -> Result<()> {
    let runs = setup.rates.len() as u64 * setup.seeds;
    let rows = (total * runs + 2 * live) * setup.policies.len() as u64;
    if options.rows { check_count(rows) } else { Ok(()) }
}

pub fn check_count(rows: u64) -> Result<()> {
    if rows <= MOST_ROWS {
        return Ok(());
    }
    Err(bad(format!(
        "--parquet: {rows} rows, expected at most {MOST_ROWS}: fewer requests, policies, rates or \
         seeds"
    )))
}
