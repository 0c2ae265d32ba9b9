//! What a few reconnects say: what fell into the seam, how wide it was, and whether hello was true (pure).

use std::time::Duration;

use super::super::order::{judge_end, tell};
use super::super::{ROOM, Run, Walk, millis, name};
use crate::probe::judgement::{Finding, Judgement, Observation};
use crate::probe::path::Publish;
use crate::time::Timestamp;

/// A seam is wide when no reconnect was quicker (ours; documented: about 2 s to hello is a failure), what the way there and
/// back takes left out.
const WIDE: Duration = Duration::from_secs(1);

/// So often the way is gone before hello: TCP, TLS (twice in its older version), the upgrade.
const ROUND_TRIPS: u32 = 4;

/// One reconnect in the documented order.
#[derive(Debug)]
pub(super) struct Try {
    /// When the last page of sync was there.
    pub(super) synced: Timestamp,
    /// When hello was.
    pub(super) hello: Timestamp,
    pub(super) run: Run,
    pub(super) before: Walk,
    /// Numbers that came on the stream.
    pub(super) live: Vec<u32>,
    /// Sync once more, from where the first one ended.
    pub(super) after: Walk,
    /// From a ping of ours on the new stream to its answer; `None`: nobody answered.
    pub(super) round_trip: Option<Duration>,
    /// How the stream ended before it was left: what it did not bring then was not its to bring.
    pub(super) ended: Option<String>,
}

impl Try {
    fn width(&self) -> Duration {
        self.hello.since(self.synced)
    }

    /// What came by neither, and was sent before hello.
    fn seam(&self) -> impl Iterator<Item = &Publish> {
        self.neither().filter(|own| own.sent <= self.hello)
    }

    /// What came by neither, and was sent after hello had come.
    fn unheard(&self) -> impl Iterator<Item = &Publish> {
        self.neither().filter(|own| own.sent > self.hello)
    }

    fn neither(&self) -> impl Iterator<Item = &Publish> {
        self.run.stored.iter().filter(|own| !self.live.contains(&own.n) && !self.before.has(ROOM, own.n))
    }

    /// What sync once more did not have either.
    pub(super) fn lost(&self) -> impl Iterator<Item = &Publish> {
        self.neither().filter(|own| !self.after.has(ROOM, own.n))
    }

    /// The first event sent after hello that came on the stream.
    fn first_heard(&self) -> Option<&Publish> {
        self.run.stored.iter().find(|own| own.sent > self.hello && self.live.contains(&own.n))
    }
}

/// What an operator, or whoever writes a client, can do about it.
const REMEDY: &str = "connect first and sync when hello has come, merged by id (client.bridge = \"stream-first\" in a profile), \
                      or sync once more after hello";

pub(super) fn judge(tries: &[Try], judgement: &mut Judgement) {
    let whole: Vec<&Try> = tries
        .iter()
        .filter(|own| {
            judge_end("sync before the stream is resumed", &own.before, judgement)
                && judge_end("sync after hello", &own.after, judgement)
        })
        .collect();
    if whole.is_empty() {
        return;
    }
    judge_unheard(&whole, judgement);
    judge_lost(&whole, judgement);
    judge_width(&whole, judgement);
}

