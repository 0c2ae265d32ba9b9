//! "You see the hello frame, but then nothing, even when you know messages are happening": a deaf connection.
//!
//! Two bursts of events are published to the room of all listeners: when their streams are there, and when listening has
//! ended. What was acknowledged while a stream was open, and did not come on it though something later did, was omitted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, Publish, Published, QUIET};
use crate::probe::report::secs;
use crate::probe::tape::Tape;
use crate::probe::vigil::Vigil;

const DEAF_REMEDY: &str = "\
WS-side bug: check the server logs for ws.fanout_failed; if many, restart the API pod. Its clients lose nothing that \
/v1/sync still returns, but they do not know that they have to ask.";

const EARLY_REMEDY: &str = "\
The pod says hello before its subscription is in place: what is published in between is on no stream. Clients that sync \
after hello (stream first) are spared; for the documented order the seam is wider by that time.";

/// How many of the events were stored is looked up by an identity that has no stream in the vigil.
pub(super) async fn examine(path: &Path, vigil: &Vigil) -> Judgement {
    let stored: Vec<&Publish> = vigil.published.iter().filter(|publish| publish.is_stored()).collect();
    let in_history = look_up(path, &stored).await;
    judge(vigil, path.lateness_bound(), in_history)
}

/// How many of these a page of the room's history has; `None`: nobody knows.
async fn look_up(path: &Path, stored: &[&Publish]) -> Option<usize> {
    let reader = *path.listeners().last()?;
    let answer =
        path.history(reader, QUIET, path.provisioned.positions[0].saturating_sub(1), 100).await.ok()?;
    let page = Path::page(&answer, true).ok()?;
    let ids: Vec<&str> = page.events.iter().filter_map(|event| event.id.as_deref()).collect();
    let has = |publish: &&&Publish| match &publish.reply {
        Published::Stored(created) => created.id.as_deref().is_some_and(|id| ids.contains(&id)),
        _ => false,
    };
    Some(stored.iter().filter(has).count())
}

/// One stream's share of what was published.
struct Share<'a> {
    tape: &'a Tape,
    due: usize,
    came: usize,
    /// Something came after the time in which the last missing event should have.
    proved: bool,
    /// All that is missing was sent within a moment of hello, and something later came.
    only_early: bool,
}

fn judge(vigil: &Vigil, bound: Duration, in_history: Option<usize>) -> Judgement {
    let mut judgement = Judgement::default();
    let stored = vigil.published.iter().filter(|publish| publish.is_stored()).count();
    if stored == 0 {
        judgement.unclear("none of our publishes was acknowledged: nobody knows whether events would arrive");
        return judgement;
    }
    let shares: Vec<Share<'_>> = vigil
        .tapes()
        .filter_map(|tape| Share::of(tape, vigil, bound))
        .filter(|share| share.due > 0)
        .collect();
    let (due, came): (usize, usize) =
        (shares.iter().map(|share| share.due).sum(), shares.iter().map(|share| share.came).sum());
    let omitted = |share: &&Share<'_>| share.came < share.due && share.proved;
    let early: Vec<&Share<'_>> = shares.iter().filter(|share| omitted(share) && share.only_early).collect();
    let deaf: Vec<&Share<'_>> = shares.iter().filter(|share| omitted(share) && !share.only_early).collect();
    let pods = by_pod(&shares, |_| true);
    if shares.is_empty() {
        judgement.unclear("no stream was open for long enough to be owed an event");
    } else {
        judgement.saw(format!(
            "{came} of {due} deliveries of {stored} events came, on {} streams ({pods})",
            shares.len()
        ));
    }
    if !deaf.is_empty() {
        let words =
            if deaf.iter().all(|share| share.came == 0) { "no event arrives" } else { "events are left out" };
        let mut finding = Finding::new("deaf", format!("hello comes, and then {words} on some streams"), DEAF_REMEDY)
            .with("streams", deaf.len() as f64)
            .because(format!(
                "{} of {} streams worked (a ping or a later frame came) and did not bring {} of {} events owed to them",
                deaf.len(),
                shares.len(),
                deaf.iter().map(|share| share.due - share.came).sum::<usize>(),
                deaf.iter().map(|share| share.due).sum::<usize>()
            ))
            .because(format!("by pod: {} (of all: {pods})", by_pod(&shares, |share| omitted(&share) && !share.only_early)));
        finding = match in_history {
            Some(found) => {
                finding.because(format!("the room's history has {found} of the {stored} acknowledged events"))
            }
            None => finding.because("the room's history could not be read"),
        };
        judgement.found(finding);
    }
    if !early.is_empty() {
        let latest = early.iter().filter_map(|share| Some(share.tape.hello.as_ref()?.0)).max();
        let last = vigil.published.iter().map(|publish| publish.sent).min().zip(latest);
        judgement.found(
            Finding::new("hello-early", "hello comes before the subscription", EARLY_REMEDY)
                .with("streams", early.len() as f64)
                .because(format!(
                    "{} of {} streams did not bring events published {} after hello, and brought later ones ({})",
                    early.len(),
                    shares.len(),
                    last.map_or_else(|| "soon".to_owned(), |(sent, hello)| secs(sent.since(hello))),
                    by_pod(&shares, |share| omitted(&share) && share.only_early)
                )),
        );
    }
    let unproved = shares.iter().filter(|share| share.came < share.due && !share.proved).count();
    if unproved > 0 {
        judgement.unclear(format!(
            "{unproved} streams brought less than was owed, and nothing at all after it: see silence"
        ));
    }
    judgement
}

