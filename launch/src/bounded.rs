//! Small files, read with a bound. A path may name a device without an end, or a file of another kind.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A settings file, a report or a table of measurements is not larger: 64 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// The text of a file. A file that is too large is an error before it fills the memory.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!(
            "more than {MOST_BYTES} bytes, expected a smaller file"
        )));
    }
    Ok(text)
}
