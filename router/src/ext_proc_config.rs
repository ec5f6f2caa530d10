//! The endpoint picker's settings.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The table `[ext_proc]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtProcConfig {
    /// Where Envoy asks which worker a request goes to.
    pub listen: SocketAddr,
    /// The port at which workers serve OpenAI's HTTP.
    #[serde(default = "default_port")]
    pub port: u16,
}

const fn default_port() -> u16 {
    8_000
}

impl ExtProcConfig {
    /// A flag for each, over the file's table. An error is one line: the port without a listener.
    pub fn merged(
        listen: Option<SocketAddr>,
        port: Option<u16>,
        file: Option<Self>,
    ) -> Result<Option<Self>, String> {
        let before = file.map_or(default_port(), |file| file.port);
        match (listen.or(file.map(|file| file.listen)), port) {
            (Some(listen), port) => Ok(Some(Self { listen, port: port.unwrap_or(before) })),
            (None, Some(_)) => Err("ext_proc: missing, expected --ext-proc-listen ADDRESS".into()),
            (None, None) => Ok(None),
        }
    }
}
