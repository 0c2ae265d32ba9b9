//! "Persist last_stream_position, the highest stream_position you've processed." Several members publish at once, while one
//! client reads them by stream and follows them by sync: is what it keeps as the highest position safe to ask from?

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;

use super::bridge::greeted;
use super::missing::{self, Fate};
use super::order::{judge_order, tell};
use super::{
    Base, LIMIT, ROOM, Refusal, Row, Run, Walk, anchor, ask::End, bridger, name, page, publishers, spacing,
    walk,
};
use crate::probe::ear::{Ear, Event, Heard};
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, Publish};
use crate::time::Timestamp;
use crate::wire::Position;

/// Members who publish at once.
const MEMBERS: usize = 4;

/// Events of each.
const EACH: u32 = 6;

/// Polls of the one who follows, at most.
const POLLS_MAX: usize = 500;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(5);

/// What came of it.
#[derive(Debug)]
struct Followed {
    base: Base,
    /// By publisher, in the order of sending: each after the answer to the one before.
    sent: Vec<Vec<Publish>>,
    run: Run,
    /// What sync brought, by a cursor that followed it.
    followed: Walk,
    /// What sync says afterwards, from the beginning.
    again: Walk,
    stream: Result<Vec<Event>, String>,
    fates: Vec<(Publish, Fate)>,
}

/// Publishes from all sides, and follows.
pub(in super::super) async fn examine(path: &Rc<Path>) -> Judgement {
    let _floor = path.floor.lock().await;
    match gather(path).await {
        Ok(followed) => judge(&followed),
        Err(why) => {
            let mut judgement = Judgement::default();
            judgement.unclear(why);
            judgement
        }
    }
}

async fn gather(path: &Rc<Path>) -> Result<Followed, String> {
    let client = bridger(path);
    match greeted(path, client).await {
        Ok(mut ear) => {
            let mut all = ear.meanwhile(by_sync(path, client)).await?;
            all.stream = Ok(heard(path, &mut ear, &all.run).await);
            ear.leave().await;
            Ok(all)
        }
        Err(why) => Ok(Followed { stream: Err(why), ..by_sync(path, client).await? }),
    }
}

/// All of it but what the stream brings meanwhile.
async fn by_sync(path: &Rc<Path>, client: u32) -> Result<Followed, String> {
    let base = anchor(path).await?;
    let members = publishers(path, MEMBERS);
    let publishing = async { join_all(members.iter().map(|&member| speak(path, member))).await };
    let (sent, mut followed) = follow(path, client, base.position, publishing).await;
    let mut run = Run::default();
    sent.iter().flatten().cloned().for_each(|publish| run.push(publish));
    if let Some(why) = run.trouble(2) {
        return Err(why);
    }
    let cursor = settle(path, client, &run, &mut followed).await;
    let missing: Vec<Publish> = run.stored.iter().filter(|own| !followed.has(ROOM, own.n)).cloned().collect();
    let fates = match &followed.end {
        End::Done => missing::trace(path, client, base.position, cursor, missing).await,
        _ => Vec::new(),
    };
    let again = walk(path, client, base.position, LIMIT).await;
    Ok(Followed { base, sent, run, followed, again, stream: Ok(Vec::new()), fates })
}

/// One member's part, each event when the one before is answered.
async fn speak(path: &Rc<Path>, member: u32) -> Vec<Publish> {
    let mut sent = Vec::new();
    for _ in 0..EACH {
        sent.push(path.publish(member, ROOM).await);
        path.sleep(spacing(path) * MEMBERS as u32).await;
    }
    sent
}

/// Asks sync again and again from where it is, until everybody has spoken.
async fn follow(
    path: &Rc<Path>,
    client: u32,
    base: Position,
    publishing: impl Future<Output = Vec<Vec<Publish>>>,
) -> (Vec<Vec<Publish>>, Walk) {
    let (mut walk, mut cursor) = (Walk { limit: LIMIT, pages: Vec::new(), end: End::Done }, base);
    let mut publishing = std::pin::pin!(publishing);
    let pause = PAUSE.max(spacing(path));
    let mut sent = None;
    while walk.pages.len() < POLLS_MAX && sent.is_none() {
        match page(path, client, cursor, LIMIT, Duration::ZERO).await {
            Ok(own) => {
                cursor = own.cursor();
                walk.pages.push(own);
            }
            Err(refusal) => {
                walk.end = End::Refused(refusal);
                break;
            }
        }
        tokio::select! {
            all = &mut publishing => sent = Some(all),
            () = path.sleep(pause) => {}
        }
    }
    let sent = match sent {
        Some(sent) => sent,
        None => publishing.await,
    };
    (sent, walk)
}

