//! The token in hand, and when it must be another one (protocol.md, sections 2 and 6).

use std::time::Duration;

use super::attempt::Step;
use super::settings::TOKENS_REFUSED_MAX;
use super::timers::Timer;
use super::{Action, Observation, Session, State, StopReason, TokenLife};
use crate::time::Timestamp;

/// What a session knows of its token; the text of it is the driver's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    life: TokenLife,
    /// Refused in a row, since the last hello.
    refused: u8,
    /// The token in hand was refused: the next attempt refreshes it, due or not.
    spoiled: bool,
    /// [`Action::Refresh`] is under way.
    asked: bool,
}

impl Tokens {
    pub(super) fn new(life: TokenLife) -> Self {
        Self { life, refused: 0, spoiled: false, asked: false }
    }

    /// At 80 % of its life (doc tutorials/developer/authenticate-with-scaikey).
    pub(super) fn due(&self) -> Timestamp {
        self.life.issued + self.life.life / 5 * 4
    }

    /// Whether an attempt must begin with a refresh.
    pub(super) fn must_refresh(&self, now: Timestamp) -> bool {
        self.spoiled || now >= self.due()
    }

    /// A hello came: the server takes the token.
    pub(super) fn accepted(&mut self) {
        self.refused = 0;
    }

    /// The plan's order begins or ends a visit: what was refused before is no longer "in a row", and an answer
    /// that is still under way is taken when it comes, but not waited for.
    pub(super) fn new_visit(&mut self) {
        self.refused = 0;
        self.asked = false;
    }

    /// Whether a refresh is under way.
    #[cfg(test)]
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// After a failure (not a refusal) a live client asks again after 5 % of the token's life (ours), so that
    /// there are a few more tries before it runs out.
    fn pause(&self) -> Duration {
        (self.life.life / 20).clamp(Duration::from_secs(1), Duration::from_secs(30))
    }
}

impl Session {
    /// Asks for another token: first step of an attempt, or at 80 % of its life while live, which leaves the stream
    /// as it is. One at a time: a refresh token may work only once.
    pub(super) fn ask_refresh(&mut self, now: Timestamp) {
        if !self.tokens.asked {
            self.tokens.asked = true;
            self.act(Action::Refresh);
            self.timers.set(Timer::RefreshDeadline, now + self.settings.client.sync_deadline);
        }
    }

    /// The token was renewed, whether this session asked for it or somebody else did. Who shares a refresh with a publisher
    /// may be told of it twice: one token is one refresh.
    pub(super) fn refreshed(&mut self, now: Timestamp, life: TokenLife) {
        let is_new = life != self.tokens.life;
        self.tokens = Tokens { life, spoiled: false, asked: false, ..self.tokens };
        self.timers.clear(Timer::RefreshDeadline);
        if is_new {
            self.observe(now, Observation::Refreshed);
        }
        match self.state {
            State::Refreshing => self.proceed(now),
            // A life too short for its own refresh must not keep the client refreshing without a pause.
            State::Live => {
                self.timers.set(Timer::RefreshDue, self.tokens.due().max(now + Duration::from_secs(1)));
            }
            _ => {}
        }
    }

    /// There is no new token. A refused refresh token is the end of the identity: nothing that the client holds
    /// can bring it another one.
    pub(super) fn refresh_failed(&mut self, now: Timestamp, refused: bool) {
        if !self.tokens.asked {
            return;
        }
        self.tokens.asked = false;
        self.timers.clear(Timer::RefreshDeadline);
        self.observe(now, Observation::RefreshFailed { refused });
        match self.state {
            State::Away | State::Stopped => {}
            _ if refused => self.stop(now, StopReason::AuthFailed),
            State::Refreshing => self.attempt_failed(now, Step::Token),
            State::Live => self.timers.set(Timer::RefreshDue, now + self.tokens.pause()),
            _ => {}
        }
    }

    /// The token in hand was refused. Returns whether the session has stopped for it.
    pub(super) fn token_refused(&mut self, now: Timestamp) -> bool {
        self.tokens.refused = self.tokens.refused.saturating_add(1);
        self.tokens.spoiled = true;
        self.observe(now, Observation::TokenRejected);
        let over = self.tokens.refused >= TOKENS_REFUSED_MAX;
        if over {
            self.stop(now, StopReason::AuthFailed);
        }
        over
    }
}
