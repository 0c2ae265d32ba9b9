//! "Close frame with code 4001": is a token expired, wrong, or is it a clock; and does the refresh work?

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AGE, DATE};
use serde::Deserialize;
use tokio::select;

use crate::driver::api;
use crate::driver::tokens::RefreshTrouble;
use crate::probe::ear::Heard;
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{KEYHOLDER, Path, failure_words};
use crate::probe::report::secs;
use crate::probe::tape::{Tape, ending_words};
use crate::probe::vigil::Vigil;
use crate::profile::AuthMode;
use crate::secret::Secret;
use crate::session::{ConnectFailure, Ending};
use crate::wire::CLOSE_INVALID_TOKEN;

/// Clocks that are further apart than this make good tokens look expired, or not yet valid (ours: what servers commonly
/// allow for).
const SKEW_MAX: f64 = 10.0;

/// A token's life is told in whole seconds, by another clock (ours).
const EXPIRY_SLACK: Duration = Duration::from_secs(2);

const SKEW_REMEDY: &str = "\
Set the clocks (chrony, NTP) of whoever issues tokens, of the pods and of the clients: a token is judged by the pod's clock, \
and refreshed by the client's.";

const REFUSED_REMEDY: &str = "\
SW_AUTH_INVALID_TOKEN. Token expired or invalid. The web client should refresh and reconnect; if it doesn't, check the auth \
refresh path (POST /v1/auth/refresh through the same balancer), the signing key, and the pods' clocks.";

const REFRESH_REMEDY: &str = "\
Check the auth refresh path: POST /v1/auth/refresh with the newest refresh token (each works once). A client whose refresh \
fails is closed with 4001 when its token ends, and cannot come back.";

const OTHERWISE_REMEDY: &str = "\
Clients wait for close code 4001 to refresh: with another answer they reconnect with the same token, again and again. Look \
for an intermediary that checks tokens, or hides close codes.";

/// What became of a stream that was opened with some token.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Hello,
    Ended(Ending),
    NotOpened(ConnectFailure),
    Silence,
}

/// Looks at the clock, then opens streams with a good token, a spoilt one, an expired one and a refreshed one.
pub(super) async fn examine(path: &Rc<Path>) -> Judgement {
    let mut judgement = Judgement::default();
    clocks(path, &mut judgement).await;
    let good = path.line.tokens.access(KEYHOLDER);
    judge_good(&good, &open(path, &good).await, "a good token", &mut judgement);
    if path.profile.auth.mode == AuthMode::Mock {
        judgement.saw("auth.mode is mock: any token is taken, and none can be refreshed");
        return judgement;
    }
    let wrong = spoilt(&good);
    judge_bad(&open(path, &wrong).await, "a token with a wrong signature", &mut judgement);
    path.line.tokens.expire(KEYHOLDER);
    let expired = path.line.tokens.access(KEYHOLDER);
    let what = if claims(&expired).is_some() && path.profile.auth.mode == AuthMode::DevJwt {
        "an expired token"
    } else {
        "a broken token in the place of the client's own"
    };
    judge_bad(&open(path, &expired).await, what, &mut judgement);
    refresh(path, &mut judgement).await;
    judgement
}

/// Opens one more stream with the newest token, when listening has ended.
pub(super) async fn again(path: &Rc<Path>, judgement: &mut Judgement) {
    // Listening may have taken longer than the token lives.
    path.keep_fresh(KEYHOLDER).await;
    let token = path.line.tokens.access(KEYHOLDER);
    judge_good(&token, &open(path, &token).await, "the newest token, after listening,", judgement);
}

