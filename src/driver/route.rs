//! How connections get to the target: which addresses, from where, through what, and whom they trust.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::transport::Transport;
use super::{anyone, distrust};
use crate::profile::{Family, KnownAddress, Target};

/// The way to a target, the same for all who talk to it.
#[derive(Clone, Debug)]
pub struct Route {
    /// `None`: nobody has asked for TLS.
    tls: Option<Arc<ClientConfig>>,
    family: Family,
    /// Names that are not looked up.
    known: Vec<KnownAddress>,
    /// Addresses of this machine to connect from, in turn; empty: the system's choice.
    from: Vec<IpAddr>,
    turn: Cell<usize>,
    proxy: Option<Proxy>,
    headers: HeaderMap,
    /// The response header that names a pod.
    pod_header: Option<HeaderName>,
}

/// Where CONNECT is said.
#[derive(Clone, Debug)]
struct Proxy {
    host: String,
    port: u16,
}

/// Why there is no way; completes "failed to …".
#[derive(Debug, Error)]
pub enum RouteError {
    /// The file with certificates cannot be read.
    #[error("read certificates from `{path}` (target.ca_file)", path = .path.display())]
    CaFile {
        /// As in the profile.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// It holds none.
    #[error("find a certificate in `{0}` (target.ca_file): it must hold PEM, `-----BEGIN CERTIFICATE-----`")]
    NoCertificate(PathBuf),
    /// A certificate in it is none.
    #[error("trust the certificates of `{path}` (target.ca_file)", path = .path.display())]
    Untrusted {
        /// As in the profile.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// This machine trusts nobody.
    #[error("find the certificates that this machine trusts ({0}); name some in target.ca_file")]
    NoRoots(String),
    /// Our own error.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// A part of the profile that its checks let pass.
    #[error("use `{0}`")]
    Odd(String),
}

impl Route {
    /// The system's choice of everything, and no TLS.
    pub fn plain() -> Self {
        Self {
            tls: None,
            family: Family::Any,
            known: Vec::new(),
            from: Vec::new(),
            turn: Cell::new(0),
            proxy: None,
            headers: HeaderMap::new(),
            pod_header: None,
        }
    }

    /// As `[target]` says. Certificates are read only `with_tls`: when a URL asks for it.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be read, or none to trust.
    pub fn new(target: &Target, with_tls: bool) -> Result<Self, RouteError> {
        let tls = if with_tls { Some(Arc::new(client_config(target)?)) } else { None };
        let known = target.resolve.iter().map(|text| KnownAddress::parse(text).ok_or_else(|| odd(text)));
        let from = target.local_addresses.iter().map(|text| text.parse().map_err(|_| odd(text)));
        let pod_header = target.pod_header.as_ref();
        let pod_header =
            pod_header.map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd(name)));
        let proxy = target.proxy.as_ref().map(|url| Proxy::parse(url).ok_or_else(|| odd(url)));
        Ok(Self {
            tls,
            family: target.family,
            known: known.collect::<Result<_, _>>()?,
            from: from.collect::<Result<_, _>>()?,
            turn: Cell::new(0),
            proxy: proxy.transpose()?,
            headers: headers(&target.headers)?,
            pod_header: pod_header.transpose()?,
        })
    }

    /// The same way from one address of this machine each (of either family, where there are both); itself, where there
    /// is no choice. A client that keeps to one of them is one client to a balancer that sticks by source address: with
    /// its sync from one and its upgrade from another it would be two.
    pub fn from_each_address(&self) -> Vec<Self> {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = self.from.iter().partition(|own| own.is_ipv4());
        let of = |own: &[IpAddr], turn: usize| (!own.is_empty()).then(|| own[turn % own.len()]);
        let each = |turn| {
            let from = [of(&v4, turn), of(&v6, turn)].into_iter().flatten().collect();
            Self { from, ..self.clone() }
        };
        (0..v4.len().max(v6.len()).max(1)).map(each).collect()
    }

    /// Whoever answers there is not the address that the connection goes to.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// What every request says besides.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The pod that these headers of an answer name. A proxy that tried several lists them, and the last one answered.
    pub(super) fn pod(&self, headers: &HeaderMap) -> Option<Box<str>> {
        let said = headers.get_all(self.pod_header.as_ref()?).iter().next_back()?.to_str().ok()?;
        let name = said.rsplit(',').next().unwrap_or(said).trim();
        (!name.is_empty()).then(|| name[..name.floor_char_boundary(POD_NAME_MAX)].into())
    }

