//! One client connection of the balancer: requests forwarded until it closes or becomes a tunnel.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HeaderName, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::form_urlencoded;

use crate::wire::id_hash;

use super::Shared;
use super::tunnel::Side;
use super::upstream::Upstream;

/// Serves a client's connection to its end.
pub(super) async fn serve(shared: Rc<Shared>, client: TcpStream) {
    // Boxed: the HTTP half is large, and a tunnel's task must not keep room for it.
    if let Some((client, upstream)) = Box::pin(serve_http(&shared, client)).await {
        shared.tunnel(client, upstream).await;
    }
}

type Reply = Response<BoxBody<Bytes, hyper::Error>>;

/// What the requests of one client connection share.
#[derive(Default)]
struct Line {
    /// The connection to a pod that the last request used, while it can take another.
    upstream: RefCell<Option<Upstream>>,
    /// Both ends of an upgrade that a pod has agreed to.
    upgrade: RefCell<Option<(OnUpgrade, OnUpgrade, Upstream)>>,
}

async fn serve_http(shared: &Shared, client: TcpStream) -> Option<(Side, Side)> {
    // Small frames must not wait for each other; without it latencies are only worse, so no error.
    let _ = client.set_nodelay(true);
    let line = Line::default();
    let service = service_fn(|request| async { Ok::<_, Infallible>(forward(shared, &line, request).await) });
    let served = http1::Builder::new()
        .max_buf_size(HTTP_BUFFER)
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades()
        .await;
    // An error is the client's going away; there is nobody to tell.
    drop(served);
    let (of_client, of_upstream, driver) = line.upgrade.take()?;
    let (client, upstream) = tokio::join!(side(of_client), side(of_upstream));
    drop(driver);
    Some((client?, upstream?))
}

async fn side(upgrade: OnUpgrade) -> Option<Side> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(Side { tcp: parts.io.into_inner(), early: parts.read_buf.into() })
}

async fn forward(shared: &Shared, line: &Line, mut request: Request<Incoming>) -> Reply {
    let upgrading = request.headers().contains_key(UPGRADE);
    let of_client = upgrading.then(|| hyper::upgrade::on(&mut request));
    let cookie = cookie_pod(request.headers());
    let Some(mut upstream) = pick(shared, line, &request, cookie).await else {
        return failure(StatusCode::BAD_GATEWAY);
    };
    strip(request.headers_mut(), upgrading);
    let answer = tokio::time::timeout(PATIENCE, upstream.send(request)).await;
    let mut reply = match answer {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => return failure(StatusCode::BAD_GATEWAY),
        Err(_) => return failure(StatusCode::GATEWAY_TIMEOUT),
    };
    let upgraded = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
    strip(reply.headers_mut(), upgraded);
    if shared.balancer.borrow().sets_cookie() && cookie != Some(upstream.pod) {
        let value = format!("{COOKIE_NAME}={}; Path=/", upstream.pod + 1);
        reply.headers_mut().append(SET_COOKIE, value.parse().expect("digits and letters"));
    }
    match of_client.filter(|_| upgraded) {
        Some(of_client) => {
            let of_upstream = hyper::upgrade::on(&mut reply);
            *line.upgrade.borrow_mut() = Some((of_client, of_upstream, upstream));
        }
        None => *line.upstream.borrow_mut() = Some(upstream),
    }
    reply.map(BodyExt::boxed)
}

/// A connection to the pod that this request belongs to: the line's own if it leads there, else a new one. A
/// pod that refuses counts as down at once, and the next choice is tried.
async fn pick(
    shared: &Shared,
    line: &Line,
    request: &Request<Incoming>,
    cookie: Option<u32>,
) -> Option<Upstream> {
    let mut kept = line.upstream.take();
    let token = token_hash(request);
    for _ in 0..shared.upstreams.len() {
        let pod = shared.balancer.borrow_mut().choose(cookie, token)?;
        if let Some(upstream) = kept.take_if(|kept| kept.pod == pod && kept.is_usable()) {
            return Some(upstream);
        }
        match Upstream::connect(pod, shared.upstreams[pod as usize]).await {
            Ok(upstream) => return Some(upstream),
            Err(_) => shared.balancer.borrow_mut().mark(pod, false),
        }
    }
    None
}

/// Takes out what concerns one hop only (RFC 9110, section 7.6.1), but for the upgrade itself.
fn strip(headers: &mut HeaderMap, upgrading: bool) {
    for name in [TE, TRAILER, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
    if upgrading {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
    }
}

/// The pod that the client's cookie names, from 0.
fn cookie_pod(headers: &HeaderMap) -> Option<u32> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, number) = pairs.find(|(name, _)| *name == COOKIE_NAME)?;
    number.parse::<u32>().ok()?.checked_sub(1)
}

/// Stands for the token of a request, in its query or its header.
fn token_hash(request: &Request<Incoming>) -> Option<u64> {
    let query = request.uri().query().unwrap_or("").as_bytes();
    if let Some((_, token)) = form_urlencoded::parse(query).find(|(key, _)| key == "token") {
        return Some(id_hash(&token));
    }
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    Some(id_hash(header.split_once(' ')?.1.trim()))
}

/// The balancer's own failures look like nginx's: no JSON, so no `SW_*` code.
fn failure(status: StatusCode) -> Reply {
    let text = Bytes::from(status.to_string());
    let mut reply = Response::new(Full::new(text).map_err(|never: Infallible| match never {}).boxed());
    *reply.status_mut() = status;
    reply
}

const COOKIE_NAME: &str = "wavesoak_pod";
/// How long a pod may take to answer: longer than any long poll.
const PATIENCE: Duration = Duration::from_secs(150);
const HTTP_BUFFER: usize = 16 * 1024;
