//! One piece of provisioning work: many requests in the names of many identities, paced, repeated where that is safe.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::stream::{StreamExt as _, iter};
use tokio::time::{sleep, sleep_until};
use uuid::Uuid;

use super::super::api;
use super::super::http::{Answer, Call, Pool, Trouble, TroubleKind};
use super::super::line::Line;
use super::super::tokens::{SignInTrouble, SignedIn};
use super::{CONNECTIONS, ProvisionError};
use crate::plan::Population;
use crate::profile::quantity::Rate;
use crate::session::TokenLife;
use crate::wire::{Registered, ReplyError, error_code};

/// Tries of one request that can be repeated safely.
const TRIES: u32 = 3;

/// No server is waited for longer than this before a request is made again, whatever it says (ours).
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// A line for people.
pub(super) type Note<'a> = dyn FnMut(&str) + 'a;

/// Who does it, where, and for which run.
pub(super) struct Job<'a> {
    pub(super) line: &'a Line,
    pub(super) population: &'a Population,
    /// The run's id, as a text and as it is.
    pub(super) run: String,
    pub(super) id: Uuid,
    pools: Vec<Pool>,
    usernames: Vec<Box<str>>,
}

/// Why one request did not do what it was to do.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server said no.
    Refused { status: u16, code: Option<Box<str>> },
    /// There was no answer.
    Unanswered(Trouble),
    /// There was one, and it is nothing that could be read.
    Unreadable,
}

impl Failed {
    /// With what was wanted.
    pub(super) fn at(self, step: String) -> ProvisionError {
        match self {
            Self::Refused { status, code } => ProvisionError::Refused { step, status, code },
            Self::Unanswered(source) => ProvisionError::Unanswered { step, source },
            Self::Unreadable => ProvisionError::Malformed { step, source: ReplyError::NotJson },
        }
    }

    /// Whether this is the server's answer with this code.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if **code == *wanted)
    }

    /// The room is not there any more, or is not to be used any more.
    ///
    /// A 404 alone does not say so: it may be a balancer's in the middle of a rollout, or of a tenant that is not found.
    pub(super) fn is_of_a_room_that_is_gone(&self) -> bool {
        self.is("SW_ROOM_FROZEN") || self.is("SW_ROOM_NOT_FOUND")
    }

    /// ScaiWave has said no, as far as anybody can tell: else nothing is known.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status: 400..=499, .. } if !self.is("SW_RATE_LIMIT_EXCEEDED"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, code: Some(code) } => write!(f, "{code} ({status})"),
            Self::Refused { status, code: None } => write!(f, "{status} without an SW_ code"),
            Self::Unanswered(trouble) => write!(f, "{trouble}"),
            Self::Unreadable => f.write_str("the answer cannot be read"),
        }
    }
}

impl<'a> Job<'a> {
    pub(super) fn new(line: &'a Line, population: &'a Population, run: Uuid) -> Self {
        let each = CONNECTIONS.div_ceil(line.endpoints.len());
        let pools = line.endpoints.iter().map(|endpoint| Pool::new(Rc::clone(endpoint), each)).collect();
        let usernames = line.tokens.usernames();
        Self { line, population, run: run.hyphenated().to_string(), id: run, pools, usernames }
    }

    /// Does `step` for every number below `count`, [`CONNECTIONS`] at a time, begun no faster than `pace`; the results
    /// are in order. How far it has come is told now and then.
    pub(super) async fn all<T, F: Future<Output = Result<T, ProvisionError>>>(
        &self,
        doing: &str,
        pace: Option<Rate>,
        count: u32,
        note: &mut Note<'_>,
        step: impl Fn(u32) -> F,
    ) -> Result<Vec<T>, ProvisionError> {
        note(&format!("{doing}: {count}"));
        let begin = self.line.clock.now();
        let step = &step;
        let paced = move |number: u32| async move {
            if let Some(Rate(rate)) = pace.filter(|rate| rate.0 > 0.0) {
                let due = begin + Duration::from_secs_f64(f64::from(number) / rate);
                if due > self.line.clock.now() {
                    sleep_until(self.line.clock.instant(due)).await;
                }
            }
            step(number).await
        };
        let mut results = pin!(iter(0..count).map(paced).buffered(CONNECTIONS));
        let (mut all, mut told) = (Vec::with_capacity(count as usize), begin);
        while let Some(result) = results.next().await {
            all.push(result?);
            let now = self.line.clock.now();
            if now.since(told) >= PROGRESS {
                told = now;
                note(&format!("{doing}: {} of {count}", all.len()));
            }
        }
        Ok(all)
    }

    /// Everybody's first token, and what the server calls them.
    pub(super) async fn sign_everybody_in(
        &self,
        pace: Option<Rate>,
        note: &mut Note<'_>,
    ) -> Result<Vec<Registered>, ProvisionError> {
        let clients = self.population.clients();
        let registered = self.all("signing in", pace, clients, note, |client| self.register(client)).await?;
        note_sign_ins(self.line.tokens.signed_in(), note);
        Ok(registered)
    }

