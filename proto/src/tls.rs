//! TLS from PEM files. Each process reads them once, when it starts. An error names the setting and the
//! file.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// `[tls]`: the certificate of a listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerFiles {
    /// The listener's certificates, its own first.
    pub cert: PathBuf,
    /// The key of the first one.
    pub key: PathBuf,
    /// Who issues the certificates that clients must have. None: clients need none.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// `[upstream_tls]`: how `https://` connections to others are made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamFiles {
    /// Who issues the others' certificates.
    pub ca: PathBuf,
    /// The own certificate, for others that ask for one.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The name in the others' certificates. None: the host of each URL.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// A file that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct TlsError {
    /// The setting, within its table.
    pub field: &'static str,
    /// The file, and what is wrong with it.
    pub why: String,
}

fn err(field: &'static str, path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError { field, why: format!("{}: {why}", path.display()) }
}

/// All certificates of a system take far less: 16 MiB.
const MOST_BYTES: u64 = 16 << 20;

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    opened.map_err(|error| err(field, path, error))?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(err(field, path, format!("more than {MOST_BYTES} bytes, expected PEM"))),
        false => Ok(text),
    }
}

/// The certificates of a file, and its text.
fn certificates(
    field: &'static str,
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), TlsError> {
    let text = read(field, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| err(field, path, format!("{error}, expected PEM")))?;
    match all.is_empty() {
        true => Err(err(field, path, "no certificate, expected one in PEM")),
        false => Ok((all, text)),
    }
}

fn key(path: &Path) -> Result<(PrivateKeyDer<'static>, Vec<u8>), TlsError> {
    let text = read("key", path)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| err("key", path, "no private key, expected one in PEM"))?;
    Ok((key, text))
}

fn roots(field: &'static str, path: &Path) -> Result<(RootCertStore, Vec<u8>), TlsError> {
    let (certificates, text) = certificates(field, path)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| err(field, path, error))?;
    }
    Ok((roots, text))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// `tls.cert` and `tls.key` belong together.
fn mismatch(cert: &Path, key: &Path, why: impl std::fmt::Display) -> TlsError {
    err("key", key, format!("not usable with {}: {why}", cert.display()))
}

impl ListenerFiles {
    /// The same, with paths relative to `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self {
            cert: folder.join(self.cert),
            key: folder.join(self.key),
            client_ca: self.client_ca.map(|path| folder.join(path)),
        }
    }

    /// Reads the files.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificates, _) = certificates("cert", &self.cert)?;
        let (private, _) = key(&self.key)?;
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| err("cert", &self.cert, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (roots, _) = roots("client_ca", path)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let wrong = |error: VerifierBuilderError| err("client_ca", path, error);
                builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
            }
        };
        let mut config = builder
            .with_single_cert(certificates, private)
            .map_err(|error| mismatch(&self.cert, &self.key, error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// How `https://` connections are made: the files of [`UpstreamFiles`], read and checked.
#[derive(Clone, Debug)]
pub struct Upstream(ClientTlsConfig);

impl Upstream {
    pub(crate) fn config(&self) -> ClientTlsConfig {
        self.0.clone()
    }
}

impl UpstreamFiles {
    /// The same, with paths relative to `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        let beside = |path: PathBuf| folder.join(path);
        Self {
            ca: folder.join(self.ca),
            cert: self.cert.map(beside),
            key: self.key.map(beside),
            server_name: self.server_name,
        }
    }

    /// Reads the files.
    pub fn load(&self) -> Result<Upstream, TlsError> {
        let (roots, ca) = roots("ca", &self.ca)?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some(name) = &self.server_name {
            if ServerName::try_from(name.as_str()).is_err() {
                let why = format!("'{name}', expected a host name or an IP address");
                return Err(TlsError { field: "server_name", why });
            }
            config = config.domain_name(name);
        }
        match (&self.cert, &self.key) {
            (None, None) => {}
            (Some(cert), Some(private)) => {
                let (chain, cert_text) = certificates("cert", cert)?;
                let (private_key, key_text) = key(private)?;
                ClientConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|error| err("cert", cert, error))?
                    .with_root_certificates(roots)
                    .with_client_auth_cert(chain, private_key)
                    .map_err(|error| mismatch(cert, private, error))?;
                config = config.identity(Identity::from_pem(cert_text, key_text));
            }
            (Some(_), None) => {
                let why = "missing, expected the key of cert".to_owned();
                return Err(TlsError { field: "key", why });
            }
            (None, Some(_)) => {
                let why = "missing, expected the certificate of key".to_owned();
                return Err(TlsError { field: "cert", why });
            }
        }
        Ok(Upstream(config))
    }
}
