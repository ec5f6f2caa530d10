//! Values that are either a built-in name or a file. The built-in files are part of the program, so
//! their names work from any folder.

use crate::files::{bad, bad_field, bad_lines, read};
use anyhow::Result;
use std::path::{Path, PathBuf};
use warmpath_core::engine::profile::Profile;
use warmpath_launch::{names, profiles};

/// A name and its file.
pub type Row = (&'static str, &'static str);

macro_rules! rows {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../deploy/", $folder, "/", $name, ".toml")))),*]
    };
}

pub const WORKLOADS: &[Row] = rows!("workloads":
    "assistant" "chat" "enterprise-kb" "coding-agents" "research-agents" "commodity-qa" "tree-search"
    "multi-agent" "always-on-monitor" "code-completion" "office" "questions" "llm-d-73-capacity");

pub const SCENARIOS: &[Row] = rows!("scenarios":
    "default" "trace" "sharing" "mixed-fleet" "prefill-decode" "prefill-decode-both"
    "prefill-decode-h100" "hybrid" "hybrid-by-class" "shared-pool" "object-store" "pool-faults" "failing-workers"
    "overload"     "llm-d-73-capacity");

/// The built-in file of a name.
pub fn built_in(rows: &[Row], name: &str) -> Option<&'static str> {
    rows.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A scenario by name or from a file: its name in errors, its text, and the folder of the files that
/// it names.
pub fn scenario(name: &str) -> Result<(String, String, PathBuf)> {
    if let Some(text) = built_in(SCENARIOS, name) {
        return Ok((format!("scenario {name}"), text.to_owned(), PathBuf::new()));
    }
    if !looks_like_a_file(name) {
        return Err(unknown("scenario", name, SCENARIOS));
    }
    let path = Path::new(name);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok((name.to_owned(), read(path)?, folder))
}

/// A built-in profile by name, or a profile file in `folder`.
pub fn load_profile(name: &str, folder: &Path) -> Result<Profile> {
    profiles::load(name, folder).map_err(bad_lines)
}

/// As [`load_profile`], for a name in a file. An unknown name is an error at its place in the file.
pub fn load_profile_of(
    name: &str,
    folder: &Path,
    field: &str,
    (origin, text): (&str, &str),
) -> Result<Profile> {
    let loaded = profiles::load(name, folder);
    loaded.map_err(|why| match names::is_path(name) {
        true => bad_lines(why),
        false => bad_field(origin, text, field, &why),
    })
}

/// Whether a name is a file's: a path, or a name with an ending.
pub fn looks_like_a_file(name: &str) -> bool {
    names::is_path(name) || Path::new(name).extension().is_some()
}

pub fn unknown(kind: &str, name: &str, known: &[Row]) -> anyhow::Error {
    bad(names::unknown(kind, name, known.iter().map(|(known, _)| *known)))
}