/// 4001 on streams whose tokens were good when they were opened. A server that ends a live stream with its token does what
/// the page says of 4001: "token expired".
pub(super) fn judge_unprovoked(vigil: &Vigil, judgement: &mut Judgement) {
    let is_refused = |tape: &&Tape| tape.close_code() == Some(CLOSE_INVALID_TOKEN);
    let (expired, refused): (Vec<&Tape>, Vec<&Tape>) =
        vigil.tapes().filter(is_refused).partition(|tape| has_expired(tape));
    if !expired.is_empty() {
        judgement.saw(format!(
            "{} of {} held streams were closed with 4001 when their tokens expired: refreshed, they come back",
            expired.len(),
            vigil.tapes().count()
        ));
    }
    let unauthorised = vigil.watches.iter().flat_map(|watch| &watch.refused);
    let unauthorised = unauthorised.filter(|(_, why)| why.contains("HTTP 401")).count();
    if refused.is_empty() && unauthorised == 0 {
        return;
    }
    let live = refused.iter().filter(|tape| tape.hello.is_some()).count();
    let mut finding =
        Finding::new("token-refused", "tokens that were good a moment ago are refused", REFUSED_REMEDY)
            .with("streams", refused.len() as f64)
            .because(format!(
                "{} of {} held streams were closed with 4001, {live} of them after hello",
                refused.len(),
                vigil.tapes().count()
            ));
    let left = |tape: &&Tape| Some(tape.token_until?.since(tape.end.as_ref()?.0));
    if let Some(left) = refused.iter().filter_map(left).min() {
        finding = finding.because(format!(
            "their tokens had {} or more left by what was said when they were issued",
            secs(left)
        ));
    }
    if unauthorised > 0 {
        finding = finding
            .because(format!("{unauthorised} requests of sync with a good token were answered with 401"));
    }
    judgement.found(finding);
}

/// It was open until its token's end, or as near to it as whole seconds and two clocks come.
fn has_expired(tape: &Tape) -> bool {
    let ended = tape.end.as_ref().map(|(at, _)| *at);
    let lived = tape.hello.is_some();
    lived && ended.zip(tape.token_until).is_some_and(|(ended, until)| ended + EXPIRY_SLACK >= until)
}

/// Opens a stream with a token, waits for the first word, and leaves.
async fn open(path: &Rc<Path>, token: &Secret) -> Answer {
    let mut ear = match path.open_with(KEYHOLDER, token).await {
        Ok(ear) => ear,
        Err(failure) => return Answer::NotOpened(failure),
    };
    let until = path.now() + path.profile.client.hello_deadline;
    loop {
        select! {
            (_, heard) = ear.next() => match heard {
                Heard::Hello(_) => {
                    ear.leave().await;
                    return Answer::Hello;
                }
                Heard::End(ending) => return Answer::Ended(ending),
                _ => {}
            },
            () = path.sleep_until(until) => {
                ear.leave().await;
                return Answer::Silence;
            }
        }
    }
}

fn judge_good(token: &Secret, answer: &Answer, what: &str, judgement: &mut Judgement) {
    let words = match answer {
        Answer::Hello => return judgement.saw(format!("{what} is answered with hello")),
        Answer::Ended(Ending::Close { code: CLOSE_INVALID_TOKEN, reason }) => {
            format!("close 4001 {reason:?}")
        }
        Answer::Ended(ending) => {
            return judgement.unclear(format!("{what}: the stream ended by {}", ending_words(ending)));
        }
        Answer::NotOpened(ConnectFailure::Status(status @ (401 | 403))) => format!("HTTP {status}"),
        Answer::NotOpened(failure) => {
            return judgement.unclear(format!("{what}: {}", failure_words(*failure)));
        }
        Answer::Silence => return judgement.unclear(format!("{what}: neither hello nor a close frame came")),
    };
    let life = claims(token).map_or_else(
        || "it is no JWT, so nobody here knows when it expires".to_owned(),
        |claims| {
            format!("it was issued at {:.0} and expires at {:.0} (Unix seconds)", claims.iat, claims.exp)
        },
    );
    judgement.found(
        Finding::new("good-token-refused", "a token that should be good is refused", REFUSED_REMEDY)
            .because(format!("{what} is answered with {words}"))
            .because(life),
    );
}

fn judge_bad(answer: &Answer, what: &str, judgement: &mut Judgement) {
    let words = match answer {
        Answer::Ended(Ending::Close { code: CLOSE_INVALID_TOKEN, reason }) => {
            return judgement.saw(format!("{what} is answered with close 4001 {reason:?}"));
        }
        Answer::Hello => {
            return judgement.found(
                Finding::new(
                    "bad-token-taken",
                    "a token that cannot be good is taken",
                    "The server does not check tokens: it may run in mock or hybrid mode, where any non-empty token is one \
                     and the same user. A deployment must run in mode scaikey.",
                )
                .because(format!("{what} is answered with hello")),
            );
        }
        Answer::Ended(ending) => ending_words(ending),
        Answer::NotOpened(ConnectFailure::Status(status)) => format!("HTTP {status} instead of the upgrade"),
        Answer::NotOpened(failure) => {
            return judgement.unclear(format!("{what}: {}", failure_words(*failure)));
        }
        Answer::Silence => "silence".to_owned(),
    };
    judgement.found(
        Finding::new("refused-otherwise", "a bad token is not answered with close 4001", OTHERWISE_REMEDY)
            .because(format!("{what} is answered with {words}")),
    );
}

