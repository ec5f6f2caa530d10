//! `[http]`: the listener for OpenAI's HTTP.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use warmpath_openai::served::{SESSION_HEADERS, header_names};

/// How OpenAI's HTTP is spoken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// A folder with `tokenizer.json`, or that file. None: the built-in tokenizer of bytes.
    pub tokenizer: Option<PathBuf>,
    /// Headers that name a session; the first that is there counts.
    pub session_headers: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { tokenizer: None, session_headers: SESSION_HEADERS.map(str::to_owned).to_vec() }
    }
}

impl HttpConfig {
    /// The same, with paths relative to `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { tokenizer: self.tokenizer.map(|path| folder.join(path)), ..self }
    }

    /// The error is what is wrong with `session_headers`.
    pub(crate) fn check(&self) -> Result<(), String> {
        header_names(&self.session_headers).map(drop)
    }
}
