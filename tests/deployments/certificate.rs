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
        let place = tempfile::tempdir().expect("a place");
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
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
