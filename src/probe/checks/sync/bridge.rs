//! "On reconnect: /v1/sync?since=<last_stream_position> to bridge the gap". A stream is cut, a few events are published, and
//! sync is asked from the last position that came: are they all there, once, in order, and as the room's history has them?

use std::rc::Rc;

use super::missing::{self, Fate};
use super::order::{judge_end, judge_order, judge_repeats, tell};
use super::{Base, History, LIMIT, ROOM, Run, Walk, anchor, bridger, name, walk};
use crate::probe::ear::{Ear, Heard};
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, Publish, failure_words};
use crate::wire::Position;

/// Events published while the stream is cut.
const EVENTS: u32 = 6;

/// What came of it.
#[derive(Debug)]
struct Cut {
    /// The last position before the cut.
    since: Position,
    /// How that was known.
    how: String,
    run: Run,
    walk: Walk,
    fates: Vec<(Publish, Fate)>,
    history: History,
}

/// Cuts a stream, and bridges.
pub(in super::super) async fn examine(path: &Rc<Path>) -> Judgement {
    let _floor = path.floor.lock().await;
    match gather(path).await {
        Ok(cut) => judge(&cut),
        Err(why) => {
            let mut judgement = Judgement::default();
            judgement.unclear(why);
            judgement
        }
    }
}

async fn gather(path: &Rc<Path>) -> Result<Cut, String> {
    let client = bridger(path);
    let stream = greeted(path, client).await;
    let base = anchor(path).await?;
    let (since, how) = match stream {
        Ok(mut ear) => {
            let last = last_position(path, &mut ear, &base).await;
            ear.reset();
            match last {
                Some(position) => (position, "as the stream had it".to_owned()),
                None => {
                    (base.position, "as the publish was answered; the stream did not bring it".to_owned())
                }
            }
        }
        Err(why) => (base.position, format!("as the publish was answered; there was no stream: {why}")),
    };
    let run = Run::publish(path, EVENTS).await;
    if let Some(why) = run.trouble(1) {
        return Err(why);
    }
    let walk = walk(path, client, since, LIMIT).await;
    let missing: Vec<Publish> = run.stored.iter().filter(|own| !walk.has(ROOM, own.n)).cloned().collect();
    // A sync that was refused, or came to no end, says nothing of what it would have had.
    let fates = match walk.cursor() {
        Some(cursor) if walk.end == super::ask::End::Done => {
            missing::trace(path, client, since, cursor, missing).await
        }
        _ => Vec::new(),
    };
    let came: Vec<u32> = run.numbers().into_iter().filter(|&n| walk.has(ROOM, n)).collect();
    let history = History::read_with(path, client, ROOM, since, &came).await;
    Ok(Cut { since, how, run, walk, fates, history })
}

/// A stream that has said hello.
///
/// # Errors
///
/// Why there is none, in a few words.
pub(in super::super) async fn greeted(path: &Rc<Path>, client: u32) -> Result<Ear, String> {
    let mut ear = path.open(client).await.map_err(failure_words)?;
    let until = path.now() + path.profile.client.hello_deadline;
    loop {
        tokio::select! {
            biased;
            (_, heard) = ear.next() => match heard {
                Heard::Hello(_) => return Ok(ear),
                Heard::End(ending) => return Err(format!("it ended before hello: {}", crate::probe::tape::ending_words(&ending))),
                _ => {}
            },
            () = path.sleep_until(until) => return Err("no hello came".to_owned()),
        }
    }
}

/// The position of the event as the stream brings it.
async fn last_position(path: &Rc<Path>, ear: &mut Ear, base: &Base) -> Option<Position> {
    let until = path.now() + path.lateness_bound();
    loop {
        tokio::select! {
            biased;
            (_, heard) = ear.next() => match heard {
                Heard::Event(event) if event.ours == Some((ROOM, Some(base.n))) => return event.position,
                Heard::End(_) => return None,
                _ => {}
            },
            () = path.sleep_until(until) => return None,
        }
    }
}

