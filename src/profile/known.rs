//! Names that are not looked up (`target.resolve`).

use std::net::IpAddr;

/// `host:port:address`, as curl has it; an IPv6 address in brackets or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAddress {
    /// The name.
    pub host: String,
    /// For this port alone.
    pub port: u16,
    /// Where it is.
    pub address: IpAddr,
}

impl KnownAddress {
    /// Reads it; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (host, port, address) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        (!host.is_empty() && port > 0)
            .then(|| Some(Self { host: host.to_owned(), port, address: bare.parse().ok()? }))
            .flatten()
    }

    /// Whether it speaks of this host and port.
    pub fn is(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host.eq_ignore_ascii_case(host)
    }
}
