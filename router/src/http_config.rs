//! `[http]`: the listener for OpenAI's HTTP.

use crate::config_error::ConfigError;
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
    /// Tenants that may empty the workers' caches.
    pub reset_by: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let session_headers = SESSION_HEADERS.map(str::to_owned).to_vec();
        Self { tokenizer: None, session_headers, reset_by: Vec::new() }
    }
}

impl HttpConfig {
    /// The same, with paths relative to `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { tokenizer: self.tokenizer.map(|path| folder.join(path)), ..self }
    }

    /// `tenants`: the names of all of them.
    pub(crate) fn check(&self, tenants: &[&str]) -> Result<(), ConfigError> {
        let err = |field: &str, why| Err(ConfigError { field: format!("http.{field}"), why });
        if let Err(why) = header_names(&self.session_headers) {
            return err("session_headers", why);
        }
        let unknown = self.reset_by.iter().find(|name| !tenants.contains(&name.as_str()));
        match unknown {
            Some(name) => err("reset_by", format!("'{name}', expected the name of a tenant")),
            None => Ok(()),
        }
    }
}
