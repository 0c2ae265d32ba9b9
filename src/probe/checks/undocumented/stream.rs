//! What one stream brings, in which order, and how it ends when the client says goodbye.
//!
//! For the order across rooms a second room is made, which is archived in the end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{SIDE, bridger, publishers};
use crate::driver::api;
use crate::driver::http::Call;
use crate::probe::checks::sync::{LIMIT, greeted, millis, spacing, walk};
use crate::probe::ear::{Ear, Event, Heard};
use crate::probe::judgement::{Judgement, Observation};
use crate::probe::path::{Path, TALK, trouble_words};
use crate::probe::tape::ending_words;
use crate::session::Ending;
use crate::time::Timestamp;
use crate::wire::{CONTENT_MIN, Created, Position, RawStamp, room_id, send_body};

/// Events of each member in each room.
const EACH: u32 = 4;

/// Members who publish at once, the one with the stream among them.
const MEMBERS: usize = 3;

/// An ephemeral frame, or the answer to a goodbye, that has not come after this does not come.
const SOON: Duration = Duration::from_secs(2);

/// When everything is there, what comes again has this long to come.
const GRACE: Duration = Duration::from_millis(100);

/// One publish.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    by: u32,
    room: u32,
    n: u32,
    sent: Timestamp,
    /// `None`: it was not acknowledged.
    created: Option<Created>,
}

/// Listens while members speak in two rooms, asks about typing, and says goodbye.
pub(super) async fn observe(path: &Rc<Path>, judgement: &mut Judgement) {
    const TOPICS: [&str; 7] =
        ["delivery", "order", "sender-echo", "event-types", "typing", CLIENT_PING, "close-1000"];
    let client = bridger(path);
    let mut ear = match greeted(path, client).await {
        Ok(ear) => ear,
        Err(why) => {
            for topic in TOPICS {
                judgement.observed(Observation::unseen(topic, format!("there was no stream: {why}")));
            }
            return;
        }
    };
    let mut members = publishers(path, MEMBERS - 1);
    members.push(client);
    let side = ear.meanwhile(make_side(path, client, &members)).await;
    let said = ear.meanwhile(speak(path, &members, side.as_deref().ok())).await;
    let came = listen(path, &mut ear, &said).await;
    judgement.observed(delivery(&said, &came));
    judgement.observed(order(&came, side.as_ref().err()));
    judgement.observed(echo(&said, &came, client));
    judgement.observed(ear.meanwhile(types(path, client, &came)).await);
    judgement.observed(typing(path, &mut ear, members[0]).await);
    judgement.observed(client_ping(path, &mut ear).await);
    if !ear.kinds.is_empty() {
        let kinds: Vec<String> = ear.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        judgement.observed(Observation::new("other-frames", kinds.join(", ")));
    }
    judgement.observed(goodbye(path, ear).await);
    path.archive_side_rooms().await;
}

/// A second room; the id of it.
async fn make_side(path: &Rc<Path>, client: u32, members: &[u32]) -> Result<Box<str>, String> {
    let name = format!("wavesoak {} side", &path.run.hyphenated().to_string()[..8]);
    let body = api::room_body(path.profile.population.room_type, &name, "made by wavesoak probe");
    let answer = path.ask(client, Call::post(api::ROOMS, body), api::ANSWER_BYTES).await;
    let answer = answer.map_err(|trouble| trouble_words(&trouble))?;
    if !answer.is_success() {
        return Err(format!("a second room was answered {}", answer.status));
    }
    let room = room_id(&answer.body).map_err(|error| error.to_string())?;
    path.made_side_room(client, room.clone());
    for &member in members.iter().filter(|&&member| member != client) {
        let way = api::join(&room);
        let answer = path.ask(member, Call::post(&way, "{}"), api::ANSWER_BYTES).await;
        let status = answer.map_err(|trouble| trouble_words(&trouble))?.status;
        if !(200..300).contains(&status) {
            return Err(format!("joining a second room was answered {status}"));
        }
    }
    Ok(room)
}