/// Hello says that the stream is there: from then on it has to bring everything.
fn judge_unheard(tries: &[&Try], judgement: &mut Judgement) {
    let (mut early, mut omitted, mut widest) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut heard = 0;
    for (number, own) in (1..).zip(tries) {
        if let Some(ended) = &own.ended {
            judgement.unclear(format!(
                "reconnect {number}: the new stream ended ({ended}) before it was left: what it leaves out cannot be told"
            ));
            continue;
        }
        let Some(first) = own.first_heard() else {
            if own.unheard().next().is_some() {
                judgement.unclear(format!(
                    "reconnect {number}: nothing that was sent after hello came on the stream"
                ));
            }
            continue;
        };
        heard += 1;
        let before: Vec<&Publish> = own.unheard().filter(|unheard| unheard.sent < first.sent).collect();
        if let Some(last) = before.last() {
            let width = last.sent.since(own.hello);
            widest = widest.max(width);
            early.push(format!(
                "reconnect {number}: {} events sent up to {} after hello came by neither stream nor sync; the first to come was \
                 sent {} after hello",
                before.len(),
                millis(width),
                millis(first.sent.since(own.hello))
            ));
        }
        omitted.extend(own.unheard().map(|unheard| {
            let after = millis(unheard.sent.since(own.hello));
            let is_early = unheard.sent < first.sent;
            (
                is_early,
                format!("reconnect {number}: {}, sent {after} after hello, did not come", name(unheard)),
            )
        }));
    }
    // A subscription that is late is so each time; what is left out now and then may lie close behind hello as well.
    let is_each_time = early.len() * 2 > heard;
    let omitted: Vec<String> = omitted
        .into_iter()
        .filter(|(is_early, _)| !(*is_early && is_each_time))
        .map(|(_, line)| line)
        .collect();
    if !is_each_time {
        early.clear();
    }
    let finding = Finding::new(
        "hello-before-subscription",
        "hello comes before the subscription is in force: what is published meanwhile is lost to the stream",
        "On the server: subscribe first and say hello then. Until then a client has to sync once more some time after hello.",
    )
    .with("width_ms", widest.as_secs_f64() * 1e3);
    tell(finding, &early, judgement);
    let finding = Finding::new(
        "stream-omits",
        "a stream that works leaves out an event",
        "Check the server logs for ws.fanout_failed. If many, restart the API pod. A client can only find it by syncing now and \
         then while it is connected.",
    );
    tell(finding, &omitted, judgement);
}

/// What fell into the seam is in the log, so sync has it when it is asked again.
fn judge_lost(tries: &[&Try], judgement: &mut Judgement) {
    let mut lines = Vec::new();
    for (number, own) in (1..).zip(tries) {
        for lost in own.lost() {
            lines.push(format!(
                "reconnect {number}: {} came by neither, and sync once more from {} does not have it",
                name(lost),
                own.after.pages.first().map_or(0, |page| page.since)
            ));
        }
    }
    let finding = Finding::new(
        "seam-lost",
        "what is published during a reconnect is not in sync afterwards either",
        "No order of sync and stream recovers it: see whether it appears below a cursor that has passed it, or not at all (the \
         checks positions and bridge tell).",
    );
    tell(finding, &lines, judgement);
}

fn judge_width(tries: &[&Try], judgement: &mut Judgement) {
    let mut widths: Vec<Duration> = tries.iter().map(|own| own.width()).collect();
    widths.sort_unstable();
    let (Some(&least), Some(&most)) = (widths.first(), widths.last()) else { return };
    let at = |share: f64| widths[((widths.len() - 1) as f64 * share).round() as usize];
    let (p50, p90) = (at(0.5), at(0.9));
    let round_trip = tries.iter().filter_map(|own| own.round_trip).min();
    let way = round_trip.map_or_else(
        || "how far away the server is, is not known".to_owned(),
        |own| format!("the way there and back takes {}", millis(own)),
    );
    let published: usize = tries.iter().map(|own| own.run.stored.len()).sum();
    let fell: usize = tries.iter().map(|own| own.seam().count()).sum();
    let again: usize =
        tries.iter().map(|own| own.seam().filter(|seam| own.after.has(ROOM, seam.n)).count()).sum();
    let words = format!(
        "in the documented order (sync, then stream) the seam between sync reply and hello was open for {} (p50 of {}), {} (p90), \
         {} (worst); {way}; of {published} events published around it {fell} came by neither, and sync once more after hello had \
         {again} of these",
        millis(p50),
        widths.len(),
        millis(p90),
        millis(most)
    );
    if least > WIDE + round_trip.unwrap_or_default() * ROUND_TRIPS {
        judgement.found(
            Finding::new(
                "seam-wide",
                "the seam between sync and stream is wide: what is published meanwhile is missed at every reconnect",
                format!("{REMEDY}. And see what makes the upgrade, or hello, slow."),
            )
            .because(words.clone())
            .with("seam_ms_min", least.as_secs_f64() * 1e3)
            .with("seam_ms_p50", p50.as_secs_f64() * 1e3)
            .with("events", fell as f64),
        );
    } else {
        judgement.saw(format!("{words}. Remedy: {REMEDY}"));
    }
    judgement.observed(
        Observation::new("seam", words)
            .with("tries", widths.len() as f64)
            .with("published", published as f64)
            .with("events_in_neither", fell as f64)
            .with("events_by_another_sync", again as f64)
            .with("seam_ms_min", least.as_secs_f64() * 1e3)
            .with("seam_ms_p50", p50.as_secs_f64() * 1e3)
            .with("seam_ms_p90", p90.as_secs_f64() * 1e3)
            .with("seam_ms_max", most.as_secs_f64() * 1e3),
    );
}

