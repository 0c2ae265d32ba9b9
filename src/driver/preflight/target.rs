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
        endpoint.resolve().await.ok()?;
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