/// All members at once, each in both rooms in turn.
async fn speak(path: &Rc<Path>, members: &[u32], side: Option<&str>) -> Vec<Said> {
    let pause = spacing(path) * members.len() as u32;
    let one = |(index, &member): (usize, &u32)| async move {
        let mut said = Vec::new();
        for turn in 0..EACH {
            let n = index as u32 * EACH + turn;
            said.push(say(path, member, &path.provisioned.rooms[TALK as usize], SIDE + 1, n).await);
            path.sleep(pause).await;
            if let Some(side) = side {
                said.push(say(path, member, side, SIDE, n).await);
                path.sleep(pause).await;
            }
        }
        said
    };
    join_all(members.iter().enumerate().map(one)).await.into_iter().flatten().collect()
}

/// One publish of a room number that no other check looks at.
async fn say(path: &Rc<Path>, by: u32, room_id: &str, room: u32, n: u32) -> Said {
    let (run, sent) = (path.run.hyphenated().to_string(), path.now());
    let stamp = RawStamp { run: &run, room, n: Some(n), due_ns: sent.as_nanos(), sent_ns: sent.as_nanos() };
    let event = Uuid::new_v5(&path.run, format!("probe/side/{room}/{n}").as_bytes());
    let mut body = String::new();
    send_body(&stamp, event, CONTENT_MIN, &mut body);
    path.count_publish();
    let answer = path.ask(by, Call::post(&api::send(room_id), body), api::ANSWER_BYTES).await;
    let created = answer.ok().filter(|answer| answer.is_success()).map(|answer| Created::parse(&answer.body));
    Said { by, room, n, sent, created }
}

/// Events of ours as they come, until all are there or it is too late.
async fn listen(path: &Rc<Path>, ear: &mut Ear, said: &[Said]) -> Vec<(Timestamp, Event)> {
    let until = path.now() + path.lateness_bound();
    let mut came: Vec<(Timestamp, Event)> = Vec::new();
    let is_here = |came: &[(Timestamp, Event)], own: &Said| {
        came.iter().any(|(_, event)| event.ours == Some((own.room, Some(own.n))))
    };
    let mut leave = until;
    loop {
        if said.iter().filter(|own| own.created.is_some()).all(|own| is_here(&came, own)) {
            // What comes twice comes twice in a row.
            leave = leave.min(path.now() + GRACE);
        }
        tokio::select! {
            biased;
            (at, heard) = ear.next() => match heard {
                Heard::Event(event) if event.ours.is_some_and(|(room, _)| room >= SIDE) => came.push((at, event)),
                Heard::End(_) => return came,
                _ => {}
            },
            () = path.sleep_until(leave) => return came,
        }
    }
}

fn delivery(said: &[Said], came: &[(Timestamp, Event)]) -> Observation {
    let stored: Vec<&Said> = said.iter().filter(|own| own.created.is_some()).collect();
    let mut times: Vec<Duration> = stored
        .iter()
        .filter_map(|own| {
            let (at, _) = came.iter().find(|(_, event)| event.ours == Some((own.room, Some(own.n))))?;
            Some(at.since(own.sent))
        })
        .collect();
    times.sort_unstable();
    let doubled = came.len().saturating_sub(times.len());
    let mut words = format!("{} of {} acknowledged events came on the stream", times.len(), stored.len());
    let mut observation = Observation::new("delivery", "");
    if let (Some(median), Some(worst)) = (times.get(times.len() / 2), times.last()) {
        words.push_str(&format!(
            ", {} after they were sent (median), {} at worst",
            millis(*median),
            millis(*worst)
        ));
        observation = observation
            .with("after_ms_p50", median.as_secs_f64() * 1e3)
            .with("after_ms_max", worst.as_secs_f64() * 1e3);
    }
    if doubled > 0 {
        words.push_str(&format!("; {doubled} frames came again"));
    }
    observation.what = words;
    observation.with("acknowledged", stored.len() as f64).with("came", times.len() as f64)
}

/// Positions that came behind a higher one: within a room, and across rooms.
fn order(came: &[(Timestamp, Event)], no_side: Option<&String>) -> Observation {
    let (mut highest, mut highest_of) = (0, BTreeMap::<u32, Position>::new());
    let (mut within, mut across, mut total) = (0, 0, 0);
    for (_, event) in came {
        let (Some(position), Some((room, _))) = (event.position, event.ours) else { continue };
        total += 1;
        let own = highest_of.entry(room).or_default();
        if position < *own {
            within += 1;
        } else if position < highest {
            across += 1;
        }
        *own = position.max(*own);
        highest = highest.max(position);
    }
    let rooms = match no_side {
        None => format!("{across} behind one of another room"),
        Some(why) => format!("across rooms not seen: {why}"),
    };
    Observation::new(
        "order",
        format!(
            "of {total} events of members who published at once, {within} came on the stream behind a higher position of their own \
             room, {rooms}"
        ),
    )
    .with("behind_in_room", f64::from(within))
    .with("behind_across_rooms", f64::from(across))
}

