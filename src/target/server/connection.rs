//! One TCP connection of a pod: requests until it closes or becomes a stream.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use url::form_urlencoded;

use super::super::caller::{Caller, TokenTrouble};
use super::super::error::ApiError;
use super::api;
use super::capacity::Seat;
use super::reply::{self, Reply};
use super::route::{Endpoint, Route, method_label};
use super::shared::Shared;
use super::socket::Socket;
use super::stream;
use super::upgrade;

/// Serves a connection to its end, or to its pod's.
pub(super) async fn serve(shared: Rc<Shared>, pod: u32, socket: Socket) {
    // Boxed: the HTTP half is large, and a stream's task must not keep room for it.
    let Some((upgraded, admitted)) = Box::pin(serve_http(&shared, pod, socket)).await else { return };
    let Upgraded { socket, early } = upgraded;
    let Admitted { caller, seat: _seat } = admitted;
    stream::run(&shared, pod, socket, early, caller).await;
}

/// Who has been answered 101.
struct Admitted {
    caller: Result<Caller, TokenTrouble>,
    /// Held for as long as the stream is open.
    seat: Seat,
}

type Upgrading = RefCell<Option<(OnUpgrade, Admitted)>>;

struct Upgraded {
    socket: Socket,
    early: Vec<u8>,
}

async fn serve_http(shared: &Rc<Shared>, pod: u32, socket: Socket) -> Option<(Upgraded, Admitted)> {
    let life = std::sync::Arc::clone(socket.life());
    let upgrading = Upgrading::new(None);
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(respond(shared, pod, request, &upgrading).await) });
    let connection = http1::Builder::new()
        .max_buf_size(HTTP_BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::select! {
        biased;
        () = life.ended() => return None,
        // An error is the client's going away; there is nobody to tell.
        _ = connection => {}
    }
    let (upgrade, admitted) = upgrading.take()?;
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Socket>>().ok()?;
    Some((Upgraded { socket: parts.io.into_inner(), early: parts.read_buf.into() }, admitted))
}

async fn respond(
    shared: &Rc<Shared>,
    pod: u32,
    mut request: Request<Incoming>,
    upgrading: &Upgrading,
) -> Reply {
    let began = shared.clock.now();
    let method = method_label(request.method());
    let path = request.uri().path().to_owned();
    let route = Route::find(request.method(), &path);
    let label = route.map_or("other", |route| route.label);
    let result = match route {
        Ok(Route { endpoint: Endpoint::Stream, .. }) => open(shared, pod, &mut request, upgrading).await,
        Ok(route) => api::answer(shared, pod, route, request).await,
        Err(error) => Err(error),
    };
    if matches!(result, Err(ApiError::NO_ANSWER)) {
        // The task ends with the connection, when the client has given up waiting, or its pod with it.
        return std::future::pending().await;
    }
    let reply = result.unwrap_or_else(reply::error);
    let status = reply.status().as_u16();
    shared.with(|backend, now| backend.served(pod, label, method, status, now - began));
    reply
}

/// Answers 101 whatever the token is worth: a bad one is refused by a close frame (documented).
async fn open(
    shared: &Shared,
    pod: u32,
    request: &mut Request<Incoming>,
    upgrading: &Upgrading,
) -> Result<Reply, ApiError> {
    let headers = upgrade::accept(request).ok_or(ApiError::BAD_REQUEST)?;
    let capacity = shared.capacity(pod);
    let seat = capacity.seat()?;
    capacity.handshake(shared).await;
    let query = request.uri().query().unwrap_or("").as_bytes();
    let token = form_urlencoded::parse(query).find(|(key, _)| key == "token").map(|(_, value)| value);
    let caller = shared.tokens.check(&shared.signer, token.as_deref());
    *upgrading.borrow_mut() = Some((hyper::upgrade::on(request), Admitted { caller, seat }));
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *reply.headers_mut() = headers;
    Ok(reply)
}

const HTTP_BUFFER: usize = 16 * 1024;
