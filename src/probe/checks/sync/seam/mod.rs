//! "On reconnect: sync to bridge the gap, then resume the stream." What is published between the last sync reply and the new
//! subscription is in neither: the seam. It belongs to the documented order, so its being there is no finding; its width, and
//! a hello that comes before the subscription is in force, are. Here it is gathered, in [`mod@judge`] it is judged.

mod judge;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use judge::{Try, judge};

use super::bridge::greeted;
use super::{LIMIT, ROOM, Run, Walk, anchor, ask::End, bridger, publishers, spacing, walk};
use crate::probe::ear::{Ear, Heard};
use crate::probe::judgement::Judgement;
use crate::probe::path::Path;
use crate::probe::tape::ending_words;
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

/// What the client has had when its stream has brought enough.
struct Entered {
    before: Walk,
    synced: Timestamp,
    hello: Timestamp,
    ear: Ear,
    live: Vec<u32>,
    round_trip: Option<Duration>,
    /// How the stream ended before it was left.
    ended: Option<String>,
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
    /// No more is to be published.
    over: Cell<bool>,
    /// Nothing that was published is without an answer any more.
    answered: Cell<bool>,
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
    let mut entered = entered?;
    if entered.ended.is_none() {
        entered.ended = listen(path, &mut entered.ear, &run, entered.hello, &mut entered.live).await;
    }
    let Entered { before, synced, hello, ear, live, round_trip, ended } = entered;
    let from = before.cursor().unwrap_or(cursor);
    let after = walk(path, bridger(path), from, LIMIT).await;
    let mut own = Try { synced, hello, run, before, live, after, round_trip, ended };
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
async fn enter(path: &Rc<Path>, cursor: Position, state: &State) -> Result<Entered, String> {
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
    ear.ping(PING).await;
    let (mut live, mut behind, mut round_trip, mut ended) = (Vec::new(), 0, None, None);
    let first = state.sent.get();
    let mut until = hello + PATIENCE;
    loop {
        tokio::select! {
            biased;
            (at, heard) = ear.next() => match heard {
                Heard::Event(event) => if let Some((ROOM, Some(n))) = event.ours {
                    live.push(n);
                    state.heard.set(true);
                    behind += 1;
                },
                Heard::Pong(PING) => round_trip = Some(at.since(hello)),
                Heard::End(ending) => {
                    ended = Some(ending_words(&ending));
                    break;
                }
                _ => {}
            },
            // Until everything is answered somebody has to be there for the server's pings.
            () = path.sleep_until(until) => {
                state.over.set(true);
                if state.answered.get() {
                    break;
                }
                until = path.now() + GRACE;
            }
        }
        // Of those that came, as many may have been sent before hello as were under way.
        if behind >= BEHIND && state.sent.get() >= first + LEAD && !state.over.replace(true) {
            until = until.min(path.now() + GRACE);
        }
    }
    Ok(Entered { before, synced, hello, ear, live, round_trip, ended })
}

/// The number of the ping that measures the way.
const PING: u32 = 0;

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
    state.answered.set(true);
    run.stored.sort_by_key(|own| own.n);
    run
}

/// Members who publish at once.
const MEMBERS: usize = 6;

/// What was acknowledged and sent after hello has its time to come. How the stream ended, if it did.
async fn listen(
    path: &Rc<Path>,
    ear: &mut Ear,
    run: &Run,
    hello: Timestamp,
    live: &mut Vec<u32>,
) -> Option<String> {
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
                Heard::End(ending) => return Some(ending_words(&ending)),
                _ => {}
            },
            () = path.sleep_until(until) => return None,
        }
    }
}