    /// Whether the names that it is asked for can change their addresses.
    pub(super) fn looks_up(&self, host: &str, port: u16) -> bool {
        let (host, port) = self.first_hop(host, port);
        host.parse::<IpAddr>().is_err() && !self.known.iter().any(|known| known.is(host, port))
    }

    /// The addresses to connect to for this host: its own, or the proxy's.
    ///
    /// # Errors
    ///
    /// The resolver's, or that none of the addresses is of the family that was asked for.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = self.first_hop(host, port);
        let known = self.known.iter().filter(|known| known.is(host, port));
        let mut found: Vec<SocketAddr> = known.map(|known| SocketAddr::new(known.address, port)).collect();
        if found.is_empty() {
            found = lookup_host((host, port)).await?.collect();
        }
        let any = found.len();
        found.retain(|address| match self.family {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        });
        match (any, found.len()) {
            (0, _) => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            (_, 0) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("none of its {any} addresses is {} (target.family)", self.family),
            )),
            _ => Ok(found),
        }
    }

    /// Opens a connection to this address, and through the proxy to `host` if there is one, with TLS around it if the
    /// URL says so.
    pub(super) async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
        port: u16,
        tls: bool,
    ) -> io::Result<Transport> {
        let mut tcp = self.dial(address).await?;
        tcp.set_nodelay(true)?;
        if self.proxy.is_some() {
            tunnel(&mut tcp, host, port).await?;
        }
        if !tls {
            return Ok(Transport::Plain(tcp));
        }
        let config = self.tls.clone().ok_or_else(|| io::Error::other("TLS was not set up"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        Ok(Transport::Tls(Box::new(handshake.await.map_err(distrust::explain)?)))
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let fitting = || self.from.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
        let count = fitting().count();
        if count > 0 {
            let turn = self.turn.get();
            self.turn.set(turn.wrapping_add(1));
            let own = fitting().nth(turn % count).copied();
            socket.bind(SocketAddr::new(own.unwrap_or(address.ip()), 0))?;
        } else if !self.from.is_empty() {
            let said = format!("none of target.local_addresses is of the family of {}", address.ip());
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, said));
        }
        socket.connect(address).await
    }

    fn first_hop<'a>(&'a self, host: &'a str, port: u16) -> (&'a str, u16) {
        self.proxy.as_ref().map_or((host, port), |proxy| (&*proxy.host, proxy.port))
    }
}

/// What is read of a pod's name, in bytes.
const POD_NAME_MAX: usize = 128;

/// A line for people when the environment names a proxy and the profile none: other programs would use it.
pub fn ignored_proxy(target: &Target) -> Option<String> {
    const NAMES: [&str; 6] =
        ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let deployed = target.url.is_some() && target.proxy.is_none();
    let name = NAMES.into_iter().find(|name| deployed && set(name))?;
    Some(format!("{name} is set, and not looked at: say target.proxy if the target is behind a proxy"))
}

impl Proxy {
    fn parse(url: &str) -> Option<Self> {
        let url = url::Url::parse(url).ok()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }
}

fn odd(text: &str) -> RouteError {
    RouteError::Odd(text.to_owned())
}

/// `Name: value`, each.
fn headers(lines: &[String]) -> Result<HeaderMap, RouteError> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| odd(line))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| odd(line))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| odd(line))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whom this run trusts. Every connection makes a whole handshake (ours): sessions of other clients are not resumed, as
/// a fleet of browsers could not either.
fn client_config(target: &Target) -> Result<ClientConfig, RouteError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if target.insecure {
        builder.dangerous().with_custom_certificate_verifier(anyone::verifier(provider)).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(target)?).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(target: &Target) -> Result<RootCertStore, RouteError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = target.ca_file.as_ref().map(PathBuf::from) else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let said: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(RouteError::NoRoots(said.join("; ")));
        }
        return Ok(roots);
    };
    let unread = |source| RouteError::CaFile { path: path.clone(), source };
    for certificate in CertificateDer::pem_file_iter(&path).map_err(unread)? {
        let certificate = certificate.map_err(unread)?;
        roots.add(certificate).map_err(|source| RouteError::Untrusted { path: path.clone(), source })?;
    }
    if roots.is_empty() { Err(RouteError::NoCertificate(path)) } else { Ok(roots) }
}