impl<'a> Share<'a> {
    /// `None`: it was never said hello to.
    fn of(tape: &'a Tape, vigil: &Vigil, bound: Duration) -> Option<Self> {
        let (hello, _) = tape.hello.as_ref()?;
        let over = tape.end.as_ref().map_or(tape.until, |(at, _)| *at);
        let owed = |publish: &&Publish| {
            publish.is_stored() && publish.sent >= *hello && publish.answered + bound <= over
        };
        let came = |n: u32| tape.events.iter().any(|&(_, room, number)| room == QUIET && number == n);
        let due: Vec<&Publish> = vigil.published.iter().filter(owed).collect();
        let missing: Vec<&&Publish> = due.iter().filter(|publish| !came(publish.n)).collect();
        let last_missing = missing.iter().map(|publish| publish.answered).max();
        // Answers to our pings prove the path; server pings and later events prove more.
        let proved = last_missing.is_some_and(|answered| tape.last_in > answered);
        let mut had = due.iter().filter(|publish| came(publish.n)).peekable();
        let later = |publish: &&Publish| missing.iter().all(|missing| publish.sent > missing.sent);
        // A subscription that is late misses the first ones, and none behind one that came.
        let only_early = had.peek().is_some()
            && had.all(later)
            && missing.iter().all(|publish| publish.sent < vigil.until);
        Some(Self { tape, due: due.len(), came: due.len() - missing.len(), proved, only_early })
    }
}

fn by_pod(shares: &[Share<'_>], which: impl Fn(&Share<'_>) -> bool) -> String {
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    shares
        .iter()
        .filter(|share| which(share))
        .for_each(|share| *pods.entry(share.tape.server()).or_insert(0) += 1);
    let parts: Vec<String> = pods.iter().map(|(pod, count)| format!("{count} of {pod}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::{Event, Greeting, Heard};
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;
    use crate::time::Timestamp;
    use crate::wire::Created;

    const BOUND: Duration = Duration::from_secs(5);

    /// A stream of this pod that brought these numbers, and was pinged to the end.
    fn tape(pod: &str, came: &[u32]) -> Tape {
        let at = Timestamp::from_secs;
        let mut tape = Tape::new(0, at(0));
        tape.hear(at(0), Heard::Hello(Greeting { server: Some(pod.into()), ..Greeting::default() }));
        for &n in came {
            tape.hear(at(1), Heard::Event(Event { id: None, position: None, ours: Some((QUIET, Some(n))) }));
        }
        tape.hear(at(100), Heard::Ping);
        tape.until = at(101);
        tape
    }

    fn judged(tapes: Vec<Tape>) -> Judgement {
        let publish = |n: u32| {
            let at = Timestamp::from_secs(if n < 3 { 1 } else { 95 });
            Publish { n, sent: at, answered: at, reply: Published::Stored(Created::default()) }
        };
        let published = (0..6).map(publish).collect();
        let watch = Watch { client: 0, pings: false, tapes, refused: Vec::new() };
        let until = Timestamp::from_secs(95);
        judge(&Vigil { watches: vec![watch], published, until, ..Vigil::default() }, BOUND, Some(6))
    }

    #[test]
    fn a_stream_that_works_and_brings_nothing_is_deaf_and_its_pod_is_named() {
        let all = [0, 1, 2, 3, 4, 5];
        assert_eq!(judged(vec![tape("pod-1", &all), tape("pod-2", &all)]).outcome(), Outcome::Healthy);
        let judgement = judged(vec![tape("pod-1", &all), tape("pod-2", &[])]);
        assert_eq!(judgement.findings[0].name, "deaf");
        assert!(judgement.findings[0].evidence[1].contains("1 of pod-2"), "{judgement:?}");
    }

    #[test]
    fn a_stream_that_misses_only_the_first_ones_was_said_hello_to_early() {
        let judgement = judged(vec![tape("pod-1", &[3, 4, 5])]);
        assert_eq!(judgement.findings[0].name, "hello-early", "{judgement:?}");
        let between = judged(vec![tape("pod-1", &[0, 2, 3, 4, 5])]);
        assert_eq!(between.findings[0].name, "deaf", "{between:?}");
        let later = judged(vec![tape("pod-1", &[0, 1, 2])]);
        assert_eq!(later.findings[0].name, "deaf", "{later:?}");
    }

    #[test]
    fn a_stream_that_brings_nothing_at_all_is_not_called_deaf() {
        let mut silent = tape("pod-1", &[]);
        silent.last_in = Timestamp::from_secs(0);
        let judgement = judged(vec![silent]);
        assert_eq!(judgement.outcome(), Outcome::Inconclusive, "{judgement:?}");
    }
}
