//! Certificates for tests, made anew each time.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use warmpath_proto::tls::{ListenerFiles, UpstreamFiles};

/// A certificate authority, whose files lie in a folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub ca: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let ca = folder.join(format!("{name}-ca.pem"));
        std::fs::write(&ca, certificate.pem()).unwrap();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), ca }
    }

    /// A certificate for 127.0.0.1 and its key.
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.folder.join(format!("{name}{end}"));
        std::fs::write(file(".pem"), certificate.pem()).unwrap();
        std::fs::write(file(".key"), key.serialize_pem()).unwrap();
        (file(".pem"), file(".key"))
    }

    /// A listener's files. Its clients need certificates of `clients`.
    pub fn listener(&self, name: &str, clients: Option<&Self>) -> ListenerFiles {
        let (cert, key) = self.issue(name);
        ListenerFiles { cert, key, client_ca: clients.map(|clients| clients.ca.clone()) }
    }

    /// What reaches listeners with certificates of this authority, with a certificate of `own`.
    pub fn reach(&self, own: Option<(&Self, &str)>) -> UpstreamFiles {
        let (cert, key) = own.map(|(own, name)| own.issue(name)).unzip();
        UpstreamFiles { ca: self.ca.clone(), cert, key, server_name: None }
    }
}
