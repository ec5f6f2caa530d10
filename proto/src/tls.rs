//! TLS from PEM files. A process reads them when it starts, and again when they change. An error names the setting
//! and the file.

mod fresh;

use crate::sockets::Wire;
use fresh::Fresh;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What processes of the fleet speak.
const H2: &[u8] = b"h2";
/// What clients of OpenAI's HTTP and its engines may speak.
const HTTP_1: &[u8] = b"http/1.1";

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

fn certificates(
    field: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(field, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| err(field, path, format!("{error}, expected PEM")))?;
    match all.is_empty() {
        true => Err(err(field, path, "no certificate, expected one in PEM")),
        false => Ok(all),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read("key", path)?)
        .map_err(|_| err("key", path, "no private key, expected one in PEM"))
}

fn roots(field: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(field, path)? {
        roots.add(certificate).map_err(|error| err(field, path, error))?;
    }
    Ok(roots)
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

    /// Reads the files, for a listener that speaks HTTP/2.
    pub fn load(&self) -> Result<Serving, TlsError> {
        self.load_for(&[H2])
    }

    /// The same, for one that speaks HTTP/1.1 too.
    pub fn load_for_http(&self) -> Result<Serving, TlsError> {
        self.load_for(&[H2, HTTP_1])
    }

    fn load_for(&self, protocols: &'static [&'static [u8]]) -> Result<Serving, TlsError> {
        let paths = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let paths = paths.into_iter().flatten().cloned().collect();
        let files = self.clone();
        Fresh::new(paths, Box::new(move || files.read(protocols))).map(Serving)
    }

    fn read(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificates, private) = (certificates("cert", &self.cert)?, key(&self.key)?);
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| err("cert", &self.cert, error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots("client_ca", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let wrong = |error: VerifierBuilderError| err("client_ca", path, error);
                builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
            }
        };
        let mut config = builder
            .with_single_cert(certificates, private)
            .map_err(|error| mismatch(&self.cert, &self.key, error))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// What a listener shows its clients, and which of them it accepts: the files of [`ListenerFiles`], read and checked.
#[derive(Clone, Debug)]
pub struct Serving(Fresh<ServerConfig>);

impl Serving {
    /// For a new connection. The files may have changed.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.current().into()
    }
}

/// How `https://` connections are made: the files of [`UpstreamFiles`], read and checked.
#[derive(Clone, Debug)]
pub struct Upstream {
    config: Fresh<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Upstream {
    /// Makes a connection to this host a secure one, for HTTP/2. The files may have changed since the last one.
    pub(crate) async fn secure<S: Wire>(&self, host: &str, socket: S) -> io::Result<TlsStream<S>> {
        let stream = self.connect(self.config.current(), host, socket).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(H2) => Ok(stream),
            _ => Err(io::Error::other("the server speaks no HTTP/2 over TLS")),
        }
    }

    /// The same, for HTTP/1.1. A server that names no protocol speaks it.
    pub(crate) async fn secure_for_http<S: Wire>(
        &self,
        host: &str,
        socket: S,
    ) -> io::Result<TlsStream<S>> {
        let mut config = ClientConfig::clone(&self.config.current());
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        self.connect(Arc::new(config), host, socket).await
    }

    async fn connect<S: Wire>(
        &self,
        config: Arc<ClientConfig>,
        host: &str,
        socket: S,
    ) -> io::Result<TlsStream<S>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => host_name(host.trim_matches(['[', ']'])).map_err(io::Error::other)?,
        };
        TlsConnector::from(config).connect(name, socket).await
    }
}

fn host_name(name: &str) -> Result<ServerName<'static>, String> {
    let wrong = |_| format!("'{name}', expected a host name or an IP address");
    ServerName::try_from(name.to_owned()).map_err(wrong)
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
        let server_name = self.server_name.as_deref().map(host_name).transpose();
        let server_name = server_name.map_err(|why| TlsError { field: "server_name", why })?;
        let paths = [Some(&self.ca), self.cert.as_ref(), self.key.as_ref()];
        let paths = paths.into_iter().flatten().cloned().collect();
        let files = self.clone();
        let config = Fresh::new(paths, Box::new(move || files.read()))?;
        Ok(Upstream { config, server_name })
    }

    fn read(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = roots("ca", &self.ca)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| err("ca", &self.ca, error))?
            .with_root_certificates(roots);
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(private)) => builder
                .with_client_auth_cert(certificates("cert", cert)?, key(private)?)
                .map_err(|error| mismatch(cert, private, error))?,
            (Some(_), None) => {
                let why = "missing, expected the key of cert".to_owned();
                return Err(TlsError { field: "key", why });
            }
            (None, Some(_)) => {
                let why = "missing, expected the certificate of key".to_owned();
                return Err(TlsError { field: "cert", why });
            }
        };
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(Arc::new(config))
    }
}
