//! HTTP/1.1 as a client: one keep-alive connection, and a bounded pool of them.
//!
//! Every exchange has a deadline and a bound on the answer's size, and its failure says the one thing that decides
//! what a publish became: whether a byte may have left.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderValue, SET_COOKIE, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Endpoint, is_local};
use crate::secret::Secret;

/// One request, apart from where it goes.
#[derive(Debug)]
pub struct Call<'a> {
    /// `GET`, `POST` …
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<&'a Secret>,
    /// Sent as `Cookie`.
    pub cookie: Option<&'a str>,
    /// JSON; `None`: no body.
    pub body: Option<Bytes>,
}

impl<'a> Call<'a> {
    /// A GET with nothing but a path.
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, token: None, cookie: None, body: None }
    }

    /// A POST of this JSON.
    pub fn post(path: &'a str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path, token: None, cookie: None, body: Some(body.into()) }
    }

    /// As the bearer of `token`.
    pub fn bearer(self, token: &'a Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The request to send to `endpoint` in the name of `agent`.
    ///
    /// # Errors
    ///
    /// When path, token or cookie cannot stand in HTTP: they came from outside.
    pub fn to_request(
        &self,
        endpoint: &Endpoint,
        agent: &HeaderValue,
    ) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(endpoint.path(self.path))
            .header(HOST, endpoint.authority())
            .header(USER_AGENT, agent);
        if let Some(token) = self.token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        if let Some(cookie) = self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = Full::new(self.body.clone().unwrap_or_default());
        request.body(body).map_err(|error| Trouble::new(TroubleKind::NotWritten, error))
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
    /// Its `Set-Cookie` headers.
    pub cookies: Vec<Box<str>>,
}

impl Answer {
    /// 2xx
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Trouble {
    /// What it means for the request.
    pub kind: TroubleKind,
    /// In the words of whoever noticed; never holds a header or a body.
    pub detail: Box<str>,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    fn new(kind: TroubleKind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string().into() }
    }

    fn connecting(error: &io::Error) -> Self {
        let kind = if is_local(error) { TroubleKind::Local } else { TroubleKind::NotWritten };
        Self::new(kind, error)
    }
}

/// What a failed exchange means for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The harness could not even try: descriptors, ports. No byte left.
    Local,
    /// No byte of the request left.
    NotWritten,
    /// The deadline passed; `written` tells whether a byte may have left before it.
    TimedOut {
        /// A byte may have left.
        written: bool,
    },
    /// Bytes may have left, and the connection broke before the answer was whole.
    Broken,
    /// The answer is larger than the caller takes.
    TooLarge,
}

/// A keep-alive connection on which one exchange at a time is made.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    ended: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`TroubleKind::Local`] or [`TroubleKind::NotWritten`].
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Trouble> {
        let stream = endpoint.connect().await.map_err(|error| Trouble::connecting(&error))?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Trouble::new(TroubleKind::NotWritten, error))?;
        Ok(Self { sender, driver: Box::pin(driver), ended: false })
    }

    /// Waits until a request can be sent; `false`: the server has closed the connection meanwhile.
    async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.turn(cx);
            match self.sender.poll_ready(cx) {
                _ if self.ended => Poll::Ready(false),
                Poll::Ready(ready) => Poll::Ready(ready.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Sends one request and reads the whole answer; must be ready.
    async fn exchange(&mut self, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, Trouble> {
        let sent = self.sender.try_send_request(request);
        let mut answer = pin!(async {
            let response = sent.await.map_err(|refused| {
                let unsent = refused.message().is_some();
                let kind = if unsent { TroubleKind::NotWritten } else { TroubleKind::Broken };
                Trouble::new(kind, refused.error())
            })?;
            collect(response, limit).await
        });
        poll_fn(|cx| {
            // The connection and the answer feed each other: a second turn spares most exchanges a wake-up.
            for _ in 0..2 {
                if !self.ended {
                    self.ended = self.driver.as_mut().poll(cx).is_ready();
                }
                if let Poll::Ready(done) = answer.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn turn(&mut self, cx: &mut std::task::Context<'_>) {
        if !self.ended {
            self.ended = self.driver.as_mut().poll(cx).is_ready();
        }
    }
}

/// Makes one exchange on the connection in `slot`, or on a new one when there is none or the server has closed it
/// meanwhile, and leaves the connection there for the next one if it is still good. `request` is called right before
/// the first byte can leave.
///
/// # Errors
///
/// See [`TroubleKind`].
pub async fn exchange(
    slot: &mut Option<Connection>,
    endpoint: &Endpoint,
    deadline: Instant,
    limit: usize,
    request: impl FnOnce() -> Result<Request<Full<Bytes>>, Trouble>,
) -> Result<Answer, Trouble> {
    let opened = timeout_at(deadline, async {
        if let Some(mut kept) = slot.take()
            && kept.is_ready().await
        {
            return Ok(kept);
        }
        let mut fresh = Connection::open(endpoint).await?;
        if fresh.is_ready().await {
            return Ok(fresh);
        }
        Err(Trouble::new(TroubleKind::NotWritten, "the server closed the connection at once"))
    });
    let late = |written| Trouble::new(TroubleKind::TimedOut { written }, "no answer in time");
    let mut connection = opened.await.map_err(|_| late(false))??;
    let request = request()?;
    let answer =
        timeout_at(deadline, connection.exchange(request, limit)).await.map_err(|_| late(true))??;
    if !connection.ended {
        *slot = Some(connection);
    }
    Ok(answer)
}

/// A bounded number of connections to one endpoint, shared by many callers.
pub struct Pool {
    endpoint: Rc<Endpoint>,
    idle: RefCell<Vec<Connection>>,
    permits: Semaphore,
}

impl Pool {
    /// At most `size` connections, opened as they are needed.
    pub fn new(endpoint: Rc<Endpoint>, size: usize) -> Self {
        Self { endpoint, idle: RefCell::new(Vec::new()), permits: Semaphore::new(size.max(1)) }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One exchange; waits for a free connection no longer than `deadline`. `request` is called right before the
    /// first byte can leave.
    ///
    /// # Errors
    ///
    /// See [`TroubleKind`].
    pub async fn exchange(
        &self,
        deadline: Instant,
        limit: usize,
        request: impl FnOnce() -> Result<Request<Full<Bytes>>, Trouble>,
    ) -> Result<Answer, Trouble> {
        let permit = timeout_at(deadline, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(Trouble::new(TroubleKind::TimedOut { written: false }, "no free connection in time"));
        };
        let mut slot = self.idle.borrow_mut().pop();
        let answer = exchange(&mut slot, &self.endpoint, deadline, limit, request).await;
        self.idle.borrow_mut().extend(slot);
        answer
    }

    /// Closes the connections that are not in use.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, Trouble> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value =
        value.map_err(|_| Trouble::new(TroubleKind::NotWritten, "the token cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn collect(response: Response<Incoming>, limit: usize) -> Result<Answer, Trouble> {
    let (head, body) = response.into_parts();
    let cookies = head.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.take(16).map(Box::from).collect();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        let too_large = error.is::<http_body_util::LengthLimitError>();
        Trouble::new(if too_large { TroubleKind::TooLarge } else { TroubleKind::Broken }, error)
    })?;
    Ok(Answer { status: head.status.as_u16(), body: body.to_bytes(), cookies })
}
