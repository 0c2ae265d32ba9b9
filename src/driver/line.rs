//! What everybody who talks to the target has in common: where it is, as whom, and by which clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HeaderValue;
use http_body_util::Full;
use tokio::time::Instant;

use super::clock::Clock;
use super::cookies::Cookies;
use super::endpoint::Endpoint;
use super::http::{Call, Trouble};
use super::strain::Probe;
use super::tokens::Tokens;
use crate::profile::Target;

/// How an answer tells which pod gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesPods {
    /// By a header; the answers themselves bring what it says.
    pub by_header: bool,
    /// By the value of this cookie.
    pub by_cookie: Option<Box<str>>,
}

impl NamesPods {
    /// As the profile's `[target]` says.
    pub fn of(target: &Target) -> Self {
        Self {
            by_header: target.pod_header.is_some(),
            by_cookie: target.pod_cookie.as_deref().map(Box::from),
        }
    }
}

/// The way to the target, for clients, publishers and audit alike.
pub struct Line {
    /// The run's clock.
    pub clock: Clock,
    /// `User-Agent`
    pub agent: HeaderValue,
    /// Where clients connect to, in turn; one behind a balancer, one a pod without.
    pub endpoints: Vec<Rc<Endpoint>>,
    /// Everybody's tokens.
    pub tokens: Rc<Tokens>,
    /// Whether the loop is served in time.
    pub probe: Rc<Probe>,
    /// The cookies of each identity.
    pub cookies: RefCell<Vec<Cookies>>,
    /// How an answer tells which pod gave it.
    pub names_pods: NamesPods,
    /// What all streams are read into, one after the other.
    pub read_buffer: RefCell<Vec<u8>>,
    /// Time from the first byte out to the upgrade.
    pub connect_deadline: Duration,
    /// Time to the answer of a sync request, on top of its `timeout`.
    pub sync_deadline: Duration,
}

impl Line {
    /// The endpoint of a client: evenly over all, and always the same.
    pub fn endpoint(&self, client: u32) -> &Rc<Endpoint> {
        &self.endpoints[self.endpoint_index(client)]
    }

    /// Its index.
    pub fn endpoint_index(&self, client: u32) -> usize {
        client as usize % self.endpoints.len()
    }

    /// When a request that begins now is given up.
    pub fn deadline(&self, after: Duration) -> Instant {
        self.clock.instant(self.clock.now() + after)
    }

    /// A request in the name of a client: to its endpoint, with its newest token and its cookies.
    ///
    /// # Errors
    ///
    /// When one of them cannot stand in HTTP.
    pub fn request(&self, client: u32, call: Call<'_>) -> Result<Request<Full<Bytes>>, Trouble> {
        let (token, cookie) = (self.tokens.access(client), self.cookie(client));
        let call = Call { token: Some(&token), cookie: cookie.as_deref(), ..call };
        call.to_request(self.endpoint(client), &self.agent)
    }

    /// The `Cookie` header of an identity.
    pub fn cookie(&self, client: u32) -> Option<Box<str>> {
        self.cookies.borrow()[client as usize].header().map(Box::from)
    }

    /// The pod that has just answered an identity, whose cookies are kept already; `header` is what the answer's header
    /// said. `None`: the profile names no way to tell.
    pub fn pod(&self, client: u32, header: Option<Box<str>>) -> Option<Option<Box<str>>> {
        let NamesPods { by_header, by_cookie } = &self.names_pods;
        if header.is_some() || by_cookie.is_none() {
            return by_header.then_some(header);
        }
        let cookies = self.cookies.borrow();
        by_cookie.as_ref().map(|name| cookies[client as usize].value(name).map(Box::from))
    }

    /// Takes in the `Set-Cookie` headers of an answer to an identity.
    pub fn keep_cookies(&self, client: u32, cookies: &[Box<str>]) {
        if !cookies.is_empty() {
            let jar = &mut self.cookies.borrow_mut()[client as usize];
            cookies.iter().for_each(|cookie| jar.store(cookie));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
    use uuid::Uuid;

    use super::*;
    use crate::driver::minter::Minter;
    use crate::driver::tokens::Source;
    use crate::plan::Population;
    use crate::profile;
    use crate::secret::Secret;

    fn line() -> Line {
        let (clock, agent) = (Clock::start(), HeaderValue::from_static("wavesoak/0 (test)"));
        let population = Population::new(&profile::Population {
            tenants: 1,
            clients: 4,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        let life = Duration::from_secs(3600);
        let minter = Minter::new(&Secret::new("key"), Uuid::nil(), population, clock.epoch_unix_s(), life);
        let endpoint = |url| Rc::new(Endpoint::parse(url).expect("a good URL"));
        Line {
            clock,
            agent: agent.clone(),
            endpoints: vec![endpoint("http://pod-1:1"), endpoint("http://pod-2:2")],
            tokens: Rc::new(Tokens::new(clock, Source::Minted(minter), agent, life, 4)),
            probe: Rc::new(Probe::new(clock.now())),
            cookies: RefCell::new(vec![Cookies::default(); 4]),
            names_pods: NamesPods::default(),
            read_buffer: RefCell::default(),
            connect_deadline: life,
            sync_deadline: life,
        }
    }

    #[test]
    fn every_request_says_who_asks_and_brings_back_the_cookies_it_was_given() {
        let line = line();
        line.keep_cookies(3, &["pod=2; Path=/".into()]);
        let request = line.request(3, Call::get("/v1/sync?since=1")).expect("a request");
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header(USER_AGENT), Some("wavesoak/0 (test)"));
        assert_eq!(header(COOKIE), Some("pod=2"));
        assert!(header(AUTHORIZATION).is_some_and(|value| value.starts_with("Bearer eyJ")));
        assert!(!format!("{request:?}").contains("eyJ"), "a token must not print");
        let other = line.request(1, Call::get("/x")).expect("a request");
        assert_eq!(other.headers().get(COOKIE), None, "somebody else's cookie");
    }

    #[test]
    fn clients_are_spread_evenly_over_the_endpoints() {
        let line = line();
        let hosts: Vec<&str> = (0..4).map(|client| line.endpoint(client).authority()).collect();
        assert_eq!(hosts, ["pod-1:1", "pod-2:2", "pod-1:1", "pod-2:2"]);
    }
}
