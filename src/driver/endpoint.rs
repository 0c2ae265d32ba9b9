//! Where requests go: the parts of a target's URL, its addresses, and how a connection to it is opened.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use rustix::io::Errno;
use thiserror::Error;
use tokio::net::TcpStream;
use url::{Host, Url};

/// One server that speaks HTTP and WebSocket on one port.
#[derive(Debug)]
pub struct Endpoint {
    /// What the `Host` header says: host, and port unless it is the scheme's own.
    authority: Box<str>,
    host: Box<str>,
    port: u16,
    /// The path that the URL puts before `/v1`, without a slash at its end; mostly empty.
    prefix: Box<str>,
    addresses: RefCell<Rc<[SocketAddr]>>,
    /// The address that took the last connection: the next one tries it first.
    good: Cell<usize>,
}

impl Endpoint {
    /// Reads the URL of a target. Nothing is looked up yet: see [`Endpoint::resolve`].
    ///
    /// # Errors
    ///
    /// When it is no URL, has no host, carries credentials, or its scheme is not `http` (`https` is known and refused:
    /// the driver speaks no TLS yet).
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let shown = || text.chars().take(200).collect::<String>();
        let url = Url::parse(text).map_err(|source| EndpointError::Url { url: shown(), source })?;
        match url.scheme() {
            "http" | "ws" => {}
            "https" | "wss" => return Err(EndpointError::Tls(shown())),
            other => return Err(EndpointError::Scheme { url: shown(), scheme: other.to_owned() }),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(EndpointError::NoHost(shown())),
        };
        let port = url.port_or_known_default().unwrap_or(80);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = if port == 80 { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Self {
            authority: authority.into(),
            host: host.into(),
            port,
            prefix: url.path().trim_end_matches('/').into(),
            addresses: RefCell::new(Rc::from([])),
            good: Cell::new(0),
        })
    }

    /// Looks the host up, anew each time; the old addresses stay when that fails.
    ///
    /// # Errors
    ///
    /// When the name has no address.
    pub async fn resolve(&self) -> Result<(), EndpointError> {
        let refused = |source| EndpointError::Resolve { host: self.host.to_string(), source };
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((&*self.host, self.port)).await.map_err(refused)?.collect();
        if found.is_empty() {
            return Err(refused(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
        }
        if *found != **self.addresses.borrow() {
            self.good.set(0);
            *self.addresses.borrow_mut() = found.into();
        }
        Ok(())
    }

    /// Opens a connection with TCP_NODELAY: the addresses in turn, beginning with the one that worked last.
    ///
    /// # Errors
    ///
    /// The error of the last address tried; [`is_local`] tells whether this machine was the reason.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let addresses = self.addresses.borrow().clone();
        let first = self.good.get();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the target's host has not been looked up");
        for turn in 0..addresses.len() {
            let at = (first + turn) % addresses.len();
            #[expect(clippy::disallowed_methods, reason = "the driver owns the sockets")]
            match TcpStream::connect(addresses[at]).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    self.good.set(at);
                    return Ok(stream);
                }
                Err(error) if is_local(&error) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of the request line for `path`, which begins with a slash.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Every address is this machine's own. False before [`Endpoint::resolve`].
    pub fn is_loopback(&self) -> bool {
        let addresses = self.addresses.borrow();
        !addresses.is_empty() && addresses.iter().all(|address| is_loopback(address.ip()))
    }
}

/// Why a target's URL cannot be used; each completes "failed to …".
#[derive(Debug, Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("read the target's URL `{url}`: write it as http://host:port")]
    Url {
        /// As given, cut.
        url: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// Its scheme is not http.
    #[error("use the target's URL `{url}`: its scheme is `{scheme}`, and must be http")]
    Scheme {
        /// As given, cut.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// TLS is not spoken yet.
    #[error(
        "use the target's URL `{0}`: this version speaks no TLS; \
         point target.url at an http:// address behind the TLS termination"
    )]
    Tls(String),
    /// Credentials in a URL end up in logs.
    #[error("use the target's URL: it carries a user name or password, and credentials have no place in it")]
    Credentials,
    /// It names no host.
    #[error("use the target's URL `{0}`: it names no host")]
    NoHost(String),
    /// The name has no address.
    #[error("look up the target's host `{host}`")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
}

/// This machine, not the target, was the reason: descriptors, ports, buffers or memory ran out.
pub fn is_local(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::MFILE
                | Errno::NFILE
                | Errno::ADDRNOTAVAIL
                | Errno::ADDRINUSE
                | Errno::NOBUFS
                | Errno::NOMEM
        )
    )
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_authority_and_prefix() {
        for (url, authority, path) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000", "/v1/me"),
            ("http://chat.example.com/", "chat.example.com", "/v1/me"),
            ("http://chat.example.com:80/wave/", "chat.example.com", "/wave/v1/me"),
            ("ws://[::1]:9/a/b", "[::1]:9", "/a/b/v1/me"),
        ] {
            let endpoint = Endpoint::parse(url).expect("a good URL");
            assert_eq!((endpoint.authority(), &*endpoint.path("/v1/me")), (authority, path), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_what_to_write_instead() {
        for (url, words) in [
            ("chat.example.com", "http://host:port"),
            ("https://chat.example.com", "speaks no TLS"),
            ("ftp://chat.example.com", "must be http"),
            ("http://me:secret@chat.example.com", "no place"),
        ] {
            let message = Endpoint::parse(url).expect_err("not usable").to_string();
            assert!(message.contains(words), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn only_this_machines_own_limits_are_local() {
        assert!(is_local(&io::Error::from(Errno::MFILE)));
        assert!(is_local(&io::Error::from(Errno::ADDRNOTAVAIL)));
        assert!(!is_local(&io::Error::from(Errno::CONNREFUSED)));
        assert!(!is_local(&io::Error::other("something else")));
    }
}
