//! "Close frame with code 4003": `ping_timeout` and `duplicate_connection`, provoked; and what comes of neither.

use std::rc::Rc;
use std::time::Duration;

use tokio::select;

use crate::probe::ear::{Ear, Heard};
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{MUTE, Path, TWIN, failure_words};
use crate::probe::report::secs;
use crate::probe::tape::ending_words;
use crate::probe::vigil::Vigil;
use crate::session::Ending;
use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN};

/// Unanswered pings after which a server that still does nothing never will: twice what the reference target takes, and
/// "too many" by anybody's count (ours).
const PINGS_TOO_MANY: usize = 5;

const KEPT_REMEDY: &str = "\
The page: a client that missed too many pongs is closed with 4003, ping_timeout. A pod that does not do so keeps dead \
connections: scaiwave_ws_connections grows, and events are written to nobody. Look for an intermediary that answers pings \
by itself, and at the pod's ping settings.";

const PONG_REMEDY: &str = "\
Server-side abort: look for ws.disconnect in the logs; reason = \"ping_timeout\" means that the client missed too many pongs. \
These clients answered every ping: what they send does not arrive (a half-open path), or arrives too late.";

const TWIN_REMEDY: &str = "\
Server-side abort: look for ws.disconnect in the logs; reason = \"duplicate_connection\" means that another client signed in \
with the same token; the older one is closed. Nobody but this probe should have these tokens: use identities that no other \
client has.";

const UNSAID: &str = "\
The close frame names no reason: it may as well be duplicate_connection, somebody else with the same token.";

const BOTH_REMEDY: &str = "\
The page: the older of two connections of one token is closed with 4003, duplicate_connection. Where that does not happen, \
pods may not know of each other's connections (look at what they share), or an intermediary keeps the older one from \
hearing of it.";

/// What became of the client that answers no ping, and of those that answer all.
pub(super) fn ping_timeout(path: &Path, vigil: Option<&Vigil>, mute: &Muted) -> Judgement {
    let mut judgement = Judgement::default();
    match mute {
        Muted::Nobody => {
            let people = path.population.clients();
            judgement.unclear(format!("{people} identities are too few to leave one mute"));
        }
        mute => judge_mute(mute, path.listen, &mut judgement),
    }
    if let Some(vigil) = vigil {
        judge_unprovoked(vigil, false, &mut judgement);
    }
    judgement
}

/// A client that answers no ping, until it is closed or listening ends.
fn judge_mute(mute: &Muted, listened: Duration, judgement: &mut Judgement) {
    match mute {
        Muted::Nobody => {}
        Muted::NotOpened(why) => judgement.unclear(format!("the mute client's stream could not be opened: {why}")),
        // What is closed before it was asked for anything, or for another client's sake, was not closed for its silence.
        Muted::Ended { ending: Ending::Close { code: CLOSE_ABORTED, reason }, pings: pings @ 1.., after }
            if &**reason != DUPLICATE =>
        {
            judgement.saw(format!(
                "a client that answers no ping was closed with 4003 {reason:?} {} after the upgrade, {pings} pings unanswered",
                secs(*after)
            ));
        }
        Muted::Ended { ending: ending @ Ending::Close { code, .. }, pings: pings @ 1.., after }
            if !SAY_NOTHING_OF_PONGS.contains(code) =>
        {
            judgement.found(
                Finding::new(
                    "ping-timeout-otherwise",
                    "a client that answers no ping is not closed with 4003",
                    KEPT_REMEDY,
                )
                .because(format!(
                    "it ended by {} after {}, {pings} pings unanswered",
                    ending_words(ending),
                    secs(*after)
                )),
            );
        }
        // Who drops it may have had another reason than its silence.
        Muted::Ended { ending, pings, after } => judgement.unclear(format!(
            "the mute client's stream ended ({}) after {}, {pings} pings unanswered: it was not closed for that",
            ending_words(ending),
            secs(*after)
        )),
        Muted::Open { pings } if pings.len() >= PINGS_TOO_MANY => judgement.found(
            Finding::new("no-ping-timeout", "a client that answers no ping is kept", KEPT_REMEDY)
                .with("pings_unanswered", pings.len() as f64)
                .because(format!("{} pings went unanswered in {}", pings.len(), secs(listened))),
        ),
        Muted::Open { pings } if pings.is_empty() => judgement.unclear(format!(
            "no ping of the server came in {} that could go unanswered: see the check pings",
            secs(listened)
        )),
        Muted::Open { pings } => {
            let interval = pings.windows(2).map(|pair| pair[1].since(pair[0])).max();
            let interval = interval.unwrap_or(Duration::from_secs(30));
            let needed = interval * PINGS_TOO_MANY as u32 + interval / 2;
            judgement.unclear(format!(
                "{} pings went unanswered and the client is still there; that it is never closed would show in {}: --listen {}s",
                pings.len(),
                secs(needed),
                needed.as_secs() + 1
            ));
        }
    }
}

