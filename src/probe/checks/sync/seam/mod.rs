//! "On reconnect: sync to bridge the gap, then resume the stream." What is published between the last sync reply and the new
//! subscription is in neither: the seam. It belongs to the documented order, so its being there is no finding; its width, and
//! a hello that comes before the subscription is in force, are.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::bridge::greeted;
use super::order::{judge_end, tell};
use super::{LIMIT, ROOM, Run, Walk, anchor, ask::End, bridger, millis, name, publishers, spacing, walk};
use crate::probe::ear::{Ear, Heard};
use crate::probe::judgement::{Finding, Judgement, Observation};
use crate::probe::path::{Path, Publish};
use crate::time::Timestamp;
use crate::wire::Position;

/// Reconnects.
const TRIES: usize = 5;

/// Events around one of them, at most.
const EVENTS_MAX: usize = 120;

/// The first so many come one close behind the other.
const DENSE_MAX: usize = 60;

/// Between two of those; off loopback, what `[limits]` allows.
const DENSE: Duration = Duration::from_millis(1);

/// Between two of the others, while the stream is waited for.
const SPARSE: Duration = Duration::from_millis(100);

/// Events under way before the client asks sync.
const LEAD: u32 = 6;

/// Events that have to come on the stream before a try is over, of those sent after hello.
const BEHIND: usize = 3;

/// Nothing came on the stream for so long after hello: no more is published.
const PATIENCE: Duration = Duration::from_secs(4);

/// What was on its way when the last event came has this long to come.
const GRACE: Duration = Duration::from_millis(100);

/// A seam is wide when no reconnect was quicker (ours; documented: about 2 s to hello is a failure).
const WIDE: Duration = Duration::from_secs(1);

/// One reconnect in the documented order.
#[derive(Debug)]
struct Try {
    /// When the last page of sync was there.
    synced: Timestamp,
    /// When hello was.
    hello: Timestamp,
    run: Run,
    before: Walk,
    /// Numbers that came on the stream.
    live: Vec<u32>,
    /// Sync once more, from where the first one ended.
    after: Walk,
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
    fn lost(&self) -> impl Iterator<Item = &Publish> {
        self.neither().filter(|own| !self.after.has(ROOM, own.n))
    }

    /// The first event sent after hello that came on the stream.
    fn first_heard(&self) -> Option<&Publish> {
        self.run.stored.iter().find(|own| own.sent > self.hello && self.live.contains(&own.n))
    }
}

/// Reconnects a few times while others publish.
pub(in super::super) async fn examine(path: &Rc<Path>) -> Judgement {
    let _floor = path.floor.lock().await;
    let mut judgement = Judgement::default();
    let mut cursor = match anchor(path).await {
        Ok(base) => base.position,
        Err(why) => {
            judgement.unclear(why);
            return judgement;
        }
    };
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        match reconnect(path, cursor).await {
            Ok(own) => {
                let whole = own.before.end == End::Done && own.after.end == End::Done;
                cursor = own.after.cursor().unwrap_or(cursor).max(cursor);
                tries.push(own);
                if !whole {
                    break;
                }
            }
            Err(why) => {
                judgement.unclear(why);
                break;
            }
        }
    }
    judge(&tries, &mut judgement);
    judgement
}

/// How far the one who reconnects is, for the ones who publish.
#[derive(Default)]
struct State {
    sent: Cell<u32>,
    heard: Cell<bool>,
    over: Cell<bool>,
}

async fn reconnect(path: &Rc<Path>, cursor: Position) -> Result<Try, String> {
    let state = State::default();
    let client = async {
        let entered = enter(path, cursor, &state).await;
        // Whatever came of it: nobody publishes for nothing.
        state.over.set(true);
        entered
    };
    let (run, entered) = futures::join!(publish(path, &state), client);
    if let Some(why) = run.trouble(1) {
        return Err(why);
    }
    let (before, synced, hello, mut ear, mut live) = entered?;
    listen(path, &mut ear, &run, hello, &mut live).await;
    let from = before.cursor().unwrap_or(cursor);
    let mut own =
        Try { synced, hello, run, before, live, after: walk(path, bridger(path), from, LIMIT).await };
    let bound = own.run.stored.iter().map(|own| own.answered).max().unwrap_or(hello) + path.lateness_bound();
    // What is late is not lost.
    while own.after.end == End::Done && own.lost().next().is_some() && path.now() < bound {
        path.sleep(GRACE).await;
        own.after = walk(path, bridger(path), from, LIMIT).await;
    }
    ear.reset();
    Ok(own)
}