fn judge(cut: &Cut) -> Judgement {
    let Cut { since, how, run, walk, fates, history } = cut;
    let mut judgement = Judgement::default();
    let asked = format!("sync from {since} after a cut");
    if !judge_end(&asked, walk, &mut judgement) {
        return judgement;
    }
    judge_repeats(&asked, &walk.pages, &mut judgement);
    judge_order(&asked, walk, &mut judgement);
    missing::judge_twice(walk.rows(), &mut judgement);
    let total = run.stored.len();
    missing::judge(fates, total, &mut judgement);
    judge_history(cut, &mut judgement);
    if judgement.findings.is_empty() {
        let more = if run.refused.is_empty() { "" } else { " (further publishes were refused)" };
        judgement.saw(format!(
            "sync from {since} ({how}) returned {} of {total} events that were published while the stream was cut{more}, once and \
             in order; the room's history has {} of them",
            total - fates.len(),
            run.stored.iter().filter(|own| history.has(ROOM, own.n)).count()
        ));
    }
    judgement
}

/// History is what sync is held against, so it has to have what sync has.
fn judge_history(cut: &Cut, judgement: &mut Judgement) {
    if let Some(refusal) = &cut.history.refusal {
        return judgement
            .unclear(format!("the room's history was {}: sync is compared with nothing", refusal.words()));
    }
    let lacking =
        cut.run.stored.iter().filter(|own| cut.walk.has(ROOM, own.n) && !cut.history.has(ROOM, own.n));
    let lines: Vec<String> =
        lacking.map(|own| format!("{} came by sync, and is not in the room's history", name(own))).collect();
    let finding = Finding::new(
        "history-omits",
        "the room's history leaves out events that sync has",
        "A client that loads a room by /v1/rooms/{id}/messages does not show them: compare that query with sync's.",
    );
    tell(finding, &lines, judgement);
}

#[cfg(test)]
mod tests {
    use super::super::ask::{End, Refusal};
    use super::super::order::tests::{page, row, walk};
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::path::Published;
    use crate::time::Timestamp;
    use crate::wire::Created;

    fn cut() -> Cut {
        let publish = |n| {
            let reply = Published::Stored(Created::default());
            Publish { n, sent: Timestamp::ZERO, answered: Timestamp::ZERO, reply }
        };
        let rows = [row(1, 6), row(2, 7)];
        Cut {
            since: 5,
            how: "as the stream had it".to_owned(),
            run: Run { stored: vec![publish(1), publish(2)], refused: Vec::new() },
            walk: walk(LIMIT, vec![page(5, &rows, 7, false)]),
            fates: Vec::new(),
            history: History { rows: rows.to_vec(), refusal: None },
        }
    }

    #[test]
    fn all_of_it_once_and_in_order_is_healthy() {
        let judged = judge(&cut());
        assert_eq!(judged.outcome(), Outcome::Healthy);
        assert!(judged.seen[0].contains("returned 2 of 2 events"), "{judged:?}");
    }

    #[test]
    fn what_only_sync_has_is_missing_in_history() {
        let mut lacking = cut();
        lacking.history.rows.pop();
        assert_eq!(judge(&lacking).findings[0].name, "history-omits");
        lacking.history = History { rows: Vec::new(), refusal: Some(Refusal::Status(403, None)) };
        assert_eq!(judge(&lacking).outcome(), Outcome::Inconclusive);
    }

    #[test]
    fn a_refused_sync_is_told_by_its_status_and_nothing_else_is() {
        for (refusal, name) in [
            (Refusal::Status(500, None), Some("sync-refused")),
            (Refusal::Status(410, Some("SW_X".into())), Some("sync-gone")),
            (Refusal::NoPage, Some("sync-refused")),
            (Refusal::Unanswered("reset".to_owned()), None),
        ] {
            let mut refused = cut();
            refused.walk = Walk { limit: LIMIT, pages: Vec::new(), end: End::Refused(refusal) };
            let judged = judge(&refused);
            assert_eq!(judged.findings.first().map(|finding| finding.name), name, "{judged:?}");
            assert_eq!(judged.findings.len() + judged.unclear.len(), 1);
        }
    }
}