/// The last page, when everything was acknowledged: what comes now came in time.
async fn settle(path: &Rc<Path>, client: u32, run: &Run, followed: &mut Walk) -> Position {
    let mut cursor = followed.cursor().unwrap_or(0);
    if followed.end != End::Done {
        return cursor;
    }
    let rest = walk(path, client, cursor, LIMIT).await;
    cursor = rest.cursor().unwrap_or(cursor).max(cursor);
    if run.numbers().iter().all(|&n| followed.has(ROOM, n)) {
        return cursor;
    }
    followed.pages.extend(rest.pages);
    followed.end = rest.end;
    cursor
}

/// What the stream has brought of the run, until it has brought all, or until it is too late.
async fn heard(path: &Rc<Path>, ear: &mut Ear, run: &Run) -> Vec<Event> {
    let until =
        run.stored.iter().map(|own| own.answered).max().unwrap_or(Timestamp::ZERO) + path.lateness_bound();
    let mut events: Vec<Event> = Vec::new();
    let came = |events: &[Event], n: u32| events.iter().any(|event| event.ours == Some((ROOM, Some(n))));
    while !run.numbers().iter().all(|&n| came(&events, n)) {
        tokio::select! {
            biased;
            (_, heard) = ear.next() => match heard {
                Heard::Event(event) => events.push(event),
                Heard::End(_) => break,
                _ => {}
            },
            () = path.sleep_until(until) => break,
        }
    }
    events
}

fn judge(all: &Followed) -> Judgement {
    let mut judgement = Judgement::default();
    if let End::Refused(refusal) = &all.followed.end {
        Refusal::judge(refusal, "sync while others publish", &mut judgement);
        return judgement;
    }
    judge_order("sync while others publish", &all.followed, &mut judgement);
    judge_order("sync afterwards", &all.again, &mut judgement);
    judge_replies(all, &mut judgement);
    missing::judge(&all.fates, all.run.stored.len(), &mut judgement);
    missing::judge_twice(all.again.rows(), &mut judgement);
    judge_same(all, &mut judgement);
    if judgement.findings.is_empty() {
        let polls = all.followed.pages.len();
        judgement.saw(format!(
            "{} events of {} members who published at once came to a cursor that followed them ({polls} syncs from {} on); none \
             appeared below it",
            all.run.stored.len() - all.fates.len(),
            all.sent.len(),
            all.base.position
        ));
    }
    judgement
}

/// What is sent after an answer has a higher position than what was answered.
fn judge_replies(all: &Followed, judgement: &mut Judgement) {
    let position = |own: &Publish| super::publishing::position(own);
    let mut lines = Vec::new();
    for sent in &all.sent {
        for pair in sent.windows(2) {
            let [before, after] = pair else { continue };
            if let (Some(one), Some(two)) = (position(before), position(after))
                && two <= one
            {
                lines.push(format!("{} was sent after {} was answered", name(after), name(before)));
            }
        }
    }
    let finding = Finding::new(
        "positions-backwards",
        "positions go backwards in the answers to publishes",
        "A client that keeps the highest position never asks for what lies below it: give positions out in one order, from one \
         sequence of the tenant.",
    );
    tell(finding, &lines, judgement);
}

