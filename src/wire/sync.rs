//! Pages of `GET /v1/sync` and of a room's history (protocol.md, sections 1 and 7).

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::frame::MESSAGE;
use super::lenient::{Flag, Key, Take, Taken, Text, Whole, skip, value};
use super::stamp::{Content, RawStamp};

/// One page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncPage<'a> {
    /// `data.events`, as the server ordered them.
    pub events: Vec<SyncEvent<'a>>,
    /// Entries of `data.events` that are no objects with a text `event_type`: counted, skipped.
    pub malformed: u32,
    /// `data.next_cursor`; absent or null leaves the position unchanged.
    pub next_cursor: Option<u64>,
    /// `data.has_more`
    pub has_more: bool,
}

/// One event of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncEvent<'a> {
    /// `id`
    pub id: Option<Cow<'a, str>>,
    /// `room_id`
    pub room_id: Option<Cow<'a, str>>,
    /// `stream_position`
    pub position: Option<u64>,
    /// `event_type` is `swp.room.message`.
    pub is_message: bool,
    /// `content.wavesoak`, if it is there and well formed.
    pub stamp: Option<RawStamp<'a>>,
}

/// A page has no more entries (ours: twenty times the documented highest `limit`). What is kept of an event can be many
/// times its text, so the bound on the answer's size is not enough.
pub const ROWS_MAX: usize = 10_000;

/// Why an answer is no page; completes "failed to read a page: …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Broken syntax, or cut off.
    #[error("the answer is not JSON")]
    NotJson,
    /// No `data` with `events`, or (history) `data` is no list.
    #[error("the answer has no list of events")]
    NoEvents,
    /// `has_more` is absent or no flag: without it nobody knows whether the page is the last one.
    #[error("the answer does not say whether there is more")]
    NoHasMore,
    /// Far more events than anybody asks for: [`ROWS_MAX`].
    #[error("the answer has more events than any page")]
    TooManyEvents,
    /// `next_cursor` is there and neither a position, nor one as a text, nor null.
    #[error("next_cursor is not a position")]
    BadCursor,
}

impl<'a> SyncPage<'a> {
    /// Reads the answer of `GET /v1/sync`: `{"data":{"events":[…],"next_cursor":…,"has_more":…}}`.
    ///
    /// # Errors
    /// When the answer is not of that shape; a single event that cannot be read is no error, but counted.
    pub fn parse(body: &'a [u8]) -> Result<Self, PageError> {
        let answer = Answer::parse(body)?;
        let Data::Page(rows, paging) = answer.data else { return Err(PageError::NoEvents) };
        Self::assemble(rows, paging)
    }

    /// Reads the answer of `GET /v1/rooms/{id}/messages`: `data` is the list of events, `meta` has `has_more` and
    /// `next_cursor` (a text, or null).
    ///
    /// # Errors
    /// As [`SyncPage::parse`].
    pub fn parse_history(body: &'a [u8]) -> Result<Self, PageError> {
        let answer = Answer::parse(body)?;
        let Data::List(rows) = answer.data else { return Err(PageError::NoEvents) };
        Self::assemble(Some(rows), answer.meta)
    }

    fn assemble(rows: Option<Rows<'a>>, paging: Paging) -> Result<Self, PageError> {
        let rows = rows.ok_or(PageError::NoEvents)?;
        if rows.too_many {
            return Err(PageError::TooManyEvents);
        }
        let next_cursor = match paging.next_cursor {
            Cursor::Absent => None,
            Cursor::At(position) => Some(position),
            Cursor::Foreign => return Err(PageError::BadCursor),
        };
        let has_more = paging.has_more.ok_or(PageError::NoHasMore)?;
        Ok(Self { events: rows.events, malformed: rows.malformed, next_cursor, has_more })
    }
}

/// The envelope of an answer.
#[derive(Default)]
struct Answer<'a> {
    data: Data<'a>,
    meta: Paging,
}

impl<'a> Answer<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, PageError> {
        serde_json::from_slice::<Taken<Self>>(body).map(|taken| taken.0).map_err(|_| PageError::NotJson)
    }
}

impl<'a> Take<'a> for Answer<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let mut answer = Self::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"data" => answer.data = value(&mut map)?,
                b"meta" => answer.meta = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(answer)
    }
}

