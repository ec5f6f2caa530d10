//! The files of the workspace that the checks read.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A file's text. A file that cannot be read fails the test.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path as messages show it, relative to the workspace.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The folders of the workspace's crates, from `Cargo.toml`.
pub fn members() -> Vec<String> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// All Rust files below a folder, sorted. A folder without any fails the test.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let files = files_below(folder, &["rs"]);
    assert!(!files.is_empty(), "{} has no Rust files", folder.display());
    files
}

/// All files below a folder whose names end in one of `extensions`, sorted. Build outputs and hidden
/// folders are left out.
pub fn files_below(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !name.starts_with("target") {
                    folders.push(path);
                }
            } else if let Some(extension) = path.extension()
                && extensions.iter().any(|wanted| extension == *wanted)
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