/// Sync to its end, then the stream, then until a few events have come that were sent after hello.
async fn enter(
    path: &Rc<Path>,
    cursor: Position,
    state: &State,
) -> Result<(Walk, Timestamp, Timestamp, Ear, Vec<u32>), String> {
    let client = bridger(path);
    let begun = path.now();
    while state.sent.get() < LEAD && path.now() < begun + PATIENCE {
        path.sleep(Duration::from_millis(1)).await;
    }
    let before = walk(path, client, cursor, LIMIT).await;
    let synced = before.pages.last().map_or_else(|| path.now(), |page| page.answered);
    let mut ear =
        greeted(path, client).await.map_err(|why| format!("there was no stream to resume: {why}"))?;
    let hello = path.now();
    let (mut live, mut behind) = (Vec::new(), 0);
    let first = state.sent.get();
    let mut until = hello + PATIENCE;
    loop {
        tokio::select! {
            biased;
            (_, heard) = ear.next() => match heard {
                Heard::Event(event) => if let Some((ROOM, Some(n))) = event.ours {
                    live.push(n);
                    state.heard.set(true);
                    behind += 1;
                },
                Heard::End(_) => break,
                _ => {}
            },
            () = path.sleep_until(until) => break,
        }
        // Of those that came, as many may have been sent before hello as were under way.
        if behind >= BEHIND && state.sent.get() >= first + LEAD && !state.over.replace(true) {
            until = until.min(path.now() + GRACE);
        }
    }
    Ok((before, synced, hello, ear, live))
}

/// Dense at first, sparse while no event comes on the stream.
async fn publish(path: &Rc<Path>, state: &State) -> Run {
    let (members, mut run) = (publishers(path, MEMBERS), Run::default());
    let mut under_way = FuturesUnordered::new();
    let dense = DENSE.max(spacing(path));
    for index in 0..EVENTS_MAX {
        if state.over.get() {
            break;
        }
        under_way.push(path.publish(members[index % members.len()], ROOM));
        state.sent.set(state.sent.get() + 1);
        let pause = if index < DENSE_MAX || state.heard.get() { dense } else { SPARSE.max(dense) };
        let next = path.now() + pause;
        loop {
            tokio::select! {
                biased;
                Some(publish) = under_way.next(), if !under_way.is_empty() => run.push(publish),
                () = path.sleep_until(next) => break,
            }
        }
    }
    while let Some(publish) = under_way.next().await {
        run.push(publish);
    }
    run.stored.sort_by_key(|own| own.n);
    run
}

/// Members who publish at once.
const MEMBERS: usize = 6;

/// What was acknowledged and sent after hello has its time to come.
async fn listen(path: &Rc<Path>, ear: &mut Ear, run: &Run, hello: Timestamp, live: &mut Vec<u32>) {
    let last = run.stored.iter().map(|own| own.answered).max().unwrap_or(hello);
    let (bound, grace) = (last + path.lateness_bound(), path.now() + GRACE);
    loop {
        let all = run.stored.iter().filter(|own| own.sent > hello).all(|own| live.contains(&own.n));
        let until = if all { grace } else { bound };
        tokio::select! {
            biased;
            (_, heard) = ear.next() => match heard {
                Heard::Event(event) => if let Some((ROOM, Some(n))) = event.ours {
                    live.push(n);
                },
                Heard::End(_) => return,
                _ => {}
            },
            () = path.sleep_until(until) => return,
        }
    }
}

/// What an operator, or whoever writes a client, can do about it.
const REMEDY: &str = "connect first and sync when hello has come, merged by id (client.bridge = \"stream-first\" in a profile), \
                      or sync once more after hello";

fn judge(tries: &[Try], judgement: &mut Judgement) {
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
    let published: usize = tries.iter().map(|own| own.run.stored.len()).sum();
    let fell: usize = tries.iter().map(|own| own.seam().count()).sum();
    let again: usize =
        tries.iter().map(|own| own.seam().filter(|seam| own.after.has(ROOM, seam.n)).count()).sum();
    let words = format!(
        "in the documented order (sync, then stream) the seam between sync reply and hello was open for {} (p50 of {}), {} (p90), \
         {} (worst); of {published} events published around it {fell} came by neither, and sync once more after hello had \
         {again} of these",
        millis(p50),
        widths.len(),
        millis(p90),
        millis(most)
    );
    if least > WIDE {
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
    use super::super::order::tests::{page, row, walk};
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
    fn a_wide_seam_and_one_that_no_sync_closes_are_findings() {
        let mut wide = reconnect(45);
        wide.hello = at(3025);
        wide.live.clear();
        assert_eq!(judged(&[wide]).findings[0].name, "seam-wide");
        let mut lost = reconnect(45);
        lost.after = walk(LIMIT, vec![page(102, &[row(4, 104)], 107, false)]);
        assert_eq!(judged(&[lost]).findings[0].name, "seam-lost");
    }
}
