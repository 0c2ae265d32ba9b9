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
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, DATE, HOST, HeaderValue, RETRY_AFTER, SET_COOKIE, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Endpoint, is_local};
use super::route::Route;
use super::transport::Transport;
use crate::secret::Secret;

const JSON: &str = "application/json";

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
    /// `None`: no body.
    pub body: Option<Bytes>,
    /// What the body is.
    pub content_type: &'static str,
}

impl<'a> Call<'a> {
    /// A GET with nothing but a path.
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, token: None, cookie: None, body: None, content_type: JSON }
    }

    /// A POST of this JSON.
    pub fn post(path: &'a str, body: impl Into<Bytes>) -> Self {
        let body = Some(body.into());
        Self { method: Method::POST, path, token: None, cookie: None, body, content_type: JSON }
    }

    /// A POST of this form.
    pub fn form(path: &'a str, body: impl Into<Bytes>) -> Self {
        Self { content_type: "application/x-www-form-urlencoded", ..Self::post(path, body) }
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
        if let Some(headers) = request.headers_mut() {
            headers.extend(endpoint.headers().clone());
        }
        if let Some(token) = self.token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        if let Some(cookie) = self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
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
    /// The pod that answered, if a header names it (`target.pod_header`).
    pub pod: Option<Box<str>>,
    /// All of its headers.
    pub headers: HeaderMap,
}

