//! "Don't try to keep the stream open across long outages: fall back to sync". Is `timeout=0` answered at once, does an event
//! end a long poll, and how long is one without events held?

use std::rc::Rc;
use std::time::Duration;

use super::ask::read;
use super::{LIMIT, Page, Refusal, anchor, bridger, millis, page, publishers, walk};
use crate::driver::api;
use crate::driver::http::Call;
use crate::probe::judgement::{Finding, Judgement, Observation};
use crate::probe::path::Path;
use crate::probe::report::secs;
use crate::wire::Position;

/// An answer that may not wait and takes longer was not given at once (ours).
const AT_ONCE: Duration = Duration::from_secs(1);

/// Questions of one kind: the quickest answer counts, so that one hiccup is no finding.
const TRIES: usize = 3;

/// Polls of one kind that may be ended by somebody's event.
const AGAIN: usize = 4;

/// Documented: what is left out counts as this.
const DEFAULT: Duration = Duration::from_secs(30);

/// Time on top of it that the listening time must allow.
const MARGIN: Duration = Duration::from_secs(3);

/// A poll has this time to reach the server before the event that is to end it, beside what the way there takes.
const LEAD: Duration = Duration::from_millis(200);

/// How long the poll that an event ends may wait.
const WAKE: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Clone, Debug)]
struct Polled {
    /// `timeout=0`, with events and without: the time of each answer.
    full: Result<Vec<Duration>, Refusal>,
    empty: Result<Vec<Duration>, Refusal>,
    /// From the acknowledgement of a publish to the answer of the poll that waited for it.
    woken: Result<Wake, String>,
    held: Held,
    /// Without `timeout`; `None`: the listening time is too short for it.
    default: Option<Held>,
    lateness_bound: Duration,
}

/// How a poll that waits for an event ended.
#[derive(Clone, Debug)]
enum Wake {
    /// With the event, so long after its acknowledgement.
    After(Duration),
    /// With nothing.
    Never,
    Refused(Refusal),
}

/// A poll that found nothing.
#[derive(Clone, Debug)]
struct Held {
    asked: Duration,
    /// How long it was held; why it broke, and after how long; or somebody always published.
    outcome: Result<Duration, (Option<Refusal>, Duration)>,
}

/// Polls in a room where somebody speaks, and in one where nobody does.
pub(in super::super) async fn examine(path: &Rc<Path>) -> Judgement {
    // In the quiet room nobody publishes but the vigil, at its beginning and its end.
    let listener = path.listeners().last().copied().unwrap_or_else(|| bridger(path));
    let end = walk(path, listener, path.provisioned.positions[0], LIMIT).await.cursor();
    let since = end.unwrap_or(path.provisioned.positions[0]);
    let long = path.listen >= DEFAULT + MARGIN;
    let without = async { if long { Some(hold(path, listener, since, DEFAULT, false).await) } else { None } };
    let short = (path.listen / 4).clamp(Duration::from_millis(500), Duration::from_secs(5));
    let beside = async {
        let empty = zero(path, listener, since).await;
        let held = hold(path, listener, since, short, true).await;
        let (full, woken) = wake(path).await;
        (empty, held, full, woken)
    };
    let (default, (empty, held, full, woken)) = futures::join!(without, beside);
    judge(&Polled { full, empty, woken, held, default, lateness_bound: path.lateness_bound() })
}

async fn zero(path: &Rc<Path>, client: u32, since: Position) -> Result<Vec<Duration>, Refusal> {
    let (mut since, mut times) = (since, Vec::new());
    for _ in 0..TRIES + AGAIN {
        let page = page(path, client, since, LIMIT, Duration::ZERO).await?;
        since = page.cursor();
        if page.rows.is_empty() {
            times.push(page.took);
        }
        if times.len() == TRIES {
            break;
        }
    }
    Ok(times)
}