/// `data`: an object in sync, a list in history.
#[derive(Default)]
enum Data<'a> {
    #[default]
    Foreign,
    Page(Option<Rows<'a>>, Paging),
    List(Rows<'a>),
}

impl<'a> Take<'a> for Data<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let (mut rows, mut paging) = (None, Paging::default());
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"events" => rows = value::<OptionalRows<'a>, _>(&mut map)?.0,
                b"next_cursor" => paging.next_cursor = value(&mut map)?,
                b"has_more" => paging.has_more = value::<Flag, _>(&mut map)?.0,
                _ => skip(&mut map)?,
            }
        }
        Ok(Self::Page(rows, paging))
    }

    fn seq<A: SeqAccess<'a>>(seq: A) -> Result<Self, A::Error> {
        Rows::read(seq).map(Self::List)
    }
}

/// Where the next page begins.
struct Paging {
    next_cursor: Cursor,
    has_more: Option<bool>,
}

impl Default for Paging {
    fn default() -> Self {
        Self { next_cursor: Cursor::Absent, has_more: None }
    }
}

impl<'a> Take<'a> for Paging {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let mut paging = Self::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"next_cursor" => paging.next_cursor = value(&mut map)?,
                b"has_more" => paging.has_more = value::<Flag, _>(&mut map)?.0,
                _ => skip(&mut map)?,
            }
        }
        Ok(paging)
    }
}

/// `next_cursor`: a number in sync, a text in history; both are taken in both.
#[derive(Clone, Copy, Default)]
enum Cursor {
    Absent,
    At(u64),
    #[default]
    Foreign,
}

impl<'a> Take<'a> for Cursor {
    fn text(text: Cow<'a, str>) -> Self {
        text.parse().map_or(Self::Foreign, Self::At)
    }

    fn unsigned(number: u64) -> Self {
        Self::At(number)
    }

    fn null() -> Self {
        Self::Absent
    }
}

/// The events of a page.
#[derive(Default)]
struct Rows<'a> {
    events: Vec<SyncEvent<'a>>,
    malformed: u32,
    too_many: bool,
}

impl<'a> Rows<'a> {
    fn read<A: SeqAccess<'a>>(mut seq: A) -> Result<Self, A::Error> {
        let mut rows = Self::default();
        for _ in 0..ROWS_MAX {
            match seq.next_element()? {
                Some(Taken(Row(Some(event)))) => rows.events.push(event),
                Some(Taken(Row(None))) => rows.malformed += 1,
                None => return Ok(rows),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            rows.too_many = true;
        }
        Ok(rows)
    }
}

/// `None`: not a list.
#[derive(Default)]
struct OptionalRows<'a>(Option<Rows<'a>>);

impl<'a> Take<'a> for OptionalRows<'a> {
    fn seq<A: SeqAccess<'a>>(seq: A) -> Result<Self, A::Error> {
        Rows::read(seq).map(|rows| Self(Some(rows)))
    }
}

/// `None`: not an object with a text `event_type`.
#[derive(Default)]
struct Row<'a>(Option<SyncEvent<'a>>);