impl Answer {
    /// 2xx
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `Retry-After`, which ScaiWave does not document and which is honoured where it is there: seconds, or a date, which is
    /// held against the answer's own so that no two clocks are compared.
    pub fn retry_after(&self) -> Option<Duration> {
        let said = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = said.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok().map(|at| at.as_second());
        let (now, then) = (date(self.headers.get(DATE)?.to_str().ok()?)?, date(said)?);
        Some(Duration::from_secs(u64::try_from(then.saturating_sub(now)).unwrap_or(0)))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Trouble {
    /// What it means for the request.
    pub kind: TroubleKind,
    /// In the words of whoever noticed; never holds a header or a body.
    pub detail: Box<str>,
    /// The other side, or somebody on the way, has reset the connection.
    pub reset: bool,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    fn new(kind: TroubleKind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string().into(), reset: false }
    }

    /// Of an error that may have been caused by a reset.
    fn caused(kind: TroubleKind, error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let reset = causes
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::ConnectionReset);
        Self { reset, ..Self::new(kind, error) }
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
    route: Rc<Route>,
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<Transport>, Full<Bytes>>>>,
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
        Ok(Self { route: Rc::clone(endpoint.route()), sender, driver: Box::pin(driver), ended: false })
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
        let route = Rc::clone(&self.route);
        let mut answer = pin!(async {
            let response = sent.await.map_err(|refused| {
                let unsent = refused.message().is_some();
                let kind = if unsent { TroubleKind::NotWritten } else { TroubleKind::Broken };
                Trouble::caused(kind, refused.error())
            })?;
            collect(response, limit, &route).await
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
}

fn bearer(token: &Secret) -> Result<HeaderValue, Trouble> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value =
        value.map_err(|_| Trouble::new(TroubleKind::NotWritten, "the token cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn collect(response: Response<Incoming>, limit: usize, route: &Route) -> Result<Answer, Trouble> {
    let (head, body) = response.into_parts();
    let pod = route.pod(&head.headers);
    let cookies = head.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.take(16).map(Box::from).collect();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        let too_large = error.is::<http_body_util::LengthLimitError>();
        Trouble::caused(if too_large { TroubleKind::TooLarge } else { TroubleKind::Broken }, error.as_ref())
    })?;
    let (status, headers) = (head.status.as_u16(), head.headers);
    Ok(Answer { status, body: body.to_bytes(), cookies, pod, headers })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    const FAR: std::time::Duration = std::time::Duration::from_secs(60);

    /// What the server does on each connection in turn, and what the client gets.
    fn exchanges(
        script: Vec<Vec<&'static str>>,
        limit: usize,
        count: usize,
    ) -> Vec<Result<Answer, TroubleKind>> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let endpoint = endpoint(listener.local_addr().expect("bound")).await;
            spawn_local(async move {
                for answers in script {
                    let (mut socket, _) = listener.accept().await.expect("a connection");
                    for answer in answers {
                        let mut request = [0; 4096];
                        assert!(socket.read(&mut request).await.expect("a request") > 0);
                        socket.write_all(answer.as_bytes()).await.expect("an open connection");
                    }
                }
                std::future::pending::<()>().await;
            });
            let mut slot = None;
            let mut outcomes = Vec::new();
            for _ in 0..count {
                let deadline = deadline(FAR);
                outcomes
                    .push(ask(&mut slot, &endpoint, deadline, limit).await.map_err(|trouble| trouble.kind));
            }
            outcomes
        })
    }

    async fn endpoint(address: std::net::SocketAddr) -> Endpoint {
        let endpoint = Endpoint::parse(&format!("http://{address}")).expect("a good URL");
        endpoint.resolve().await.expect("an address");
        endpoint
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
    fn deadline(after: std::time::Duration) -> Instant {
        Instant::now() + after
    }

    async fn ask(
        slot: &mut Option<Connection>,
        endpoint: &Endpoint,
        deadline: Instant,
        limit: usize,
    ) -> Result<Answer, Trouble> {
        let agent = HeaderValue::from_static("wavesoak/0 (test)");
        exchange(slot, endpoint, deadline, limit, || Call::get("/x").to_request(endpoint, &agent)).await
    }

    #[test]
    fn when_to_ask_again_is_read_as_seconds_or_as_a_date_by_the_servers_own_clock() {
        let said = |headers: &[(http::header::HeaderName, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name.clone(), HeaderValue::from_static(value));
            }
            Answer { status: 429, body: Bytes::new(), cookies: Vec::new(), pod: None, headers: map }
                .retry_after()
        };
        let date = (DATE, "Sun, 22 Nov 2026 22:30:00 GMT");
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[(RETRY_AFTER, " 7 ")]), secs(7));
        assert_eq!(said(&[date.clone(), (RETRY_AFTER, "Sun, 22 Nov 2026 22:31:30 GMT")]), secs(90));
        assert_eq!(said(&[date.clone(), (RETRY_AFTER, "Sun, 22 Nov 2026 22:00:00 GMT")]), secs(0));
        assert_eq!(said(&[(RETRY_AFTER, "Sun, 22 Nov 2026 22:31:30 GMT")]), None, "from when?");
        for nonsense in ["-1", "soon", "1.5", "", "99999999999999999999"] {
            assert_eq!(said(&[date.clone(), (RETRY_AFTER, nonsense)]), None, "{nonsense}");
        }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: pod=1; Path=/\r\n\r\nok";

    #[test]
    fn a_connection_is_kept_for_the_next_exchange() {
        let outcomes = exchanges(vec![vec![OK, OK]], 100, 2);
        for outcome in outcomes {
            let answer = outcome.expect("an answer");
            assert_eq!((answer.status, &*answer.body, answer.cookies.len()), (200, b"ok".as_slice(), 1));
        }
    }

    #[test]
    fn a_connection_that_was_closed_meanwhile_is_replaced() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let endpoint = endpoint(listener.local_addr().expect("bound")).await;
            let (close, mut closing) = tokio::sync::mpsc::channel::<()>(1);
            let serving = spawn_local(async move {
                for _ in 0..2 {
                    let (mut socket, _) = listener.accept().await.expect("a connection");
                    let mut request = [0; 4096];
                    assert!(socket.read(&mut request).await.expect("a request") > 0);
                    socket.write_all(OK.as_bytes()).await.expect("an open connection");
                    closing.recv().await;
                    drop(socket);
                    closing.recv().await;
                }
            });
            let mut slot = None;
            ask(&mut slot, &endpoint, deadline(FAR), 100).await.expect("an answer");
            assert!(slot.is_some(), "kept");
            // Taken only once the server has dropped its end; then the runtime has a look at its sockets.
            close.send(()).await.expect("it waits");
            close.send(()).await.expect("it waits");
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            ask(&mut slot, &endpoint, deadline(FAR), 100).await.expect("an answer on another connection");
            drop(close);
            serving.await.expect("no panic in the server");
        });
    }

    #[test]
    fn an_answer_that_breaks_off_may_have_had_its_effect() {
        for cut in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "nonsense\r\n\r\n"] {
            assert_eq!(
                exchanges(vec![vec![cut]], 100, 1)[0].as_ref().err(),
                Some(&TroubleKind::Broken),
                "{cut:?}"
            );
        }
    }

    #[test]
    fn a_connection_that_is_reset_before_its_answer_is_told_from_one_that_ends() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            for reset in [false, true] {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let endpoint = endpoint(listener.local_addr().expect("bound")).await;
                let serving = spawn_local(async move {
                    let (mut socket, _) = listener.accept().await.expect("a connection");
                    let mut request = [0; 4096];
                    assert!(socket.read(&mut request).await.expect("a request") > 0);
                    if reset {
                        socket.set_zero_linger().expect("an open socket");
                    }
                });
                let answer = ask(&mut None, &endpoint, deadline(FAR), 100).await;
                let trouble = answer.expect_err("there is no answer");
                assert_eq!((trouble.kind, trouble.reset), (TroubleKind::Broken, reset), "{trouble:?}");
                serving.await.expect("no panic in the server");
            }
        });
    }

    #[test]
    fn an_answer_above_the_bound_is_not_taken() {
        assert_eq!(exchanges(vec![vec![OK]], 1, 1)[0].as_ref().err(), Some(&TroubleKind::TooLarge));
    }

    #[test]
    fn a_refused_connection_has_written_nothing_and_a_silent_one_may_have() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let endpoint = endpoint(listener.local_addr().expect("bound")).await;
            let soon = deadline(std::time::Duration::from_millis(50));
            let silent = ask(&mut None, &endpoint, soon, 100).await.expect_err("nobody reads");
            assert_eq!(silent.kind, TroubleKind::TimedOut { written: true });
            drop(listener);
            let refused = ask(&mut None, &endpoint, deadline(FAR), 100).await.expect_err("nobody listens");
            assert_eq!(refused.kind, TroubleKind::NotWritten);
        });
    }
}
