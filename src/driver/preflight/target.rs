//! Is it there, is it healthy, is it ScaiWave, and is nobody else on it?

use std::rc::Rc;
use std::time::Duration;

use http::header::HeaderValue;
use thiserror::Error;

use crate::collector::servers::Servers;
use crate::driver::api;
use crate::driver::clock::Clock;
use crate::driver::endpoint::{Endpoint, EndpointError};
use crate::driver::http::{Answer, Call, Trouble, TroubleKind, exchange};
use crate::wire::error_code;

/// Time to an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// More connections than this that are not ours are other people's work.
const STRANGERS: u64 = 50;

/// Why this target is not loaded; completes "failed to …".
#[derive(Debug, Error)]
pub enum TargetError {
    /// Its URL cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Nobody answers.
    #[error("reach the target at {authority}: {source}; is it running, and is target.url right?")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// Why.
        source: Trouble,
    },
    /// It says that it cannot serve.
    #[error("find the target at {authority} healthy: /health answers {status}")]
    Unhealthy {
        /// Host and port.
        authority: String,
        /// 503.
        status: u16,
    },
    /// Something else listens there.
    #[error("recognise ScaiWave at {authority}: {evidence}; is target.url right?")]
    NotScaiWave {
        /// Host and port.
        authority: String,
        /// What it did instead.
        evidence: String,
    },
    /// Other people are on it.
    #[error(
        "have the target to ourselves: scaiwave_ws_connections shows {0} connections that are not ours, more than \
         {STRANGERS}; run when it is quiet, or say --shared"
    )]
    Occupied(u64),
}

/// Looks at every endpoint, and at the `/metrics` of every pod. Returns what those said, before any client: `None` for
/// a pod that did not answer, which is no reason to refuse.
///
/// # Errors
///
/// The first reason not to load it. Other people's connections are none when it is `shared`.
pub async fn inspect(
    clock: &Clock,
    agent: &HeaderValue,
    endpoints: &[Rc<Endpoint>],
    metrics: &[Rc<Endpoint>],
    shared: bool,
) -> Result<Vec<Option<String>>, TargetError> {
    let visitor = Visitor { clock, agent };
    for endpoint in endpoints {
        endpoint.resolve().await?;
        visitor.health(endpoint).await?;
        visitor.recognise(endpoint).await?;
    }
    let mut servers = Servers::new(metrics.len(), false);
    let mut texts = Vec::new();
    for (index, endpoint) in (0..).zip(metrics) {
        let text = visitor.metrics(endpoint).await;
        servers.scraped(index, text.as_deref());
        texts.push(text);
    }
    match servers.connections() {
        Some(strangers) if strangers > STRANGERS && !shared => Err(TargetError::Occupied(strangers)),
        _ => Ok(texts),
    }
}

struct Visitor<'a> {
    clock: &'a Clock,
    agent: &'a HeaderValue,
}