/// One event has one position, whoever tells it.
fn judge_same(all: &Followed, judgement: &mut Judgement) {
    let mut told: BTreeMap<u32, Vec<(&str, Position)>> = BTreeMap::new();
    let mut say = |n: u32, who: &'static str, position: Option<Position>| {
        if let Some(position) = position {
            told.entry(n).or_default().push((who, position));
        }
    };
    for publish in &all.run.stored {
        say(publish.n, "the answer", super::publishing::position(publish));
    }
    let number = |ours: Option<(u32, Option<u32>)>| ours.and_then(|(room, n)| n.filter(|_| room == ROOM));
    for event in all.stream.iter().flatten() {
        if let Some(n) = number(event.ours) {
            say(n, "the stream", event.position);
        }
    }
    let rows = all.followed.rows().chain(all.again.rows());
    for Row { position, ours, .. } in rows {
        if let Some(n) = number(*ours) {
            say(n, "sync", *position);
        }
    }
    // What is stored twice has two positions by right.
    let twice = judgement.findings.iter().any(|finding| finding.name == "stored-twice");
    let mut lines = Vec::new();
    for (n, told) in
        told.iter().filter(|(_, told)| !twice && told.windows(2).any(|pair| pair[0].1 != pair[1].1))
    {
        let words: Vec<String> = told.iter().map(|(who, position)| format!("{position} by {who}")).collect();
        lines.push(format!("event {n} is at {}", words.join(", ")));
    }
    let finding = Finding::new(
        "position-differs",
        "one event has different positions in the answer, on the stream and in sync",
        "A client that takes its position from one and asks the other skips events or gets them again: all three must show the \
         position under which the event is stored.",
    );
    tell(finding, &lines, judgement);
    match &all.stream {
        Ok(events) => {
            let streamed = all
                .run
                .stored
                .iter()
                .filter(|own| events.iter().any(|event| event.ours == Some((ROOM, Some(own.n)))));
            let (streamed, total) = (streamed.count(), all.run.stored.len());
            if streamed < total {
                judgement.unclear(format!(
                    "{streamed} of {total} events came on the stream: see the check for deaf ones"
                ));
            }
        }
        Err(why) => judgement.unclear(format!("there was no stream to compare positions with: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::tests::{page, row, walk};
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::path::Published;
    use crate::wire::Created;

    fn publish(n: u32, position: Position) -> Publish {
        let reply = Published::Stored(Created { id: None, position: Some(position) });
        Publish { n, sent: Timestamp::ZERO, answered: Timestamp::ZERO, reply }
    }

    fn event(n: u32, position: Position) -> Event {
        Event { id: None, position: Some(position), ours: Some((ROOM, Some(n))) }
    }

    /// Two members; events 1 and 3 are the first one's.
    fn followed() -> Followed {
        let sent = vec![vec![publish(1, 6), publish(3, 8)], vec![publish(2, 7)]];
        let rows = [row(1, 6), row(2, 7), row(3, 8)];
        Followed {
            base: Base { n: 0, position: 5 },
            run: Run { stored: sent.iter().flatten().cloned().collect(), refused: Vec::new() },
            sent,
            followed: walk(LIMIT, vec![page(5, &rows[..2], 7, false), page(7, &rows[2..], 8, false)]),
            again: walk(LIMIT, vec![page(5, &rows, 8, false)]),
            stream: Ok(vec![event(2, 7), event(1, 6), event(3, 8)]),
            fates: Vec::new(),
        }
    }

    fn names(all: &Followed) -> Vec<&'static str> {
        judge(all).findings.iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn all_of_it_by_a_cursor_is_healthy_in_whatever_order_the_stream_has_it() {
        assert_eq!(judge(&followed()).outcome(), Outcome::Healthy);
    }

    #[test]
    fn an_answer_below_the_one_before_it_and_a_position_of_its_own_are_told() {
        let mut falls = followed();
        falls.sent[0][1] = publish(3, 4);
        assert_eq!(names(&falls), ["positions-backwards"]);
        let mut differs = followed();
        differs.stream = Ok(vec![event(1, 6), event(2, 9), event(3, 8)]);
        assert_eq!(names(&differs), ["position-differs"]);
        let line = &judge(&differs).findings[0].evidence[0];
        assert!(line.starts_with("event 2 is at 7 by the answer, 9 by the stream, 7 by sync"), "{line}");
    }

    #[test]
    fn without_a_stream_positions_are_compared_all_the_same_and_the_rest_is_unclear() {
        let mut without = followed();
        without.stream = Err("no hello came".to_owned());
        assert_eq!(judge(&without).outcome(), Outcome::Inconclusive);
    }
}
