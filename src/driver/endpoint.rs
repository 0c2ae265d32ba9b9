//! Where requests go: the parts of a target's URL, its addresses, and how a connection to it is opened.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use rustix::io::Errno;
use thiserror::Error;
use tokio::time::Instant;
use url::{Host, Url};

use super::route::Route;
use super::transport::Transport;

/// One server that speaks HTTP and WebSocket on one port.
#[derive(Debug)]
pub struct Endpoint {
    /// What the `Host` header says: host, and port unless it is the scheme's own.
    authority: Box<str>,
    host: Box<str>,
    port: u16,
    /// `https` or `wss`.
    tls: bool,
    /// The path that the URL puts before `/v1`, without a slash at its end; mostly empty.
    prefix: Box<str>,
    route: Rc<Route>,
    addresses: RefCell<Rc<[SocketAddr]>>,
    /// Connections so far: each begins with the next address.
    turn: Cell<usize>,
    /// Addresses that refused the last connection; they come last.
    bad: RefCell<Vec<SocketAddr>>,
    /// When the name was looked up last.
    looked: Cell<Option<Instant>>,
}

/// A name is looked up again by the first connection after this long (ours): balancers change their addresses, and a
/// storm of reconnects must not become one of look-ups.
const NAME_LIFE: Duration = Duration::from_secs(5);

