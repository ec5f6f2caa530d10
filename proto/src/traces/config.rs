//! Where traces go, and how many.

use serde::{Deserialize, Serialize};

/// The table `[otlp]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// The collector's gRPC, `http://host:port`.
    pub endpoint: String,
    /// The share of the traces that begin here that is recorded. Whether one that began elsewhere is, its client
    /// says.
    #[serde(default = "all")]
    pub ratio: f64,
}

const fn all() -> f64 {
    1.0
}

impl OtlpConfig {
    /// A flag for each, over the file's table. An error is one line: the ratio without an endpoint.
    pub fn merged(
        endpoint: Option<String>,
        ratio: Option<f64>,
        file: Option<Self>,
    ) -> Result<Option<Self>, String> {
        let before = file.as_ref().map_or(all(), |file| file.ratio);
        match (endpoint.or(file.map(|file| file.endpoint)), ratio) {
            (Some(endpoint), ratio) => Ok(Some(Self { endpoint, ratio: ratio.unwrap_or(before) })),
            (None, Some(_)) => Err("otlp: missing, expected --otlp http://host:port".to_owned()),
            (None, None) => Ok(None),
        }
    }

    /// The first field that cannot be, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let url = tonic::transport::Uri::try_from(&self.endpoint).ok();
        let plain = url.is_some_and(|url| {
            url.scheme_str() == Some("http") && url.port_u16().is_some() && url.path() == "/"
        });
        if !plain {
            let why = format!("'{}', expected http://host:port", self.endpoint);
            return Err(("otlp.endpoint", why));
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(("otlp.ratio", format!("{}, expected 0 to 1", self.ratio)));
        }
        Ok(())
    }
}
