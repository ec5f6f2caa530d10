//! Values that are either a built-in name or a file.

use crate::files::bad;
use anyhow::Result;
use std::path::Path;
use warmpath_core::engine::profile::Profile;
use warmpath_launch::profiles;

/// A built-in profile by name, or a profile file in `folder`.
pub fn load_profile(name: &str, folder: &Path) -> Result<Profile> {
    profiles::load(name, folder).map_err(bad)
}

pub fn looks_like_a_file(name: &str) -> bool {
    name.contains(['/', '.'])
}

pub fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    let known = known.collect::<Vec<_>>().join(", ");
    bad(format!("unknown {kind} '{name}', expected one of: {known}; or a file NAME.toml"))
}