/// Has the proxy connect us to the target.
async fn tunnel(tcp: &mut TcpStream, host: &str, port: u16) -> io::Result<()> {
    /// The head of a proxy's answer is not larger than this.
    const HEAD_MAX: usize = 8 * 1024;
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = format!("CONNECT {bracketed}:{port} HTTP/1.1\r\nHost: {bracketed}:{port}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: what comes behind the head is the target's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_MAX {
            return Err(io::Error::other("the proxy's answer to CONNECT has no end"));
        }
        head.push(tcp.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("the proxy answers CONNECT with `{}`", line.escape_default()))),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    fn target(change: impl FnOnce(&mut Target)) -> Target {
        let mut target = Target::default();
        change(&mut target);
        target
    }

    fn resolved(target: &Target, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let route = Route::new(target, false).expect("a way");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(route.resolve(host, port)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_address_of_this_machine_is_a_way_of_its_own() {
        let own = |addresses: &[&str]| -> Vec<Vec<String>> {
            let from = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            let routes = Route { from, ..Route::plain() }.from_each_address();
            routes.iter().map(|route| route.from.iter().map(IpAddr::to_string).collect()).collect()
        };
        assert_eq!(own(&[]), [[""; 0]]);
        assert_eq!(own(&["127.0.0.2"]), [["127.0.0.2"]]);
        assert_eq!(
            own(&["127.0.0.2", "::1", "127.0.0.3"]),
            [vec!["127.0.0.2", "::1"], vec!["127.0.0.3", "::1"]]
        );
    }

    #[test]
    fn a_known_name_is_not_looked_up_and_others_are() {
        let target = target(|target| target.resolve = vec!["Chat.example.com:443:[2001:db8::7]".to_owned()]);
        let known = resolved(&target, "chat.example.com", 443).expect("known");
        assert_eq!(known, ["[2001:db8::7]:443".parse().expect("an address")]);
        let route = Route::new(&target, false).expect("a way");
        assert!(!route.looks_up("chat.example.com", 443) && route.looks_up("chat.example.com", 8443));
        assert!(!route.looks_up("192.0.2.7", 443), "a number is no name");
    }

    #[test]
    fn a_family_that_a_name_has_no_address_of_is_an_error_that_says_so() {
        let target = target(|target| target.family = Family::Ipv6);
        let refused = resolved(&target, "127.0.0.1", 80).expect_err("it is IPv4");
        assert!(refused.contains("IPv6 (target.family)"), "{refused}");
    }

    #[test]
    fn a_proxy_is_told_where_to_connect_and_what_comes_behind_its_answer_is_the_targets() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let proxy = listener.local_addr().expect("bound");
            let asked = spawn_local(async move {
                let mut requests = Vec::new();
                for answer in ["HTTP/1.1 200 Connected\r\nVia: x\r\n\r\nhi", "HTTP/1.1 403 No\r\n\r\n"] {
                    let (mut socket, _) = listener.accept().await.expect("a connection");
                    let mut request = vec![0; 1024];
                    let read = socket.read(&mut request).await.expect("a request");
                    requests.push(String::from_utf8_lossy(&request[..read]).into_owned());
                    socket.write_all(answer.as_bytes()).await.expect("sent");
                }
                requests
            });
            let target = target(|target| target.proxy = Some(format!("http://{proxy}")));
            let route = Rc::new(Route::new(&target, false).expect("a way"));
            let addresses = route.resolve("chat.example.com", 80).await.expect("the proxy's");
            assert_eq!(addresses, [proxy]);
            let mut through = route.connect(proxy, "chat.example.com", 80, false).await.expect("connected");
            let mut first = [0; 2];
            through.read_exact(&mut first).await.expect("two bytes");
            assert_eq!(&first, b"hi");
            let refused = route.connect(proxy, "2001:db8::7", 80, false).await.expect_err("403");
            assert!(refused.to_string().contains("403"), "{refused}");
            let requests = asked.await.expect("no panic");
            assert!(requests[0].starts_with("CONNECT chat.example.com:80 HTTP/1.1\r\n"), "{requests:?}");
            assert!(requests[1].starts_with("CONNECT [2001:db8::7]:80 HTTP/1.1\r\n"), "{requests:?}");
        });
    }

    #[test]
    fn files_without_certificates_are_named() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("ca.pem");
        let refused = |path: &std::path::Path| {
            let target = target(|target| target.ca_file = Some(path.display().to_string()));
            Route::new(&target, true).expect_err("nobody to trust").to_string()
        };
        assert!(refused(&path).contains("ca.pem"));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        assert!(refused(empty.path()).contains("BEGIN CERTIFICATE"));
    }
}
