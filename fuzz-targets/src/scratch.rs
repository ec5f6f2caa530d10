//! A file for the input, because the program reads files.

use std::path::{Path, PathBuf};
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder for files");
}

/// Calls `read` with the path of a file that has these bytes.
pub fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let path: PathBuf = FOLDER.with(|folder| folder.path().join(name));
    std::fs::write(&path, bytes).expect("a file can be written");
    read(&path)
}