impl Endpoint {
    /// Reads the URL of a target that is reached by `route`. Nothing is looked up yet: see [`Endpoint::resolve`].
    ///
    /// # Errors
    ///
    /// When it is no URL, has no host, carries credentials, or its scheme is not `http`, `https`, `ws` or `wss`.
    pub fn new(text: &str, route: &Rc<Route>) -> Result<Self, EndpointError> {
        let shown = || text.chars().take(200).collect::<String>();
        let url = Url::parse(text).map_err(|source| EndpointError::Url { url: shown(), source })?;
        let tls = match url.scheme() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            other => return Err(EndpointError::Scheme { url: shown(), scheme: other.to_owned() }),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(EndpointError::NoHost(shown())),
        };
        let default = if tls { 443 } else { 80 };
        let port = url.port().unwrap_or(default);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = if port == default { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Self {
            authority: authority.into(),
            host: host.into(),
            port,
            tls,
            prefix: url.path().trim_end_matches('/').into(),
            route: Rc::clone(route),
            addresses: RefCell::new(Rc::from([])),
            turn: Cell::new(0),
            bad: RefCell::default(),
            looked: Cell::new(None),
        })
    }

    /// The same by the plainest route.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::new`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        Self::new(text, &Rc::new(Route::plain()))
    }

    /// Looks the host up, anew each time; the old addresses stay when that fails.
    ///
    /// # Errors
    ///
    /// When the name has no address.
    pub async fn resolve(&self) -> Result<(), EndpointError> {
        self.looked.set(Some(now()));
        let refused = |source| EndpointError::Resolve { host: self.host.to_string(), source };
        let found = self.route.resolve(&self.host, self.port).await.map_err(refused)?;
        if *found != **self.addresses.borrow() {
            self.bad.borrow_mut().clear();
            *self.addresses.borrow_mut() = found.into();
        }
        Ok(())
    }

    /// The same name at each of its addresses: endpoints of their own, which keep theirs for good. What is reached by a
    /// proxy has no addresses that we know.
    pub fn each(&self) -> Vec<(SocketAddr, Self)> {
        let addresses = self.addresses.borrow();
        let addresses = if self.route.has_proxy() { &[] } else { &addresses[..] };
        let pinned = |&address| {
            let pinned = Self {
                authority: self.authority.clone(),
                host: self.host.clone(),
                port: self.port,
                tls: self.tls,
                prefix: self.prefix.clone(),
                route: Rc::clone(&self.route),
                addresses: RefCell::new(Rc::from([address])),
                turn: Cell::new(0),
                bad: RefCell::default(),
                looked: Cell::new(None),
            };
            (address, pinned)
        };
        addresses.iter().map(pinned).collect()
    }

    /// Opens a connection with TCP_NODELAY, and TLS around it if the URL says so. Of several addresses each connection
    /// begins with the next one; those that failed last time, or did not answer as long as anybody waited, come last.
    ///
    /// # Errors
    ///
    /// The error of the last address tried; [`is_local`] tells whether this machine was the reason.
    pub async fn connect(&self) -> io::Result<Transport> {
        self.look_again().await;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the target's host has not been looked up");
        for address in self.in_turn() {
            // Whoever gives up waiting drops this future: then the address has not answered, and that is all that is known.
            let mut trying = Trying { endpoint: self, address, failed: true };
            match self.route.connect(address, &self.host, self.port, self.tls).await {
                Ok(transport) => {
                    trying.failed = false;
                    self.bad.borrow_mut().retain(|bad| *bad != address);
                    return Ok(transport);
                }
                Err(error) if is_local(&error) => {
                    trying.failed = false;
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The way to it.
    pub(super) fn route(&self) -> &Rc<Route> {
        &self.route
    }

    /// A name whose look-up has grown old is looked up by whoever notices first; the others go on with what there is.
    async fn look_again(&self) {
        let old = self.looked.get().is_some_and(|looked| now() - looked >= NAME_LIFE);
        if old && self.route.looks_up(&self.host, self.port) {
            // Without an answer the old addresses are as good as any.
            let _ = self.resolve().await;
        }
    }

    fn in_turn(&self) -> Vec<SocketAddr> {
        let addresses = self.addresses.borrow();
        let (bad, first) = (self.bad.borrow(), self.turn.get());
        self.turn.set(first.wrapping_add(1));
        let count = addresses.len();
        let (good, bad): (Vec<SocketAddr>, Vec<SocketAddr>) = (0..count)
            .map(|turn| addresses[(first.wrapping_add(turn)) % count])
            .partition(|address| !bad.contains(address));
        good.into_iter().chain(bad).collect()
    }

    /// `Host`, and what else every request says.
    pub fn headers(&self) -> &HeaderMap {
        self.route.headers()
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of the request line for `path`, which begins with a slash.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// It has been looked up, or is one address of a name for good.
    pub fn has_address(&self) -> bool {
        !self.addresses.borrow().is_empty()
    }

    /// Every address is this machine's own. False before [`Endpoint::resolve`].
    pub fn is_loopback(&self) -> bool {
        let addresses = self.addresses.borrow();
        !self.route.has_proxy()
            && !addresses.is_empty()
            && addresses.iter().all(|address| is_loopback(address.ip()))
    }
}

/// A connection to one of the addresses is being opened.
struct Trying<'e> {
    endpoint: &'e Endpoint,
    address: SocketAddr,
    /// Unless it is said otherwise, it comes to nothing.
    failed: bool,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let mut bad = self.endpoint.bad.borrow_mut();
        if self.failed && !bad.contains(&self.address) {
            bad.push(self.address);
        }
    }
}

/// Why a target's URL cannot be used; each completes "failed to …".
#[derive(Debug, Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("read the target's URL `{url}`: write it as http://host:port or https://host")]
    Url {
        /// As given, cut.
        url: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// Its scheme is neither http nor https.
    #[error("use the target's URL `{url}`: its scheme is `{scheme}`, and must be http or https")]
    Scheme {
        /// As given, cut.
        url: String,
        /// Its scheme.
        scheme: String,
    },
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

#[expect(clippy::disallowed_methods, reason = "a look-up grows old")]
fn now() -> Instant {
    Instant::now()
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
            ("https://chat.example.com", "chat.example.com", "/v1/me"),
            ("wss://chat.example.com:80/", "chat.example.com:80", "/v1/me"),
        ] {
            let endpoint = Endpoint::parse(url).expect("a good URL");
            assert_eq!((endpoint.authority(), &*endpoint.path("/v1/me")), (authority, path), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_what_to_write_instead() {
        for (url, words) in [
            ("chat.example.com", "http://host:port"),
            ("ftp://chat.example.com", "must be http"),
            ("http://me:secret@chat.example.com", "no place"),
        ] {
            let message = Endpoint::parse(url).expect_err("not usable").to_string();
            assert!(message.contains(words), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_address_that_nobody_waited_for_any_longer_comes_last() {
        use futures::FutureExt as _;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
            let (one, other) = (bind().await.expect("a port"), bind().await.expect("a port"));
            let (silent, good) = (one.local_addr().expect("bound"), other.local_addr().expect("bound"));
            let endpoint = Endpoint::parse("http://chat.example.com").expect("a good URL");
            *endpoint.addresses.borrow_mut() = Rc::from([silent, good]);
            // As a deadline would: dropped before there is an answer.
            assert!(endpoint.connect().now_or_never().is_none());
            assert_eq!(*endpoint.bad.borrow(), [silent]);
            assert_eq!([(); 3].map(|()| endpoint.in_turn()[0]), [good; 3]);
            assert!(endpoint.connect().await.is_ok());
            assert_eq!(*endpoint.bad.borrow(), [silent], "it has not answered since");
        });
    }

    #[test]
    fn only_this_machines_own_limits_are_local() {
        assert!(is_local(&io::Error::from(Errno::MFILE)));
        assert!(is_local(&io::Error::from(Errno::ADDRNOTAVAIL)));
        assert!(!is_local(&io::Error::from(Errno::CONNREFUSED)));
        assert!(!is_local(&io::Error::other("something else")));
    }
}
