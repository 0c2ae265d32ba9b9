//! The harness's own mark in `content.wavesoak`: latency and loss are computed from it alone.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess};

use super::lenient::{Key, Take, Taken, Text, Whole, skip, value};
use crate::time::Timestamp;

/// A stamp as it stands in JSON, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RawStamp<'a> {
    /// Run id, a UUID in its hyphenated text form.
    pub run: &'a str,
    /// Index of the room in the plan.
    pub room: u32,
    /// Sequence number in the room, dense from 0; markers and fences have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Intended send time, ns on the harness's clock.
    pub due_ns: u64,
    /// Time of the first attempt to send, ns on the harness's clock.
    pub sent_ns: u64,
}

/// A stamp of this very run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the room in the plan.
    pub room: u32,
    /// Sequence number in the room; `None`: a marker or a fence.
    pub n: Option<u32>,
    /// Intended send time.
    pub due: Timestamp,
    /// Time of the first attempt to send.
    pub sent: Timestamp,
}

impl RawStamp<'_> {
    /// The stamp, if it is of the run with this id.
    pub fn of_run(&self, run: &str) -> Option<Stamp> {
        (self.run == run).then(|| Stamp {
            room: self.room,
            n: self.n,
            due: Timestamp::from_nanos(self.due_ns),
            sent: Timestamp::from_nanos(self.sent_ns),
        })
    }
}

/// An error is "not a stamp"; whoever wants to step over foreign shapes reads a frame or a page.
impl<'de: 'a, 'a> Deserialize<'de> for RawStamp<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Taken(Shape(stamp)) = Taken::deserialize(deserializer)?;
        stamp.ok_or_else(|| D::Error::custom("not a stamp"))
    }
}

/// `content` of any shape, of which only `wavesoak` is of interest.
#[derive(Default)]
pub(super) struct Content<'a> {
    /// The stamp, if it is there and well formed.
    pub stamp: Option<RawStamp<'a>>,
}

impl<'a> Take<'a> for Content<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let mut content = Self::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"wavesoak" => content.stamp = value::<Shape<'a>, _>(&mut map)?.0,
                _ => skip(&mut map)?,
            }
        }
        Ok(content)
    }
}

/// `wavesoak` of any shape.
#[derive(Default)]
struct Shape<'a>(Option<RawStamp<'a>>);

impl<'a> Take<'a> for Shape<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let (mut run, mut room, mut n, mut due_ns, mut sent_ns) = (None, None, Number::Absent, None, None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"run" => run = value::<Text<'a>, _>(&mut map)?.0,
                b"room" => room = value::<Whole, _>(&mut map)?.0,
                b"n" => n = value(&mut map)?,
                b"due_ns" => due_ns = value::<Whole, _>(&mut map)?.0,
                b"sent_ns" => sent_ns = value::<Whole, _>(&mut map)?.0,
                _ => skip(&mut map)?,
            }
        }
        let stamp = || {
            // Our run ids are UUIDs and need no escapes: a run that has some is not ours.
            let Some(Cow::Borrowed(run)) = run else { return None };
            let n = match n {
                Number::Absent => None,
                Number::Given(n) => Some(u32::try_from(n).ok()?),
                Number::Foreign => return None,
            };
            Some(RawStamp { run, room: u32::try_from(room?).ok()?, n, due_ns: due_ns?, sent_ns: sent_ns? })
        };
        Ok(Self(stamp()))
    }
}

/// `n`: absent in markers and fences, so a wrong shape must not pass for an absent one.
#[derive(Default)]
enum Number {
    #[default]
    Foreign,
    Absent,
    Given(u64),
}

impl Take<'_> for Number {
    fn unsigned(number: u64) -> Self {
        Self::Given(number)
    }

    fn null() -> Self {
        Self::Absent
    }
}