impl<'a> Take<'a> for Row<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let (mut event, mut kind) = (SyncEvent::default(), None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"event_type" => kind = value::<Text<'a>, _>(&mut map)?.0,
                b"id" => event.id = value::<Text<'a>, _>(&mut map)?.0,
                b"room_id" => event.room_id = value::<Text<'a>, _>(&mut map)?.0,
                b"stream_position" => event.position = value::<Whole, _>(&mut map)?.0,
                b"content" => event.stamp = value::<Content<'a>, _>(&mut map)?.stamp,
                _ => skip(&mut map)?,
            }
        }
        Ok(Self(kind.map(|kind| {
            event.is_message = kind == MESSAGE;
            event
        })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_of_sync_is_read() {
        let body = br#"{"data":{"events":[
            {"id":"e","stream_position":5,"room_id":"r","event_type":"swp.room.message","sender_id":"p","origin_ts":1,
             "content":{"body":"x","wavesoak":{"run":"u","room":0,"n":1,"due_ns":2,"sent_ns":3}}},
            {"id":"f","stream_position":6,"room_id":"r","event_type":"swp.room.member","content":null}
        ],"next_cursor":6,"has_more":true},"meta":{}}"#;
        let page = SyncPage::parse(body).expect("a page");
        assert_eq!((page.next_cursor, page.has_more, page.malformed), (Some(6), true, 0));
        assert_eq!(page.events.len(), 2);
        assert_eq!(
            page.events[0].stamp.map(|stamp| (stamp.room, stamp.n, stamp.sent_ns)),
            Some((0, Some(1), 3))
        );
        assert!(page.events[0].is_message && !page.events[1].is_message);
        assert_eq!(page.events[1].position, Some(6));
    }

    #[test]
    fn a_bad_event_does_not_lose_the_page() {
        let body =
            br#"{"data":{"events":[7,null,[],{},{"event_type":5},"x",{"event_type":"swp.room.message"}],
            "next_cursor":null,"has_more":false}}"#;
        let page = SyncPage::parse(body).expect("a page");
        assert_eq!((page.events.len(), page.malformed, page.next_cursor), (1, 6, None));
    }

    #[test]
    fn a_cursor_is_a_number_a_numeric_text_null_or_absent() {
        let cursor = |text: &str| {
            let body = format!(r#"{{"data":{{"events":[]{text},"has_more":false}}}}"#);
            SyncPage::parse(body.as_bytes()).map(|page| page.next_cursor)
        };
        assert_eq!(cursor(r#","next_cursor":7"#), Ok(Some(7)));
        assert_eq!(cursor(r#","next_cursor":"7""#), Ok(Some(7)));
        assert_eq!(cursor(r#","next_cursor":null"#), Ok(None));
        assert_eq!(cursor(""), Ok(None));
        for foreign in ["-1", "1.5", "true", "{}", "[]", "\"x\"", "\"\""] {
            assert_eq!(
                cursor(&format!(",\"next_cursor\":{foreign}")),
                Err(PageError::BadCursor),
                "{foreign}"
            );
        }
    }

    #[test]
    fn what_is_no_page_says_why() {
        let error = |body: &str| SyncPage::parse(body.as_bytes()).expect_err(body);
        assert_eq!(error("<html>"), PageError::NotJson);
        assert_eq!(error(r#"{"data":{"events":[]"#), PageError::NotJson);
        assert_eq!(error("[]"), PageError::NoEvents);
        assert_eq!(error(r#"{"data":[]}"#), PageError::NoEvents);
        assert_eq!(error(r#"{"data":{"events":{},"has_more":false}}"#), PageError::NoEvents);
        assert_eq!(error(r#"{"events":[],"has_more":false}"#), PageError::NoEvents);
        assert_eq!(error(r#"{"data":{"events":[]}}"#), PageError::NoHasMore);
        assert_eq!(error(r#"{"data":{"events":[],"has_more":"no"}}"#), PageError::NoHasMore);
    }

    #[test]
    fn a_page_with_far_more_events_than_were_asked_for_is_none() {
        let page = |rows: usize| {
            let rows = vec!["{\"event_type\":\"\"},7"; rows / 2].join(",");
            SyncPage::parse(format!(r#"{{"data":{{"events":[{rows}],"has_more":false}}}}"#).as_bytes())
                .map(|page| (page.events.len(), page.malformed as usize))
        };
        assert_eq!(page(ROWS_MAX), Ok((ROWS_MAX / 2, ROWS_MAX / 2)));
        assert_eq!(page(ROWS_MAX + 2), Err(PageError::TooManyEvents));
    }

    #[test]
    fn a_page_of_history_is_read() {
        let body = br#"{"data":[{"event_type":"swp.room.message","stream_position":9}],
            "meta":{"has_more":true,"next_cursor":"9"}}"#;
        let page = SyncPage::parse_history(body).expect("a page");
        assert_eq!((page.events.len(), page.next_cursor, page.has_more), (1, Some(9), true));
        let last = SyncPage::parse_history(br#"{"meta":{"next_cursor":null,"has_more":false},"data":[]}"#);
        assert_eq!(last, Ok(SyncPage::default()));
        assert_eq!(SyncPage::parse_history(br#"{"data":{"events":[]}}"#), Err(PageError::NoEvents));
        assert_eq!(SyncPage::parse_history(br#"{"data":[]}"#), Err(PageError::NoHasMore));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SyncPage::parse(&body);
            let _ = SyncPage::parse_history(&body);
        }

        #[test]
        fn a_page_cut_anywhere_is_not_a_page(cut in 0_usize..90) {
            let body = br#"{"data":{"events":[{"event_type":"swp.room.message"}],"next_cursor":1,"has_more":false}}"#;
            prop_assert_eq!(SyncPage::parse(&body[..cut.min(body.len() - 1)]), Err(PageError::NotJson));
        }
    }
}