fn echo(said: &[Said], came: &[(Timestamp, Event)], client: u32) -> Observation {
    let own: Vec<&Said> = said.iter().filter(|own| own.by == client && own.created.is_some()).collect();
    let echoed = own
        .iter()
        .filter(|own| came.iter().any(|(_, event)| event.ours == Some((own.room, Some(own.n)))))
        .count();
    Observation::new(
        "sender-echo",
        format!("{echoed} of {} events of its own came to their sender's stream", own.len()),
    )
}

/// Ids of the same events on the stream and in sync, and the key that the type goes by there.
async fn types(path: &Rc<Path>, client: u32, came: &[(Timestamp, Event)]) -> Observation {
    const TOPIC: &str = "event-types";
    let from = path.provisioned.positions[0];
    let walk = walk(path, client, from, LIMIT).await;
    let (mut compared, mut same) = (0, 0);
    for (_, event) in came {
        let Some(row) = walk.rows().find(|row| row.ours == event.ours) else { continue };
        compared += 1;
        same += usize::from(row.id.is_some() && row.id == event.id);
    }
    let last = came.iter().filter_map(|(_, event)| event.position).max().unwrap_or(from);
    let keys = match path.sync(client, last.saturating_sub(1), 1, Duration::ZERO).await {
        Ok(answer) => keys(&serde_json::from_slice(&answer.body).unwrap_or_default()),
        Err(trouble) => return Observation::unseen(TOPIC, trouble_words(&trouble)),
    };
    Observation::new(
        TOPIC,
        format!(
            "type is swp.room.message on the stream; in sync {keys}; {same} of {compared} events have the same id in both"
        ),
    )
}

/// Which of the two keys the first event of a page has.
fn keys(body: &Value) -> String {
    let event = body.pointer("/data/events/0");
    let of = |key: &str| {
        event.and_then(|event| event.get(key)).and_then(Value::as_str).map(|own| format!("{key} is {own}"))
    };
    let found: Vec<String> = ["event_type", "type"].into_iter().filter_map(of).collect();
    if found.is_empty() { "there is neither event_type nor type".to_owned() } else { found.join(" and ") }
}

/// An ephemeral frame: on the stream, and not in sync?
async fn typing(path: &Rc<Path>, ear: &mut Ear, member: u32) -> Observation {
    const TOPIC: &str = "typing";
    let body =
        serde_json::json!({ "room_id": &*path.provisioned.rooms[TALK as usize], "typing": true }).to_string();
    let call = Call { method: Method::PUT, ..Call::post("/v1/typing", body) };
    let sent = path.now();
    match path.ask(member, call, api::ANSWER_BYTES).await {
        Ok(answer) if answer.is_success() => {}
        Ok(answer) => {
            return Observation::unseen(TOPIC, format!("PUT /v1/typing was answered {}", answer.status));
        }
        Err(trouble) => return Observation::unseen(TOPIC, trouble_words(&trouble)),
    }
    let until = path.now() + SOON;
    let mut after = None;
    while after.is_none() {
        tokio::select! {
            biased;
            (at, heard) = ear.next() => match heard {
                Heard::Other if ear.kinds.contains_key("typing") => after = Some(at.since(sent)),
                Heard::End(_) => break,
                _ => {}
            },
            () = path.sleep_until(until) => break,
        }
    }
    let stream = match after {
        Some(after) => format!("comes on the stream, {} after it is sent", millis(after)),
        None => "does not come on the stream".to_owned(),
    };
    let from = path.provisioned.positions[0];
    let stored = match path.sync(bridger(path), from, api::SYNC_LIMIT_MAX, Duration::ZERO).await {
        Ok(answer) => in_sync(&serde_json::from_slice(&answer.body).unwrap_or_default()),
        Err(trouble) => return Observation::unseen(TOPIC, trouble_words(&trouble)),
    };
    Observation::new(TOPIC, format!("{stream}, and is {}in sync", if stored { "" } else { "not " }))
}

