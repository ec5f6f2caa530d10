//! Prefixes that the operator declares public, for example a system prompt. All tenants share their
//! blocks, in every scope.
//!
//! A prompt has a public part only if it begins with a whole declared prefix. A guess at a part of
//! a prefix hits nothing, so no client can find out a prefix piece by piece.

use crate::config_error::ConfigError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use warmpath_core::tokens::VOCABULARY;
use warmpath_launch::bounded;
use warmpath_proto::generate::MAX_MODEL_LEN;

const MOST_PREFIXES: usize = 1_024;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicPrefix {
    pub name: String,
    /// Token ids.
    pub ids: Vec<u32>,
}

/// A `[[public_prefixes]]` table of a settings file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixEntry {
    name: String,
    /// A file with a JSON list of token ids.
    file: PathBuf,
    /// The number of ids. It detects a file that was cut or replaced.
    tokens: usize,
}

impl PrefixEntry {
    /// Reads the file. `place`: the table's number, for errors. File names are relative to
    /// `folder`.
    pub fn resolve(self, place: usize, folder: &Path) -> Result<PublicPrefix, ConfigError> {
        let Self { name, file, tokens } = self;
        let file = folder.join(file);
        let err = |field: &str, why| {
            Err(ConfigError { field: format!("public_prefixes[{place}].{field}"), why })
        };
        let unusable = |why: String| err("file", format!("{}: {why}", file.display()));
        let text = match bounded::text_of(&file) {
            Ok(text) => text,
            Err(why) => return err("file", why),
        };
        let ids: Vec<u32> = match serde_json::from_str(&text) {
            Ok(ids) => ids,
            Err(error) => return unusable(format!("{error}, expected a JSON list of token ids")),
        };
        if ids.len() != tokens {
            return err("tokens", format!("{tokens}, but {} has {}", file.display(), ids.len()));
        }
        Ok(PublicPrefix { name, ids })
    }
}

/// Checks a list of prefixes. An error names the first field that cannot be used.
pub fn check(prefixes: &[PublicPrefix]) -> Result<(), ConfigError> {
    if prefixes.len() > MOST_PREFIXES {
        let why = format!("{} prefixes, expected at most {MOST_PREFIXES}", prefixes.len());
        return Err(ConfigError { field: "public_prefixes".to_owned(), why });
    }
    for (i, prefix) in prefixes.iter().enumerate() {
        let err = |field: &str, why: String| {
            Err(ConfigError { field: format!("public_prefixes[{i}].{field}"), why })
        };
        if prefix.ids.is_empty() || prefix.ids.len() > MAX_MODEL_LEN as usize {
            let why = format!("{} ids, expected 1 to {MAX_MODEL_LEN}", prefix.ids.len());
            return err("file", why);
        }
        if let Some(id) = prefix.ids.iter().find(|&&id| id >= VOCABULARY) {
            return err("file", format!("token id {id}, expected ids below {VOCABULARY}"));
        }
        if prefixes[..i].iter().any(|other| other.name == prefix.name) {
            return err(
                "name",
                format!("'{}' is used twice, expected different names", prefix.name),
            );
        }
    }
    Ok(())
}

/// The declared prefixes, the longest first.
#[derive(Debug, Default)]
pub struct PublicPrefixes(Vec<Vec<u32>>);

impl PublicPrefixes {
    pub fn new(declared: &[PublicPrefix]) -> Self {
        let mut all: Vec<Vec<u32>> = declared.iter().map(|prefix| prefix.ids.clone()).collect();
        all.sort_unstable_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        Self(all)
    }

    /// The number of whole public blocks at the start of a prompt.
    pub fn blocks(&self, prompt: &[u32], block_size: u32) -> u32 {
        let whole = self.0.iter().find(|prefix| prompt.starts_with(prefix));
        whole.map_or(0, |prefix| prefix.len() as u32 / block_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(name: &str, ids: std::ops::Range<u32>) -> PublicPrefix {
        PublicPrefix { name: name.to_owned(), ids: ids.collect() }
    }

    #[test]
    fn only_a_whole_prefix_is_public_and_only_its_whole_blocks() {
        let declared = [prefix("short", 0..20), prefix("long", 0..50), prefix("other", 7..40)];
        assert_eq!(check(&declared), Ok(()));
        let prefixes = PublicPrefixes::new(&declared);
        let blocks = |ids: std::ops::Range<u32>| prefixes.blocks(&ids.collect::<Vec<_>>(), 16);
        assert_eq!((blocks(0..19), blocks(0..20), blocks(0..49)), (0, 1, 1));
        assert_eq!((blocks(0..50), blocks(0..400), blocks(7..60), blocks(1..60)), (3, 3, 2, 0));
    }

    #[test]
    fn an_unusable_prefix_is_refused_and_its_field_named() {
        let good = || prefix("a", 0..20);
        let cases = [
            (vec![prefix("a", 0..0)], "public_prefixes[0].file: 0 ids"),
            (
                vec![good(), prefix("b", VOCABULARY..VOCABULARY + 1)],
                "public_prefixes[1].file: token id 128256",
            ),
            (vec![good(), good()], "public_prefixes[1].name: 'a' is used twice"),
            (vec![good(); MOST_PREFIXES + 1], "public_prefixes: 1025 prefixes"),
        ];
        for (prefixes, expected) in cases {
            let why = check(&prefixes).unwrap_err().to_string();
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