#[cfg(test)]
mod tests {
    use super::super::super::LIMIT;
    use super::super::super::order::tests::{page, row, walk};
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::path::Published;
    use crate::wire::Created;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Event n is sent at 10 n ms and stored at 100 + n; sync brings up to 2, hello comes at 45 ms, the stream brings from 5 on.
    fn reconnect(hello: u64) -> Try {
        let publish = |n: u32| {
            let reply = Published::Stored(Created { id: None, position: Some(100 + u64::from(n)) });
            let sent = at(u64::from(n) * 10);
            Publish { n, sent, answered: sent, reply }
        };
        let rows: Vec<_> = (0..8).map(|n| row(n, 100 + u64::from(n))).collect();
        Try {
            synced: at(25),
            hello: at(hello),
            run: Run { stored: (0..8).map(publish).collect(), refused: Vec::new() },
            before: walk(LIMIT, vec![page(99, &rows[..3], 102, false)]),
            live: vec![5, 6, 7],
            after: walk(LIMIT, vec![page(102, &rows[3..], 107, false)]),
            round_trip: Some(Duration::from_millis(1)),
            ended: None,
        }
    }

    fn judged(tries: &[Try]) -> Judgement {
        let mut judgement = Judgement::default();
        judge(tries, &mut judgement);
        judgement
    }

    #[test]
    fn a_seam_is_measured_and_is_no_finding() {
        let healthy = judged(&[reconnect(45), reconnect(45)]);
        assert_eq!(healthy.outcome(), Outcome::Healthy, "{healthy:?}");
        let measured = &healthy.observed[0].measured;
        assert_eq!((measured["events_in_neither"], measured["events_by_another_sync"]), (4.0, 4.0));
        assert_eq!((measured["seam_ms_p50"], measured["published"]), (20.0, 16.0));
        assert!(healthy.seen[0].contains("stream-first"), "{healthy:?}");
    }

    #[test]
    fn what_is_sent_after_hello_and_does_not_come_says_that_hello_came_too_early() {
        let early = judged(&[reconnect(28)]);
        assert_eq!(early.findings[0].name, "hello-before-subscription");
        assert_eq!(early.findings[0].measured["width_ms"], 12.0);
        assert!(
            early.findings[0].evidence[0].starts_with("reconnect 1: 2 events sent up to 12.0 ms after hello")
        );
        let mut deaf = reconnect(28);
        deaf.live.clear();
        assert_eq!(judged(&[deaf]).outcome(), Outcome::Inconclusive);
        let once = judged(&[reconnect(28), reconnect(45), reconnect(45)]);
        assert_eq!(once.findings[0].name, "stream-omits", "not each time");
        let mut omits = reconnect(45);
        omits.live = vec![5, 7];
        let omits = judged(&[omits]);
        assert_eq!(omits.findings[0].name, "stream-omits");
        assert!(
            omits.findings[0].evidence[0].contains("event 6 (position 106), sent 15.0 ms after hello"),
            "{omits:?}"
        );
    }

    #[test]
    fn a_stream_that_ends_leaves_nothing_out() {
        let mut cut = reconnect(28);
        (cut.live, cut.ended) = (vec![5], Some("reset".to_owned()));
        let told = judged(&[cut, reconnect(45)]);
        assert_eq!(told.outcome(), Outcome::Inconclusive, "{told:?}");
        assert!(told.unclear[0].starts_with("reconnect 1: the new stream ended (reset)"), "{told:?}");
    }

    #[test]
    fn a_wide_seam_and_one_that_no_sync_closes_are_findings() {
        let mut wide = reconnect(45);
        wide.hello = at(3025);
        wide.live.clear();
        assert_eq!(judged(&[wide]).findings[0].name, "seam-wide");
        // As long, from the other side of the world.
        let mut far = reconnect(45);
        (far.hello, far.round_trip) = (at(1_525), Some(Duration::from_millis(300)));
        far.live.clear();
        let far = judged(&[far]);
        assert_eq!(far.outcome(), Outcome::Healthy, "{far:?}");
        assert!(far.seen[0].contains("there and back takes 300.0 ms"), "{far:?}");
        let mut lost = reconnect(45);
        lost.after = walk(LIMIT, vec![page(102, &[row(4, 104)], 107, false)]);
        assert_eq!(judged(&[lost]).findings[0].name, "seam-lost");
    }
}