/// The page's own advice, done: refresh and reconnect.
async fn refresh(path: &Rc<Path>, judgement: &mut Judgement) {
    if !path.line.tokens.can_refresh(KEYHOLDER) {
        return judgement.unclear("there is no refresh token: nobody can tell whether the refresh works");
    }
    let refreshed = path.line.tokens.refresh(KEYHOLDER, Rc::clone(path.line.endpoint(KEYHOLDER))).await;
    match refreshed {
        Ok(_) => {
            let token = path.line.tokens.access(KEYHOLDER);
            judge_good(&token, &open(path, &token).await, "the refreshed token", judgement);
        }
        Err(trouble) => {
            let words = match trouble {
                RefreshTrouble::Refused => "is refused".to_owned(),
                RefreshTrouble::Answered(status) => format!("is answered with HTTP {status}, and no token"),
                RefreshTrouble::Unanswered => "is not answered, or not with a token".to_owned(),
            };
            // There is nothing at that path, or nothing that takes these.
            let is_absent =
                matches!(trouble, RefreshTrouble::Answered(404 | 405 | 501) | RefreshTrouble::Unanswered);
            if path.profile.auth.mode == AuthMode::DevJwt && is_absent {
                return judgement.unclear("this target does not refresh development tokens");
            }
            judgement.found(
                Finding::new("refresh-fails", "the refresh does not work", REFRESH_REMEDY)
                    .because(format!("POST {} {words}", api::REFRESH)),
            );
        }
    }
}

/// The `Date` of an answer against our own clock; the header has whole seconds.
async fn clocks(path: &Path, judgement: &mut Judgement) {
    let (before, asked) = (wall(path), path.now());
    let answer = path.look(path.line.endpoint(KEYHOLDER), api::HEALTH).await;
    let took = path.now().since(asked);
    let date = answer.ok().and_then(|answer| {
        let of = |name| answer.headers.get(name)?.to_str().ok();
        // What a cache on the way answers is as old as it says.
        let age = of(AGE).and_then(|age| age.trim().parse::<u32>().ok()).unwrap_or(0);
        Some(unix_seconds(of(DATE)?)? + f64::from(age))
    });
    let Some(date) = date else {
        return judgement.unclear("no answer has a Date: clocks cannot be compared");
    };
    judge_clocks(date + 0.5 - (before + took.as_secs_f64() / 2.0), took, judgement);
}

fn judge_clocks(skew: f64, took: Duration, judgement: &mut Judgement) {
    let doubt = 0.5 + took.as_secs_f64() / 2.0;
    let ahead = if skew > 0.0 { "ahead of" } else { "behind" };
    let words = format!(
        "the clock on the other side is {:.1} s {ahead} ours, ± {doubt:.1} s (HTTP Date)",
        skew.abs()
    );
    if skew.abs() - doubt > SKEW_MAX {
        judgement.found(
            Finding::new("clock-skew", "the clocks are apart", SKEW_REMEDY)
                .because(words)
                .with("skew_s", skew),
        );
    } else if skew.abs() > doubt {
        judgement.saw(words);
    } else {
        judgement.saw(format!("the clocks agree within {doubt:.1} s (HTTP Date)"));
    }
}

/// Our wall clock, Unix seconds, carried on by the monotonic one.
fn wall(path: &Path) -> f64 {
    let started = path.line.clock.started().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    started.as_secs_f64() + path.now().as_secs_f64()
}

/// "Sun, 22 Nov 2026 22:30:00 GMT"
fn unix_seconds(date: &str) -> Option<f64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(parsed.as_second() as f64)
}

/// Another signature; a token without one gets one letter more.
fn spoilt(token: &Secret) -> Secret {
    let text = token.expose();
    match text.rsplit_once('.') {
        Some((signed, _)) => Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 32]))),
        None => Secret::new(format!("{text}x")),
    }
}

