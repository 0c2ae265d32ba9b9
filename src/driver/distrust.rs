//! Why a server's certificate is not trusted, and what to do about it.

use std::io;

use rustls::{CertificateError, Error};

/// The same error with what helps added, if it is about a certificate. The advice is ours.
pub(super) fn explain(error: io::Error) -> io::Error {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(why)) = refused else { return error };
    let advice = match why {
        CertificateError::UnknownIssuer => "name its CA in target.ca_file",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for other names: put one of them into target.url, and its address into target.resolve"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired: renew it",
        // What `openssl req -x509` makes by default.
        CertificateError::Other(_) if is_authoritys(why) => {
            "it is marked as an authority's own (CA:TRUE) and cannot be a server's as well: make it with CA:FALSE, or sign a \
             server's certificate with it"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}, or trust anyone with --insecure"))
}

/// The library has no variant of its own for it.
fn is_authoritys(why: &CertificateError) -> bool {
    format!("{why:?}").contains("CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_refusal_comes_with_what_to_do_and_the_rest_as_it_is() {
        let told = |error: Error| explain(io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
        let unknown = told(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(unknown.starts_with("invalid peer certificate: UnknownIssuer"), "{unknown}");
        assert!(unknown.contains("target.ca_file") && unknown.contains("--insecure"), "{unknown}");
        let named = told(Error::InvalidCertificate(CertificateError::NotValidForName));
        assert!(named.contains("target.resolve"), "{named}");
        let revoked = told(Error::InvalidCertificate(CertificateError::Revoked));
        assert!(!revoked.contains("--insecure"), "what nobody should wave through: {revoked}");
        assert_eq!(explain(io::Error::other("reset")).to_string(), "reset");
    }
}
