//! Small files, read with a bound. A path may name a device without an end, or a file of another kind.

use crate::terminal::escaped;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A settings file, a report or a table of measurements is not larger: 64 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// The text of a file. A file that is too large is an error before it fills the memory. The error names the
/// file, and the line of what is not UTF-8.
pub fn text_of(path: &Path) -> Result<String, String> {
    let file = escaped(&path.display().to_string());
    let bytes = read(path).map_err(|error| format!("{file}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("{file}:{line}: not a text in UTF-8")
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => {
            Err(io::Error::other(format!("more than {MOST_BYTES} bytes, expected a smaller file")))
        }
        false => Ok(bytes),
    }
}