#[derive(Deserialize)]
struct Claims {
    iat: f64,
    exp: f64,
}

/// Of a JWT; its signature is not ours to check.
fn claims(token: &Secret) -> Option<Claims> {
    let claims = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;
    use crate::time::Timestamp;

    fn name(judge: impl FnOnce(&mut Judgement)) -> (Outcome, &'static str) {
        let mut judgement = Judgement::default();
        judge(&mut judgement);
        (judgement.outcome(), judgement.findings.first().map_or("", |finding| finding.name))
    }

    fn closed(code: u16) -> Answer {
        Answer::Ended(Ending::Close { code, reason: "".into() })
    }

    #[test]
    fn a_bad_token_must_be_answered_with_4001_and_nothing_else() {
        let judged = |answer: Answer| name(|judgement| judge_bad(&answer, "it", judgement));
        assert_eq!(judged(closed(4001)), (Outcome::Healthy, ""));
        assert_eq!(judged(closed(1008)), (Outcome::Finding, "refused-otherwise"));
        assert_eq!(
            judged(Answer::NotOpened(ConnectFailure::Status(401))),
            (Outcome::Finding, "refused-otherwise")
        );
        assert_eq!(judged(Answer::Hello), (Outcome::Finding, "bad-token-taken"));
        assert_eq!(judged(Answer::NotOpened(ConnectFailure::Timeout)), (Outcome::Inconclusive, ""));
    }

    #[test]
    fn a_good_token_must_be_answered_with_hello_and_the_finding_shows_no_token() {
        let token = Secret::new(format!("x.{}.y", URL_SAFE_NO_PAD.encode(r#"{"iat":5,"exp":10}"#)));
        let mut judgement = Judgement::default();
        judge_good(&token, &closed(4001), "it", &mut judgement);
        assert_eq!(judgement.findings[0].name, "good-token-refused");
        assert!(judgement.findings[0].evidence[1].contains("issued at 5 and expires at 10"), "{judgement:?}");
        assert!(!format!("{judgement:?}").contains(token.expose()));
        assert_eq!(
            name(|judgement| judge_good(&token, &Answer::Hello, "it", judgement)),
            (Outcome::Healthy, "")
        );
    }

    #[test]
    fn clocks_are_compared_as_well_as_whole_seconds_allow() {
        let judged = |skew| name(|judgement| judge_clocks(skew, Duration::from_millis(10), judgement));
        assert_eq!(judged(0.4), (Outcome::Healthy, ""));
        assert_eq!(judged(-9.0), (Outcome::Healthy, ""));
        assert_eq!(judged(-30.0), (Outcome::Finding, "clock-skew"));
        assert_eq!(unix_seconds("Thu, 01 Jan 2026 00:00:00 GMT"), Some(1_767_225_600.0));
        assert_eq!(unix_seconds("yesterday"), None);
    }

    /// What is said of a stream that was closed with 4001 so long after its upgrade, its token having a life of 60 s.
    fn closed_at(secs: u64) -> (Outcome, &'static str) {
        let at = Timestamp::from_secs;
        let mut tape = Tape::new(1, at(0));
        tape.token_until = Some(at(60));
        tape.hear(at(0), Heard::Hello(Default::default()));
        tape.hear(at(secs), Heard::End(Ending::Close { code: 4001, reason: "".into() }));
        let watch = Watch { client: 1, pings: false, tapes: vec![tape], refused: Vec::new() };
        name(|judgement| judge_unprovoked(&Vigil { watches: vec![watch], ..Vigil::default() }, judgement))
    }

    #[test]
    fn a_stream_that_ends_with_its_token_is_told_from_one_whose_token_was_good() {
        assert_eq!(closed_at(20), (Outcome::Finding, "token-refused"));
        assert_eq!(closed_at(59), (Outcome::Healthy, ""));
        assert_eq!(closed_at(61), (Outcome::Healthy, ""));
    }

    #[test]
    fn a_spoilt_token_has_another_signature() {
        let good = Secret::new("head.body.sign");
        assert!(spoilt(&good).expose().starts_with("head.body.") && spoilt(&good) != good);
        assert_eq!(spoilt(&Secret::new("opaque")).expose(), "opaquex");
    }
}