/// Closes that have a reason of their own, whatever the client answers: the other codes of the page (4003 for a duplicate is
/// one), a pod that is going away, a service that restarts.
const SAY_NOTHING_OF_PONGS: [u16; 4] = [CLOSE_INVALID_TOKEN, CLOSE_ABORTED, 1001, 1012];

/// What became of the client that answers no ping.
pub(super) enum Muted {
    /// There is no identity for it.
    Nobody,
    NotOpened(String),
    Ended {
        ending: Ending,
        pings: usize,
        after: Duration,
    },
    Open {
        pings: Vec<Timestamp>,
    },
}

/// Holds it; side by side with the vigil.
pub(super) async fn mute(path: &Rc<Path>) -> Muted {
    if !path.has(MUTE) {
        return Muted::Nobody;
    }
    let until = path.now() + path.listen + Duration::from_secs(1);
    let mut ear = match path.open(MUTE).await {
        Ok(ear) => ear,
        Err(failure) => return Muted::NotOpened(failure_words(failure)),
    };
    ear.mute();
    let (opened, mut pings) = (ear.opened, Vec::new());
    loop {
        select! {
            (at, heard) = ear.next() => match heard {
                Heard::Ping | Heard::JsonPing if pings.len() < 1000 => pings.push(at),
                Heard::End(ending) => {
                    return Muted::Ended { ending, pings: pings.len(), after: at.since(opened) };
                }
                _ => {}
            },
            () = path.sleep_until(until) => {
                ear.leave().await;
                return Muted::Open { pings };
            }
        }
    }
}

/// Two streams of one token: the older one must be closed.
pub(super) async fn duplicate(path: &Rc<Path>) -> Judgement {
    let mut judgement = Judgement::default();
    if !path.has(TWIN) {
        judgement.unclear(format!("{} identities are too few to spare one", path.population.clients()));
        return judgement;
    }
    let (older, newer) = match (greeted(path).await, greeted(path).await) {
        (Ok(older), Ok(newer)) => (older, newer),
        (Err(why), _) | (_, Err(why)) => {
            judgement.unclear(format!("two streams of one token could not be opened: {why}"));
            return judgement;
        }
    };
    let begun = path.now();
    let bound = path.lateness_bound();
    let (older, newer) = futures::join!(ending_within(path, older, bound), ending_within(path, newer, bound));
    match (&older, &newer) {
        (Some((at, Ending::Close { code: CLOSE_ABORTED, reason })), newer) if !is_aborted(newer) => judgement.saw(format!(
            "of two streams of one token the older was closed with 4003 {reason:?} {} after the newer's hello",
            secs(at.since(begun))
        )),
        // A drop is another line of the page, and leaves this one open.
        (Some((_, ending @ (Ending::Eof | Ending::Reset))), _) => judgement.unclear(format!(
            "the older of two streams of one token ended by {} before it could be told whether it would be closed",
            ending_words(ending)
        )),
        (older, newer) => {
            let words = |end: &Option<(Timestamp, Ending)>| {
                end.as_ref().map_or_else(|| "stays open".to_owned(), |(_, ending)| format!("ends by {}", ending_words(ending)))
            };
            judgement.found(
                Finding::new(
                    "duplicate-kept",
                    "of two connections of one token the older one is not closed with 4003",
                    BOTH_REMEDY,
                )
                .because(format!(
                    "within {} of the second hello the older one {}, the newer one {}",
                    secs(bound),
                    words(older),
                    words(newer)
                )),
            );
        }
    }
    judgement
}

fn is_aborted(end: &Option<(Timestamp, Ending)>) -> bool {
    matches!(end, Some((_, Ending::Close { code: CLOSE_ABORTED, .. })))
}