/// A page with an event in it, a few times; then a poll that an event has to end.
async fn wake(path: &Rc<Path>) -> (Result<Vec<Duration>, Refusal>, Result<Wake, String>) {
    let _floor = path.floor.lock().await;
    let client = bridger(path);
    let base = match anchor(path).await {
        Ok(base) => base,
        Err(why) => return (Ok(Vec::new()), Err(why)),
    };
    let mut times = Vec::new();
    for _ in 0..TRIES {
        match page(path, client, base.position.saturating_sub(1), 1, Duration::ZERO).await {
            Ok(page) => times.push(page.took),
            Err(refusal) => return (Err(refusal.clone()), Ok(Wake::Refused(refusal))),
        }
    }
    let since = walk(path, client, base.position, LIMIT).await.cursor().unwrap_or(base.position);
    let poll = poll(path, client, since);
    // Long enough for the poll to be there first, on a connection of its own if need be: one that comes behind the event has
    // its answer at once, and nothing is known.
    let ahead = LEAD + times.iter().max().copied().unwrap_or_default() * 4;
    let publish = async {
        path.sleep(ahead).await;
        path.publish(publishers(path, 1)[0], super::ROOM).await
    };
    let (polled, publish) = futures::join!(poll, publish);
    if let Some(why) = super::publishing::refusal(&publish) {
        return (Ok(times), Err(format!("a publish came to nothing: {why}")));
    }
    let woken = match polled {
        Ok(Some(page)) => Wake::After(page.answered.since(publish.answered)),
        Ok(None) => Wake::Never,
        Err(refusal) => Wake::Refused(refusal),
    };
    (Ok(times), Ok(woken))
}

