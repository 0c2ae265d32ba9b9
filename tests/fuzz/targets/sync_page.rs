//! The answer of `GET /v1/sync`, and of a room's history.

use std::time::Duration;

use serde_json::{Value, json};
use wavesoak::collector::audit::{Auditor, Item};
use wavesoak::profile::{self, BridgeOrder};
use wavesoak::session::{Ending, Input, SyncTrouble};
use wavesoak::time::Timestamp;
use wavesoak::wire::{Created, PageError, SyncEvent, SyncPage};

use super::client::{Client, RUN};
use super::oracle::{Event, Page};
use super::within;

/// The input is the body.
pub fn sync_page(input: &[u8]) {
    for history in [false, true] {
        // The least that can be written of an event is an eighth of what is kept of it; a list doubles as it grows.
        let read = within(32, input.len(), || parse(input, history));
        let value = serde_json::from_slice::<Value>(input);
        match (&read, value) {
            (Err(PageError::TooManyEvents), _) => {}
            (read, Ok(value)) => agrees(read, &Page::of(&value, history), input.contains(&b'\\')),
            // Half a surrogate pair, a number beyond all floats, a hundred levels: only what is not looked at may be so.
            (_, Err(_)) => {}
        }
        if let Ok(page) = &read {
            let again = written(page, history);
            assert_eq!(parse(&again, history).as_ref(), Ok(page), "written and read again");
        }
        within(256, input.len(), || {
            audit(&read);
            bridge(&read);
        });
    }
}

fn parse(body: &[u8], history: bool) -> Result<SyncPage<'_>, PageError> {
    if history { SyncPage::parse_history(body) } else { SyncPage::parse(body) }
}

fn agrees(read: &Result<SyncPage<'_>, PageError>, should: &Result<Page, PageError>, escapes: bool) {
    let (read, should) = match (read, should) {
        (Ok(read), Ok(should)) => (read, should),
        (Err(read), Err(should)) => return assert_eq!(read, should),
        _ => panic!("{read:?} is read, {should:?} is there"),
    };
    assert_eq!(
        (read.malformed as usize, read.next_cursor, read.has_more, read.events.len()),
        (should.malformed, should.next_cursor, should.has_more, should.events.len())
    );
    for (read, (is_message, should)) in read.events.iter().zip(&should.events) {
        assert_eq!(read.is_message, *is_message);
        let event = Event::from(read);
        assert!(should.agrees(&event, escapes), "{event:?} is read, {should:?} is there");
    }
}

impl From<&SyncEvent<'_>> for Event {
    fn from(event: &SyncEvent<'_>) -> Self {
        Self {
            id: event.id.as_deref().map(str::to_owned),
            room_id: event.room_id.as_deref().map(str::to_owned),
            position: event.position,
            stamp: event.stamp.map(Into::into),
        }
    }
}

fn written(page: &SyncPage<'_>, history: bool) -> Vec<u8> {
    let event = |event: &SyncEvent<'_>| {
        json!({
            "event_type": if event.is_message { "swp.room.message" } else { "" },
            "id": event.id, "room_id": event.room_id, "stream_position": event.position,
            "content": { "wavesoak": event.stamp },
        })
    };
    let rows = page.events.iter().map(event).chain((0..page.malformed).map(Value::from)).collect::<Vec<_>>();
    let (next_cursor, has_more) = (page.next_cursor, page.has_more);
    let answer = if history {
        let meta = json!({ "next_cursor": next_cursor.map(|at| at.to_string()), "has_more": has_more });
        json!({ "data": rows, "meta": meta })
    } else {
        json!({ "data": { "events": rows, "next_cursor": next_cursor, "has_more": has_more } })
    };
    answer.to_string().into_bytes()
}

/// Everything that is asked for is answered with this page, until nothing more is asked.
fn audit(page: &Result<SyncPage<'_>, PageError>) {
    let settings = profile::Audit { queue: 8, ..profile::Audit::default() };
    let (mut auditor, mut now) = (Auditor::new(&settings, RUN.to_owned()), Timestamp::ZERO);
    for (n, (low, high)) in (0..).zip([(1, 1), (101, 103), (103, 103), (1, u64::MAX), (u64::MAX, u64::MAX)]) {
        auditor.want(Item { client: 0, room: 0, n, low, high, doubtful: n == 3, id: 0 });
    }
    let mut found = 0;
    for _ in 0..2000 {
        auditor.pump(now);
        while let Some((id, _, _)) = auditor.poll() {
            auditor.fetched(now, id, page.as_ref().map_err(|_| SyncTrouble::Malformed));
        }
        found += std::iter::from_fn(|| auditor.found()).count();
        if auditor.is_idle() {
            break;
        }
        now = now + Duration::from_millis(500);
    }
    assert_eq!(found, 5, "every item has an answer");
}

/// A client bridges by this page, for as long as it asks; connects, loses its connection, and bridges again.
fn bridge(page: &Result<SyncPage<'_>, PageError>) {
    for order in [BridgeOrder::SyncFirst, BridgeOrder::StreamFirst] {
        let mut client = Client::new(order);
        for _ in 0..3 {
            client.publish(&Created { id: Some("e".into()), position: Some(101) });
            match (page, client.sync()) {
                (Ok(page), _) => client.answer(page),
                (Err(_), Some(id)) => {
                    client.failed(id, SyncTrouble::Malformed);
                    client.answer(&SyncPage::default());
                }
                (Err(_), None) => client.answer(&SyncPage::default()),
            }
            client.hears(r#"{"type":"hello"}"#);
            if let Ok(page) = page {
                client.answer(page);
            }
            client.say(Input::Closed(Ending::Reset));
            client.pass(Duration::from_millis(900), page.as_ref().unwrap_or(&SyncPage::default()));
        }
        client.end();
    }
}