fn in_sync(body: &Value) -> bool {
    let events = body.pointer("/data/events").and_then(Value::as_array);
    let kind =
        |event: &Value| event.get("event_type").or_else(|| event.get("type"))?.as_str().map(str::to_owned);
    events.into_iter().flatten().filter_map(kind).any(|kind| kind.contains("typing"))
}

const CLIENT_PING: &str = "client-ping";

/// A frame of the client's own that is no answer: is a ping of its own taken, and answered?
async fn client_ping(path: &Rc<Path>, ear: &mut Ear) -> Observation {
    const NUMBER: u32 = 1;
    let sent = path.now();
    ear.ping(NUMBER).await;
    let until = sent + SOON;
    loop {
        tokio::select! {
            biased;
            (at, heard) = ear.next() => match heard {
                Heard::Pong(NUMBER) => {
                    let after = at.since(sent);
                    return Observation::new(CLIENT_PING, format!("a protocol ping of the client's own is answered after {}", millis(after)))
                        .with("after_ms", after.as_secs_f64() * 1e3);
                }
                Heard::End(ending) => {
                    return Observation::new(CLIENT_PING, format!("a protocol ping of the client's own is answered by {}", ending_words(&ending)));
                }
                _ => {}
            },
            () = path.sleep_until(until) => {
                return Observation::new(CLIENT_PING, format!("a protocol ping of the client's own is not answered in {}", millis(SOON)));
            }
        }
    }
}

/// Close 1000, and what the server says to that.
async fn goodbye(path: &Rc<Path>, mut ear: Ear) -> Observation {
    const TOPIC: &str = "close-1000";
    let said = path.now();
    ear.goodbye().await;
    let until = said + SOON;
    loop {
        tokio::select! {
            biased;
            (at, heard) = ear.next() => if let Heard::End(ending) = heard {
                let after = millis(at.since(said));
                let words = match &ending {
                    Ending::Close { .. } => format!("the server answers with {} {after} later", ending_words(&ending)),
                    _ => format!("the server gives no close frame back: {} {after} later", ending_words(&ending)),
                };
                return Observation::new(TOPIC, words);
            },
            () = path.sleep_until(until) => {
                return Observation::new(TOPIC, format!("the server says nothing for {}", millis(SOON)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(room: u32, n: u32, position: Position) -> (Timestamp, Event) {
        (Timestamp::from_millis(5), Event { id: None, position: Some(position), ours: Some((room, Some(n))) })
    }

    #[test]
    fn a_fall_within_a_room_is_told_from_one_across_rooms() {
        let came = [event(2, 0, 10), event(3, 0, 9), event(2, 1, 8), event(3, 1, 11)];
        let told = order(&came, None);
        assert_eq!((told.measured["behind_in_room"], told.measured["behind_across_rooms"]), (1.0, 1.0));
        assert!(order(&came, Some(&"answered 403".to_owned())).what.ends_with("not seen: answered 403"));
    }

    #[test]
    fn delivery_and_echo_count_what_was_acknowledged() {
        let said = |by, n, created| Said { by, room: 2, n, sent: Timestamp::ZERO, created };
        let all =
            [said(10, 0, Some(Created::default())), said(0, 1, Some(Created::default())), said(10, 2, None)];
        let came = [event(2, 0, 10)];
        let told = delivery(&all, &came);
        assert!(told.what.starts_with("1 of 2 acknowledged events came on the stream, 5.0 ms"), "{told:?}");
        assert!(echo(&all, &came, 10).what.starts_with("1 of 1 events"));
    }

    #[test]
    fn the_key_of_the_type_is_read_from_the_page_itself() {
        let page = |event: Value| serde_json::json!({ "data": { "events": [event] } });
        assert_eq!(keys(&page(serde_json::json!({ "event_type": "x" }))), "event_type is x");
        assert_eq!(keys(&page(serde_json::json!({ "type": "y" }))), "type is y");
        assert_eq!(keys(&Value::Null), "there is neither event_type nor type");
        assert!(in_sync(&page(serde_json::json!({ "event_type": "typing" }))));
        assert!(!in_sync(&page(serde_json::json!({ "event_type": "swp.room.message" }))));
    }
}
