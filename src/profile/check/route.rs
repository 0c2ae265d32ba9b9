//! The rules of the way to a target. What the driver reads again is read here by the same forms.

use std::net::IpAddr;

use super::super::KnownAddress;
use super::super::error::Why;
use super::Rules;

/// Headers that the harness sets itself, and those that would carry a secret into `profile.toml`.
const OWN_HEADERS: [&str; 12] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "user-agent",
    "connection",
    "upgrade",
    "content-type",
    "content-length",
    "transfer-encoding",
    "expect",
    "te",
];

impl Rules<'_> {
    pub(super) fn route(&mut self) {
        let target = &self.profile.target;
        for known in &target.resolve {
            self.require(KnownAddress::parse(known).is_some(), "target.resolve", known, Why::BadResolve);
        }
        for own in &target.local_addresses {
            let good = own.parse::<IpAddr>().is_ok();
            self.require(good, "target.local_addresses", own, Why::BadAddress);
        }
        if let Some(proxy) = &target.proxy {
            if proxy.contains('@') {
                return self.secret("target.proxy");
            }
            self.require(is_proxy(proxy), "target.proxy", proxy, Why::BadProxy);
        }
        let names = [("target.pod_header", &target.pod_header), ("target.pod_cookie", &target.pod_cookie)];
        for (key, name) in names.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?))) {
            self.require(is_token(name), key, name, Why::NoToken);
        }
        for header in &target.headers {
            match header.split_once(':') {
                Some((name, _)) if is_own(name) => {
                    self.require(false, "target.headers", &name.trim().to_owned(), Why::OwnHeader);
                }
                Some((name, value)) => {
                    let good = is_token(name.trim())
                        && value.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic());
                    self.require(good, "target.headers", header, Why::BadHeader);
                }
                None => {
                    self.require(false, "target.headers", header, Why::BadHeader);
                }
            }
        }
    }
}

/// `http://HOST:PORT` and nothing behind it.
fn is_proxy(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    !rest.is_empty() && !rest.contains(|letter: char| letter.is_whitespace() || "/?#".contains(letter))
}

fn is_own(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    OWN_HEADERS.contains(&name.as_str()) || name.starts_with("sec-websocket-")
}

/// RFC 9110: what a header's name is made of.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