/// A stream of the twin that has been said hello to.
async fn greeted(path: &Rc<Path>) -> Result<Ear, String> {
    let mut ear = path.open(TWIN).await.map_err(failure_words)?;
    let until = path.now() + path.profile.client.hello_deadline;
    loop {
        select! {
            (_, heard) = ear.next() => match heard {
                Heard::Hello(_) => return Ok(ear),
                Heard::End(ending) => return Err(format!("it ended by {} before hello", ending_words(&ending))),
                _ => {}
            },
            () = path.sleep_until(until) => return Err("no hello came in time".to_owned()),
        }
    }
}

async fn ending_within(path: &Rc<Path>, mut ear: Ear, bound: Duration) -> Option<(Timestamp, Ending)> {
    let until = path.now() + bound;
    loop {
        select! {
            (at, heard) = ear.next() => if let Heard::End(ending) = heard {
                return Some((at, ending));
            },
            () = path.sleep_until(until) => {
                ear.leave().await;
                return None;
            }
        }
    }
}

/// 4003 on streams that did nothing to deserve it: those that say `duplicate`, or all others.
pub(super) fn judge_unprovoked(vigil: &Vigil, duplicate: bool, judgement: &mut Judgement) {
    let aborted = vigil.tapes().filter_map(|tape| match &tape.end {
        Some((_, Ending::Close { code: CLOSE_ABORTED, reason })) => Some((tape, &**reason)),
        _ => None,
    });
    let own: Vec<_> = aborted.filter(|(_, reason)| (*reason == DUPLICATE) == duplicate).collect();
    let Some((first, reason)) = own.first() else { return };
    let streams = vigil.tapes().count();
    let unanswered = first.all_pings().len();
    let finding = if duplicate {
        Finding::new("evicted", "streams are closed with 4003: somebody else uses their tokens", TWIN_REMEDY)
    } else {
        let remedy =
            if reason.is_empty() { format!("{PONG_REMEDY}\n{UNSAID}") } else { PONG_REMEDY.to_owned() };
        Finding::new("aborted", "streams that answer every ping are closed with 4003", remedy)
    };
    judgement.found(
        finding
            .with("streams", own.len() as f64)
            .because(format!("{} of {streams} streams were closed with 4003, reason {reason:?}", own.len()))
            .because(format!(
                "the first of them, of {}, after {}, with {unanswered} pings of the server answered",
                first.server(),
                secs(first.age())
            )),
    );
}

const DUPLICATE: &str = "duplicate_connection";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;

    fn judged(mute: &Muted) -> (Outcome, &'static str) {
        let mut judgement = Judgement::default();
        judge_mute(mute, Duration::from_secs(95), &mut judgement);
        (judgement.outcome(), judgement.findings.first().map_or("", |finding| finding.name))
    }

    fn ended(ending: Ending, pings: usize) -> (Outcome, &'static str) {
        judged(&Muted::Ended { ending, pings, after: Duration::from_secs(90) })
    }

    fn closed(code: u16, reason: &str, pings: usize) -> (Outcome, &'static str) {
        ended(Ending::Close { code, reason: reason.into() }, pings)
    }

    #[test]
    fn who_answers_no_ping_must_be_closed_with_4003_whatever_the_frame_says_of_it() {
        assert_eq!(closed(4003, "ping_timeout", 2), (Outcome::Healthy, ""));
        assert_eq!(closed(4003, "", 2), (Outcome::Healthy, ""));
        assert_eq!(closed(1011, "keepalive ping timeout", 1), (Outcome::Finding, "ping-timeout-otherwise"));
    }

    #[test]
    fn an_end_that_has_another_reason_proves_nothing_of_pongs() {
        assert_eq!(closed(4003, "duplicate_connection", 2), (Outcome::Inconclusive, ""));
        assert_eq!(closed(4003, "ping_timeout", 0), (Outcome::Inconclusive, ""), "nobody had asked");
        assert_eq!(closed(4001, "", 2), (Outcome::Inconclusive, ""));
        assert_eq!(closed(1012, "", 2), (Outcome::Inconclusive, ""));
        assert_eq!(ended(Ending::Eof, 2), (Outcome::Inconclusive, ""));
    }

    #[test]
    fn who_is_kept_is_named_after_enough_pings_and_not_before() {
        let open =
            |pings: u64| Muted::Open { pings: (1..=pings).map(|n| Timestamp::from_secs(n * 30)).collect() };
        assert_eq!(judged(&open(3)), (Outcome::Inconclusive, ""));
        assert_eq!(judged(&open(5)), (Outcome::Finding, "no-ping-timeout"));
    }
}
