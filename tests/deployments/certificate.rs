//! A certificate of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Self-signed, in files.
pub(crate) struct Certificate {
    place: TempDir,
}

impl Certificate {
    /// For this name and nobody else.
    pub(crate) fn of(name: &str) -> Self {
        Self::with(name, rcgen::IsCa::NoCa)
    }

    /// The same, marked as an authority's: what `openssl req -x509` makes when nothing else is said.
    pub(crate) fn of_authority(name: &str) -> Self {
        Self::with(name, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
    }

    fn with(name: &str, is_ca: rcgen::IsCa) -> Self {
        let place = tempfile::tempdir().expect("a place");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut asked = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        asked.is_ca = is_ca;
        let made = asked.self_signed(&key).expect("a certificate");
        let (certificate, key) = (made.pem(), key.serialize_pem());
        fs::write(place.path().join("certificate.pem"), &certificate).expect("written");
        fs::write(place.path().join("key.pem"), &key).expect("written");
        fs::write(place.path().join("both.pem"), certificate + &key).expect("written");
        Self { place }
    }

    /// The certificate alone.
    pub(crate) fn path(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// Its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.file("key.pem")
    }

    /// Certificate and key in one file, as HAProxy wants them.
    pub(crate) fn both(&self) -> PathBuf {
        self.file("both.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.place.path()).join(name)
    }
}
