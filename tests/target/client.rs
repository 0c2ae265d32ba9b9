//! Plain clients: one request per connection, and a stream that reads frames.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, SET_COOKIE};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use wavesoak::secret::Secret;
use wavesoak::target::process::Embedded;
use wavesoak::target::token::mint;

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Identity {
    access: String,
    refresh: String,
}

impl Identity {
    /// A fresh token for this username in the tenant called `acme`.
    pub(crate) fn new(target: &Embedded, username: &str) -> Self {
        Self::issued(target, username, unix_s())
    }

    /// One that expired an hour ago.
    pub(crate) fn expired(target: &Embedded, username: &str) -> Self {
        Self::issued(target, username, unix_s() - 7200)
    }

    /// Somebody with this for a token.
    pub(crate) fn with_token(access: &str) -> Self {
        Self { access: access.to_owned(), refresh: String::new() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.access
    }

    pub(crate) fn refresh(&self) -> &str {
        &self.refresh
    }

    /// A fresh token by this key.
    pub(crate) fn by_key(key: &Secret, username: &str) -> Self {
        Self::minted(key, username, unix_s())
    }

    fn issued(target: &Embedded, username: &str, at: u64) -> Self {
        Self::minted(target.key(), username, at)
    }

    fn minted(key: &Secret, username: &str, at: u64) -> Self {
        let minted = mint(key, "acme", username, at, Duration::from_secs(3600));
        Self { access: minted.access.expose().to_owned(), refresh: minted.refresh.expose().to_owned() }
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn data(&self) -> &Value {
        &self.body["data"]
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    /// `name=value` of the cookie that it sets.
    pub(crate) fn cookie(&self) -> Option<String> {
        let cookie = self.headers.get(SET_COOKIE)?.to_str().ok()?;
        cookie.split(';').next().map(str::to_owned)
    }
}

/// One request on a connection of its own, with a bearer token.
pub(crate) async fn call(url: &str, method: &str, path: &str, who: &Identity, body: Option<Value>) -> Reply {
    let bearer = format!("Bearer {}", who.token());
    call_with(url, method, path, &[(AUTHORIZATION, bearer)], body).await
}

/// The same, with any headers.
pub(crate) async fn call_with(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(HeaderName, String)],
    body: Option<Value>,
) -> Reply {
    let (authority, own_path) = split(url);
    let tcp = TcpStream::connect(authority).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.expect("HTTP");
    tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(format!("{own_path}{path}")).header(HOST, authority);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    let request = request.body(Full::new(body)).expect("a request");
    let answered = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    let reply = answered.expect("an answer in time").expect("an answer");
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    let body = reply.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status, headers, text, body }
}

/// Whether anybody takes connections there.
pub(crate) async fn listens(url: &str) -> bool {
    TcpStream::connect(split(url).0).await.is_ok()
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A close frame.
    Close(u16, String),
    /// FIN without a close frame.
    Eof,
    /// A reset.
    Reset,
}

/// An open stream.
pub(crate) struct Stream {
    /// The opening frame; null before [`Stream::with_hello`].
    pub(crate) hello: Value,
    socket: WebSocketStream<TcpStream>,
}

impl Stream {
    /// Connects and reads the hello.
    pub(crate) async fn open(url: &str, who: &Identity) -> Self {
        Self::upgrade(url, who, None).await.with_hello().await
    }

    /// Connects.
    pub(crate) async fn upgrade(url: &str, who: &Identity, cookie: Option<&str>) -> Self {
        let socket = Self::connect(url, who, cookie).await.expect("an upgrade");
        Self { hello: Value::Null, socket }
    }

    /// Connects where that must not succeed; the HTTP status.
    pub(crate) async fn refused(url: &str, who: &Identity) -> u16 {
        match Self::connect(url, who, None).await {
            Err(Error::Http(reply)) => reply.status().as_u16(),
            other => panic!("expected a refusal, not {other:?}"),
        }
    }

    /// Whether the upgrade is answered as one.
    pub(crate) async fn is_taken(url: &str, who: &Identity) -> bool {
        Self::connect(url, who, None).await.is_ok()
    }

    pub(crate) async fn with_hello(mut self) -> Self {
        self.hello = self.next().await;
        assert_eq!(self.hello["type"], "hello");
        self
    }

    /// The next message; other frames are passed over.
    pub(crate) async fn next_message(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == "swp.room.message" {
                return frame;
            }
        }
    }

    /// Reads until it has seen this many protocol pings (which the library answers).
    pub(crate) async fn wait_for_pings(mut self, pings: u32) {
        let mut seen = 0;
        let reading = async {
            while seen < pings {
                let frame = self.socket.next().await.expect("the stream goes on").expect("a frame");
                seen += u32::from(frame.is_ping());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("pings");
    }

    /// Reads to the end.
    pub(crate) async fn ended(mut self) -> Ended {
        let reading = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Ended::Close(frame.code.into(), frame.reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(Error::Io(error))) if error.kind() == ErrorKind::ConnectionReset => {
                        return Ended::Reset;
                    }
                    Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                        return Ended::Eof;
                    }
                    Some(Err(error)) => panic!("expected an end, not {error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("it ends")
    }

    async fn connect(
        url: &str,
        who: &Identity,
        cookie: Option<&str>,
    ) -> Result<WebSocketStream<TcpStream>, Error> {
        let (authority, _) = split(url);
        let tcp = TcpStream::connect(authority).await.expect("it listens");
        let stream_url = format!("ws://{authority}/v1/stream?token={}", who.token());
        let mut request = stream_url.into_client_request().expect("a URL");
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.parse().expect("a header"));
        }
        Ok(client_async(request, tcp).await?.0)
    }

    async fn next(&mut self) -> Value {
        let reading = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("expected a text frame, not {other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a frame")
    }
}

/// Authority and path of an `http` URL.
fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("an http URL");
    rest.find('/').map_or((rest, ""), |at| rest.split_at(at))
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Against a hang only: nothing here depends on it.
const PATIENCE: Duration = Duration::from_secs(20);