/// Polls until there is an event; one that comes back with nothing is asked again, as a client would.
async fn poll(path: &Rc<Path>, client: u32, since: Position) -> Result<Option<Page>, Refusal> {
    let until = path.now() + WAKE;
    while path.now() < until {
        let page = page(path, client, since, LIMIT, until.since(path.now())).await?;
        if !page.rows.is_empty() {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// One poll that nothing ends, with `timeout` or without.
async fn hold(path: &Rc<Path>, client: u32, since: Position, asked: Duration, said: bool) -> Held {
    let mut since = since;
    for _ in 0..AGAIN {
        let begun = path.now();
        let answer = if said {
            page(path, client, since, 1, asked).await
        } else {
            let way = format!("/v1/sync?since={since}&limit=1");
            let patience = asked + path.profile.client.sync_deadline;
            let answer = path.ask_within(client, Call::get(&way), api::page_bytes(1), patience).await;
            read(path, answer, since, begun, false)
        };
        match answer {
            Ok(page) if page.rows.is_empty() => return Held { asked, outcome: Ok(page.took) },
            Ok(page) => since = page.cursor(),
            Err(refusal) => {
                let outcome = Err((Some(refusal), path.now().since(begun)));
                return Held { asked, outcome };
            }
        }
    }
    Held { asked, outcome: Err((None, Duration::ZERO)) }
}

fn judge(polled: &Polled) -> Judgement {
    let mut judgement = Judgement::default();
    judge_zero(polled, &mut judgement);
    judge_wake(polled, &mut judgement);
    let slack = slack(polled);
    let asked = format!("timeout of {}", secs(polled.held.asked));
    judge_held(&polled.held, &asked, slack, &mut judgement);
    match &polled.default {
        Some(held) => {
            judge_held(held, "no timeout (documented: 30 s)", slack, &mut judgement);
            if let Ok(took) = held.outcome {
                let what =
                    format!("an empty sync without timeout is held for {} (documented: 30 s)", secs(took));
                judgement.observed(Observation::new("long-poll", what).with("held_s", took.as_secs_f64()));
            }
        }
        None => judgement.observed(Observation::unseen(
            "long-poll",
            format!(
                "without timeout it is held for 30 s (documented): listen for {} or more",
                secs(DEFAULT + MARGIN)
            ),
        )),
    }
    judgement
}

/// What an answer takes that waits for nothing, and what it may be late.
fn slack(polled: &Polled) -> Duration {
    let quickest = polled.full.as_ref().ok().and_then(|times| times.iter().min());
    quickest.copied().unwrap_or_default() + polled.lateness_bound
}

fn judge_zero(polled: &Polled, judgement: &mut Judgement) {
    let (full, empty) = match (&polled.full, &polled.empty) {
        (Ok(full), Ok(empty)) => (full.iter().min(), empty.iter().min()),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal.judge("sync with timeout=0", judgement),
    };
    match (full, empty) {
        (Some(full), _) if *full > AT_ONCE => judgement.found(
            Finding::new(
                "sync-slow",
                "sync is slow to answer",
                "Every reconnect waits for it before the stream is opened again: look at the query behind /v1/sync (an index on \
                 tenant and stream_position), and at the pod's load.",
            )
            .because(format!("the quickest of {TRIES} pages with events, timeout=0, took {}", secs(*full)))
            .with("quickest_s", full.as_secs_f64()),
        ),
        (_, Some(empty)) if *empty > AT_ONCE => judgement.found(
            Finding::new(
                "timeout-zero-waits",
                "sync with timeout=0 waits, though it must not",
                "A client that missed nothing is kept from its stream for that long at every reconnect. Let clients open the \
                 stream first, or let the server take timeout=0 at its word.",
            )
            .because(format!("the quickest of {TRIES} empty pages with timeout=0 took {}", secs(*empty)))
            .with("quickest_s", empty.as_secs_f64()),
        ),
        (full, Some(empty)) => {
            let with = full.map_or_else(String::new, |full| format!(", with events after {}", millis(*full)));
            judgement.saw(format!("timeout=0 without events is answered after {}{with}", millis(*empty)));
        }
        (_, None) => judgement.unclear("somebody published all the time: no sync was without events"),
    }
}

fn judge_wake(polled: &Polled, judgement: &mut Judgement) {
    // A slow sync is slow here as well, and is called by its own name.
    let bound = slack(polled) * 2;
    let late = match &polled.woken {
        Ok(Wake::After(after)) if *after <= bound => {
            return judgement
                .saw(format!("an event ends a long poll {} after it is acknowledged", millis(*after)));
        }
        Ok(Wake::After(after)) => format!("it came {} after the event was acknowledged", secs(*after)),
        Ok(Wake::Never) => format!("polls for {} ms came back without it", WAKE.as_millis()),
        Ok(Wake::Refused(refusal)) => {
            return judge_broken(refusal, WAKE, "a poll that waits for an event", None, judgement);
        }
        Err(why) => return judgement.unclear(why),
    };
    judgement.found(
        Finding::new(
            "poll-deaf",
            "a long poll is not ended by an event",
            "A client that has fallen back to sync hears of everything only when its poll runs out: the pod that holds the poll \
             must be told of publishes on other pods (ws.fanout_failed in its log; the page advises to restart the pod).",
        )
        .because(late),
    );
}

fn judge_held(held: &Held, how: &str, slack: Duration, judgement: &mut Judgement) {
    let asked = held.asked;
    let took = match &held.outcome {
        Ok(took) => *took,
        Err((Some(refusal), after)) => return judge_broken(refusal, asked, how, Some(*after), judgement),
        Err((None, _)) => return judgement.unclear("somebody published all the time: no long poll ran out"),
    };
    if took + Duration::from_millis(100) < asked.mul_f64(0.9) {
        judgement.found(
            Finding::new(
                "poll-early",
                "an empty long poll is answered before its time",
                "A client that polls again at once hammers the server: let it wait between polls, and look for a limit on \
                 timeout (server or balancer) that is below what was asked for.",
            )
            .because(format!("{how} was answered, with nothing, after {}", secs(took)))
            .with("asked_s", asked.as_secs_f64())
            .with("held_s", took.as_secs_f64()),
        );
    } else if took > asked + slack {
        judgement.found(
            Finding::new(
                "poll-late",
                "an empty long poll is held for longer than it asked",
                "A client that wants to try its stream again waits for it: timeout is in milliseconds; let the server keep it.",
            )
            .because(format!("{how} was answered after {}", secs(took)))
            .with("asked_s", asked.as_secs_f64())
            .with("held_s", took.as_secs_f64()),
        );
    } else {
        judgement.saw(format!("an empty long poll ({how}) is held for {}", secs(took)));
    }
}

/// A poll that ended in no page.
fn judge_broken(
    refusal: &Refusal,
    asked: Duration,
    how: &str,
    after: Option<Duration>,
    judgement: &mut Judgement,
) {
    let by_time = match refusal {
        Refusal::Unanswered(_) => true,
        Refusal::Status(status, _) => matches!(status, 408 | 502 | 504),
        Refusal::NoPage => false,
    };
    if !by_time {
        return refusal.judge("a long poll", judgement);
    }
    let after = after.map_or_else(String::new, |after| format!(" after {}", secs(after)));
    judgement.found(
        Finding::new(
            "poll-cut",
            "a long poll is cut on its way",
            "An intermediary gives requests less time than the documented 30 s of a long poll: raise its response timeout \
             (proxy_read_timeout, timeout server) past 60s (recommend 75–90s), or let clients ask with a shorter timeout.",
        )
        .because(format!("{how}: {}{after}", refusal.words()))
        .with("asked_s", asked.as_secs_f64()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;

    fn polled() -> Polled {
        let times = || Ok(vec![Duration::from_millis(3); TRIES]);
        let asked = Duration::from_secs(5);
        Polled {
            full: times(),
            empty: times(),
            woken: Ok(Wake::After(Duration::from_millis(2))),
            held: Held { asked, outcome: Ok(asked) },
            default: None,
            lateness_bound: Duration::from_secs(5),
        }
    }

    fn only(polled: &Polled) -> &'static str {
        let judged = judge(polled);
        assert_eq!(judged.findings.len(), 1, "{judged:?}");
        judged.findings[0].name
    }

    #[test]
    fn a_poll_that_keeps_its_time_is_healthy_and_a_short_listening_time_leaves_the_default_unseen() {
        let judged = judge(&polled());
        assert_eq!(judged.outcome(), Outcome::Healthy);
        assert!(!judged.observed[0].seen);
        let default = Some(Held { asked: DEFAULT, outcome: Ok(DEFAULT) });
        let judged = judge(&Polled { default, ..polled() });
        assert_eq!(judged.observed[0].measured["held_s"], 30.0);
    }

    #[test]
    fn slow_pages_are_told_from_empty_ones_that_wait() {
        let slow = || Ok(vec![Duration::from_secs(3), Duration::from_secs(4)]);
        assert_eq!(only(&Polled { full: slow(), empty: slow(), ..polled() }), "sync-slow");
        assert_eq!(only(&Polled { empty: slow(), ..polled() }), "timeout-zero-waits");
        let hiccup = Ok(vec![Duration::from_secs(9), Duration::from_millis(3)]);
        assert_eq!(judge(&Polled { empty: hiccup, ..polled() }).outcome(), Outcome::Healthy);
    }

    #[test]
    fn a_poll_that_is_cut_that_ends_early_late_or_never_is_told_apart() {
        let held = |outcome| Polled { held: Held { asked: Duration::from_secs(5), outcome }, ..polled() };
        assert_eq!(only(&held(Ok(Duration::from_secs(1)))), "poll-early");
        assert_eq!(only(&held(Ok(Duration::from_secs(11)))), "poll-late");
        let cut = |refusal| held(Err((Some(refusal), Duration::from_secs(3))));
        assert_eq!(only(&cut(Refusal::Status(504, None))), "poll-cut");
        assert_eq!(only(&cut(Refusal::Unanswered("reset".to_owned()))), "poll-cut");
        assert_eq!(only(&cut(Refusal::Status(500, None))), "sync-refused");
        assert_eq!(only(&Polled { woken: Ok(Wake::Never), ..polled() }), "poll-deaf");
        assert_eq!(judge(&held(Err((None, Duration::ZERO)))).outcome(), Outcome::Inconclusive);
    }
}