    /// An identity, for people.
    pub(super) fn who(&self, client: u32) -> String {
        let name = self.usernames.get(client as usize).map(|name| name.to_string());
        let line = self.line.tokens.line(client);
        match (name, line) {
            (Some(name), Some(line)) => format!("{name} (line {line} of auth.credentials)"),
            (Some(name), None) => name,
            (None, Some(line)) => format!("client {client} (line {line} of auth.credentials)"),
            (None, None) => self.population.username(client),
        }
    }

    async fn register(&self, client: u32) -> Result<Registered, ProvisionError> {
        self.sign_in(client).await?;
        let step = || format!("register {}", self.who(client));
        let answer = self.ask(client, step, true, || Call::post(api::REGISTER, "{}")).await?;
        Registered::parse(&answer.body).map_err(|source| ProvisionError::Malformed { step: step(), source })
    }

    /// Signs an identity in; a busy server is asked again.
    async fn sign_in(&self, client: u32) -> Result<(), ProvisionError> {
        let tokens = &self.line.tokens;
        let step = || match tokens.line(client) {
            Some(line) => format!("sign in client {client} (line {line} of auth.credentials)"),
            None => format!("sign in client {client}"),
        };
        let mut tries = 1;
        loop {
            let (error, again) = match tokens.sign_in(client, self.line.endpoint(client)).await {
                Ok(()) => return Ok(()),
                Err(SignInTrouble::Refused { status, code }) => {
                    let again = status == 429 || status >= 500;
                    (ProvisionError::Refused { step: step(), status, code }, again)
                }
                Err(SignInTrouble::Unanswered(source)) => {
                    (ProvisionError::Unanswered { step: step(), source }, true)
                }
                Err(SignInTrouble::Spent) => return Err(ProvisionError::Spent(step())),
            };
            if !again || tries == TRIES {
                return Err(error);
            }
            sleep(Duration::from_millis(500) * tries).await;
            tries += 1;
        }
    }

    /// One request in the name of a client that must succeed.
    pub(super) async fn ask<'c>(
        &self,
        client: u32,
        step: impl Fn() -> String,
        repeatable: bool,
        call: impl Fn() -> Call<'c>,
    ) -> Result<Answer, ProvisionError> {
        self.try_to(client, repeatable, call).await.map_err(|failed| failed.at(step()))
    }

    /// One request in the name of a client; repeated when that is safe and may help. A token that has expired meanwhile (a
    /// paced provisioning may take longer than it lives, and so may a run whose rooms are put away) is refreshed, once.
    pub(super) async fn try_to<'c>(
        &self,
        client: u32,
        repeatable: bool,
        call: impl Fn() -> Call<'c>,
    ) -> Result<Answer, Failed> {
        let pool = &self.pools[self.line.endpoint_index(client)];
        let tokens = &self.line.tokens;
        let (mut tries, mut renewed) = (1, false);
        loop {
            let life = tokens.life(client);
            let deadline = self.line.deadline(self.line.sync_deadline);
            let request = || self.line.request(client, call());
            let answer = pool.exchange(deadline, api::ANSWER_BYTES, request).await;
            let (failed, again, rest) = match answer {
                Ok(answer) if answer.is_success() => {
                    self.line.keep_cookies(client, &answer.cookies);
                    return Ok(answer);
                }
                Ok(Answer { status: 401, .. }) if !renewed && self.renew(client, life).await => {
                    renewed = true;
                    continue;
                }
                Ok(answer) => {
                    let (status, code) = (answer.status, error_code(&answer.body));
                    let again = status == 429 || (status >= 500 && repeatable);
                    (Failed::Refused { status, code }, again, answer.retry_after())
                }
                Err(trouble) => {
                    let again = repeatable || trouble.kind == TroubleKind::NotWritten;
                    (Failed::Unanswered(trouble), again, None)
                }
            };
            if !again || tries == TRIES {
                return Err(failed);
            }
            sleep(rest.unwrap_or(Duration::from_millis(500) * tries).min(PATIENCE)).await;
            tries += 1;
        }
    }
}

impl Job<'_> {
    /// Whether the identity has another token now than the one with this life.
    async fn renew(&self, client: u32, life: TokenLife) -> bool {
        let tokens = &self.line.tokens;
        tokens.life(client) != life
            || tokens.refresh(client, Rc::clone(self.line.endpoint(client))).await.is_ok()
    }
}

fn note_sign_ins(signed_in: SignedIn, note: &mut Note<'_>) {
    let SignedIn { kept, by_password, given, under_way } = signed_in;
    if kept + by_password + given > 0 {
        note(&format!(
            "signed in: {kept} with refresh tokens that an earlier run kept, {by_password} by password, {given} with the \
             file's own tokens; {under_way} refreshes had been under way when that run ended"
        ));
    }
}