impl Visitor<'_> {
    async fn get(&self, endpoint: &Endpoint, path: &str) -> Result<Answer, TargetError> {
        let deadline = self.clock.instant(self.clock.now() + PATIENCE);
        let request = || Call::get(path).to_request(endpoint, self.agent);
        let answer = exchange(&mut None, endpoint, deadline, api::METRICS_BYTES, request).await;
        let authority = endpoint.authority().to_owned();
        answer.map_err(|source| match source.kind {
            // It took the connection and the request, and then did not speak HTTP.
            TroubleKind::Broken | TroubleKind::TooLarge => TargetError::NotScaiWave {
                authority,
                evidence: format!("GET {path} is not answered as HTTP ({source})"),
            },
            _ => TargetError::Unreachable { authority, source },
        })
    }

    async fn metrics(&self, endpoint: &Endpoint) -> Option<String> {
        if !endpoint.has_address() {
            endpoint.resolve().await.ok()?;
        }
        let answer = self.get(endpoint, "").await.ok().filter(Answer::is_success)?;
        String::from_utf8(answer.body.into()).ok()
    }

    async fn health(&self, endpoint: &Endpoint) -> Result<(), TargetError> {
        let answer = self.get(endpoint, api::HEALTH).await?;
        let authority = endpoint.authority().to_owned();
        match answer.status {
            200 => Ok(()),
            status @ (500 | 502..=504) => Err(TargetError::Unhealthy { authority, status }),
            status => {
                let evidence = format!("/health answers {status} instead of 200");
                Err(TargetError::NotScaiWave { authority, evidence })
            }
        }
    }

    /// A `/health` of 200 is everybody's; a 401 with an `SW_*` code is ScaiWave's alone.
    async fn recognise(&self, endpoint: &Endpoint) -> Result<(), TargetError> {
        let answer = self.get(endpoint, api::ME).await?;
        let code = error_code(&answer.body);
        if answer.status == 401 && code.is_some() {
            return Ok(());
        }
        let code = code.map_or_else(|| "no SW_ code".to_owned(), |code| code.into_string());
        let evidence = format!(
            "{} without a token answers {} with {code} instead of 401 with an SW_ code",
            api::ME,
            answer.status
        );
        Err(TargetError::NotScaiWave { authority: endpoint.authority().to_owned(), evidence })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    const ME: (u16, &str) = (401, r#"{"error":{"code":"SW_AUTH_INVALID_TOKEN","message":"no token"}}"#);
    const QUIET: (u16, &str) = (200, "scaiwave_ws_connections{tenant=\"a\"} 50\n");

    /// Looks at a server that answers `/health`, `/v1/me` and `/metrics` in this way.
    fn inspected(
        health: u16,
        me: (u16, &'static str),
        metrics: (u16, &'static str),
        shared: bool,
    ) -> Result<Vec<Option<String>>, TargetError> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("bound"));
            spawn_local(async move {
                loop {
                    let (mut socket, _) = listener.accept().await.expect("a connection");
                    let mut request = vec![0; 4096];
                    let read = socket.read(&mut request).await.expect("a request");
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    let (status, body) = match request.split(' ').nth(1) {
                        Some("/health") => (health, "{}"),
                        Some("/v1/me") => me,
                        Some("/metrics") => metrics,
                        _ => (404, ""),
                    };
                    let answer =
                        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    socket.write_all(answer.as_bytes()).await.expect("an open connection");
                }
            });
            let endpoint =
                |path: &str| vec![Rc::new(Endpoint::parse(&format!("{url}{path}")).expect("a good URL"))];
            let agent = HeaderValue::from_static("wavesoak/0 (test)");
            inspect(&Clock::start(), &agent, &endpoint(""), &endpoint("/metrics"), shared).await
        })
    }

    #[test]
    fn a_scaiwave_with_few_strangers_may_be_loaded() {
        let texts = inspected(200, ME, QUIET, false).expect("nothing against it");
        assert_eq!(texts, [Some(QUIET.1.to_owned())]);
        assert_eq!(inspected(200, ME, (404, ""), false).expect("no metrics, no objection"), [None]);
    }

    #[test]
    fn strangers_are_not_disturbed_unless_that_is_asked_for() {
        let busy =
            (200, "scaiwave_ws_connections{tenant=\"a\"} 30\nscaiwave_ws_connections{tenant=\"b\"} 21\n");
        let refused = inspected(200, ME, busy, false).expect_err("51 strangers");
        assert!(matches!(refused, TargetError::Occupied(51)), "{refused}");
        assert!(inspected(200, ME, busy, true).is_ok());
    }

    #[test]
    fn what_is_unhealthy_or_something_else_is_told_apart() {
        let unhealthy = inspected(503, ME, QUIET, false).expect_err("503");
        assert!(matches!(unhealthy, TargetError::Unhealthy { status: 503, .. }), "{unhealthy}");
        for (health, me) in [
            (404, ME),
            (200, (200, "{}")),
            (200, (401, r#"{"error":{"code":"nope"}}"#)),
            (200, (404, r#"{"error":{"code":"SW_NOT_FOUND"}}"#)),
        ] {
            let other = inspected(health, me, QUIET, false).expect_err("not ScaiWave");
            assert!(matches!(other, TargetError::NotScaiWave { .. }), "{other}");
        }
    }
}
