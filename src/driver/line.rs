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

    /// Takes in the `Set-Cookie` headers of an answer to an identity.
    pub fn keep_cookies(&self, client: u32, cookies: &[Box<str>]) {
        if !cookies.is_empty() {
            let jar = &mut self.cookies.borrow_mut()[client as usize];
            cookies.iter().for_each(|cookie| jar.store(cookie));
        }
    }
}
