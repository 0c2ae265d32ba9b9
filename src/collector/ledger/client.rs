//! What the ledger keeps of one client: its connection, its position, its proofs, and a track per room.

use std::collections::VecDeque;

use super::intervals::{Gaps, Intervals};
use crate::session::ConnectionInfo;
use crate::time::Timestamp;
use crate::wire::Position;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) past: Past,
    /// `last_stream_position`, as its process holds it.
    pub(super) position: Position,
    /// After a restart: what came before it with a position up to here may come again.
    pub(super) replay_until: Position,
    /// Highest position on the stream while a bridge was open beside it: it counts when the client is ready.
    pub(super) waiting: Position,
    /// Highest cursor that a sync request used or a page gave.
    pub(super) cursor: Position,
    /// `next_cursor` of the page whose arrivals are coming in.
    pub(super) page_cursor: Option<Position>,
    /// Hello of the connection that is open.
    pub(super) live: Option<Connection>,
    /// A hello has opened a span, and the plan has not taken the client away.
    pub(super) in_span: bool,
    /// When the plan will take it away, less what an acknowledgement may take: arrivals of events sent after
    /// this are noted one by one. `MAX`: it will not.
    pub(super) tentative_from: Timestamp,
    /// Something happened that may place a gap.
    pub(super) dirty: bool,
    /// The bridge (or poll) that is open.
    pub(super) open: Option<Box<Bridge>>,
    /// When the last request since the last hello left; sync-first's seam begins there.
    pub(super) last_request: Option<Timestamp>,
}

/// What a client has been through, as far as it may prove where an event was missed. A span that has ended keeps its
/// own, for the publishes whose outcome it still waits for.
#[derive(Debug)]
pub(super) struct Past {
    /// What its store has of its position; 0: nothing.
    pub(super) stored: Position,
    /// The client's own position when its latest bridge began or at its latest hello, whichever came later.
    pub(super) floor: Position,
    /// What happened lately, oldest first. Bounded: the oldest go first, and are counted.
    pub(super) items: VecDeque<(Timestamp, Item)>,
    /// What the current (or the last) connection said of itself.
    pub(super) info: Option<Box<ConnectionInfo>>,
    /// Hello and end of that connection.
    pub(super) connected_at: Timestamp,
    pub(super) disconnected_at: Timestamp,
}

/// A connection that is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) hello: Timestamp,
    /// Whatever was acknowledged before this and first sent after hello, this connection should have brought.
    pub(super) proved: Timestamp,
    /// Highest position that it brought.
    pub(super) high: Position,
}

/// One client in one room.
#[derive(Debug)]
pub(super) struct Track {
    /// First number of the span; `u32::MAX`: there is none open.
    pub(super) first: u32,
    /// Owed events of the room below `first`, once known.
    pub(super) base: Option<u32>,
    /// Every number of the span below it has arrived, is in the gaps, is final, or was never owed.
    pub(super) high: u32,
    /// Numbers from here on that have arrived came on the current (or last) connection, but for `off_stream`.
    pub(super) stream_from: u32,
    /// Highest position that the connection brought from this room.
    pub(super) stream_position: Position,
    pub(super) extra: Option<Box<Extra>>,
}

/// What is there only when something out of the ordinary happened.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) gaps: Gaps,
    /// At or above `stream_from`, arrived, but not on this connection.
    pub(super) off_stream: Intervals,
    /// Below `stream_from`, arrived on this connection.
    pub(super) on_stream: Intervals,
    /// First arrived by sync since the last connection ended.
    pub(super) by_sync: Intervals,
    /// Arrived within the bridge (or poll) that is open.
    pub(super) in_bridge: Intervals,
    /// Came since the last restart, as far as it may be a replay.
    pub(super) since_restart: Intervals,
    /// First arrivals that may turn out to be unowed: (n, it was live).
    pub(super) tentative: Vec<(u32, bool)>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        self.gaps == other.gaps
            && self.off_stream == other.off_stream
            && self.on_stream == other.on_stream
            && self.by_sync == other.by_sync
            && self.in_bridge == other.in_bridge
            && self.since_restart == other.since_restart
            && self.tentative == other.tentative
    }
}

impl Client {
    /// The arrivals of a page have come in: its cursor has passed what it passes, and is the position now.
    pub(super) fn apply_page_cursor(&mut self) {
        if let Some(cursor) = self.page_cursor.take() {
            self.cursor = self.cursor.max(cursor);
            self.position = self.position.max(cursor);
        }
    }

    /// A sync request leaves.
    pub(super) fn requested(&mut self, now: Timestamp, since: Position) {
        self.cursor = self.cursor.max(since);
        self.position = self.position.max(since);
        self.last_request = Some(now);
        let requests = &mut self.open.get_or_insert_default().requests;
        if requests.len() >= Past::REQUESTS {
            requests.pop();
        }
        requests.push((now, since));
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            past: Past::default(),
            position: 0,
            replay_until: 0,
            waiting: 0,
            cursor: 0,
            page_cursor: None,
            live: None,
            in_span: false,
            tentative_from: Timestamp::MAX,
            dirty: false,
            open: None,
            last_request: None,
        }
    }
}

impl Default for Past {
    fn default() -> Self {
        let (connected_at, disconnected_at) = (Timestamp::MAX, Timestamp::MAX);
        Self { stored: 0, floor: 0, items: VecDeque::new(), info: None, connected_at, disconnected_at }
    }
}

impl Default for Track {
    fn default() -> Self {
        Self {
            first: u32::MAX,
            base: None,
            high: u32::MAX,
            stream_from: u32::MAX,
            stream_position: 0,
            extra: None,
        }
    }
}

impl Track {
    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Frees what is no longer needed.
    pub(super) fn tidy(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }

    /// One more event of the room is owed, at `n`.
    pub(super) fn owed_more_before(&mut self, n: u32) {
        if n < self.first {
            self.base = self.base.map(|base| base + 1);
        }
    }

    /// What has been passed over, and of which it still has to be known what became of it.
    pub(super) fn needed(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = self.base.is_none().then_some((self.first, self.first.saturating_add(1)));
        let extra = self.extra.iter().flat_map(|extra| {
            let tentative = extra.tentative.iter().map(|&(n, _)| (n, n + 1));
            extra.gaps.intervals().chain(tentative)
        });
        first.into_iter().chain(extra)
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| !extra.gaps.is_empty())
    }

    /// A new connection: nothing has come on it yet.
    pub(super) fn connected(&mut self) {
        self.stream_from = self.high;
        self.stream_position = 0;
        if let Some(extra) = &mut self.extra {
            extra.off_stream.clear();
            extra.on_stream.clear();
        }
        self.tidy();
    }

    /// The connection is gone: what sync brings from now on is of a new cycle.
    pub(super) fn disconnected(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.by_sync.clear();
            extra.in_bridge.clear();
        }
        self.tidy();
    }

    /// Whether `n`, which has arrived, came on the current (or last) connection.
    pub(super) fn on_stream(&self, n: u32) -> bool {
        let extra = self.extra.as_deref();
        if n >= self.stream_from {
            !extra.is_some_and(|extra| extra.off_stream.contains(n))
        } else {
            extra.is_some_and(|extra| extra.on_stream.contains(n))
        }
    }

    /// Notes that `n` came on this connection.
    pub(super) fn put_on_stream(&mut self, n: u32) {
        if n < self.stream_from {
            self.extra().on_stream.insert(n);
        } else if let Some(extra) = &mut self.extra {
            extra.off_stream.remove(n);
        }
    }
}

/// One piece of evidence.
#[derive(Debug)]
pub(super) enum Item {
    /// A connection that has ended.
    Connection { hello: Timestamp, proved: Timestamp },
    /// A bridge (or poll) that ran to `has_more` false.
    Bridge(Box<Bridge>),
    /// Between the last bridging request and hello, with the client's position at that hello.
    Seam { request: Timestamp, hello: Timestamp, position: Position },
}

/// The requests of a bridge, or of several in a row: when each left, and its `since`.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    /// An offline poll, not a bridge.
    pub(super) poll: bool,
    pub(super) requests: Vec<(Timestamp, Position)>,
}

impl Past {
    /// Pieces kept for one client.
    const ITEMS: usize = 64;
    /// Requests kept of one bridge; beyond them the last one stands for all that follow.
    const REQUESTS: usize = 256;

    /// Adds a bridge that ran to its end; one right after another (polls do so by the dozen) joins it.
    pub(super) fn add_bridge(&mut self, now: Timestamp, bridge: Box<Bridge>) -> bool {
        match self.items.back_mut() {
            Some((at, Item::Bridge(last)))
                if last.requests.len() + bridge.requests.len() <= Self::REQUESTS =>
            {
                *at = now;
                last.requests.extend(bridge.requests);
                false
            }
            _ => self.add(now, Item::Bridge(bridge)),
        }
    }

    /// Adds a piece; `true` when an older one had to go.
    pub(super) fn add(&mut self, now: Timestamp, item: Item) -> bool {
        let full = self.items.len() >= Self::ITEMS;
        if full {
            self.items.pop_front();
        }
        self.items.push_back((now, item));
        full
    }

    /// Drops what is older than `before`.
    pub(super) fn forget(&mut self, before: Timestamp) {
        while self.items.front().is_some_and(|&(at, _)| at < before) {
            self.items.pop_front();
        }
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn bridge(requests: usize) -> Box<Bridge> {
        Box::new(Bridge { poll: true, requests: vec![(at(1), 7); requests] })
    }

    /// How many requests each piece holds, and since when it is there.
    fn pieces(past: &Past) -> Vec<(u64, usize)> {
        let requests = |item: &Item| match item {
            Item::Bridge(bridge) => bridge.requests.len(),
            _ => 0,
        };
        past.items.iter().map(|(at, item)| (at.as_nanos() / 1_000_000_000, requests(item))).collect()
    }

    #[test]
    fn polls_in_a_row_are_one_piece_up_to_a_number_of_requests() {
        let mut past = Past::default();
        for (secs, requests) in [(1, 128), (2, 128), (3, 1), (4, 255), (5, 200), (6, 57)] {
            assert!(!past.add_bridge(at(secs), bridge(requests)));
        }
        assert_eq!(pieces(&past), [(2, 256), (4, 256), (5, 200), (6, 57)]);
        past.add(at(7), Item::Connection { hello: at(6), proved: at(7) });
        past.add_bridge(at(8), bridge(1));
        assert_eq!(pieces(&past)[3..], [(6, 57), (7, 0), (8, 1)]);
    }

    #[test]
    fn pieces_go_when_they_are_old_or_too_many_and_give_their_memory_back() {
        let mut past = Past::default();
        for secs in 0..Past::ITEMS as u64 {
            assert!(!past.add(at(secs), Item::Connection { hello: at(0), proved: at(secs) }));
        }
        assert!(past.add(at(100), Item::Connection { hello: at(0), proved: at(100) }));
        assert_eq!((past.items.len(), pieces(&past)[0].0), (Past::ITEMS, 1));
        past.forget(at(5));
        assert_eq!((past.items.len(), pieces(&past)[0].0), (Past::ITEMS - 4, 5), "not before, but at 5 s");
        past.forget(at(100));
        assert_eq!((past.items.len(), past.items.capacity() > 0), (1, true));
        past.forget(at(101));
        assert_eq!(past.items.capacity(), 0);
    }

    #[test]
    fn of_very_many_requests_of_one_bridge_the_last_one_stands_for_all_that_follow() {
        let mut client = Client::default();
        for since in 0..1000 {
            client.requested(at(since), since);
        }
        let requests = client.open.expect("a bridge is open").requests;
        assert_eq!((requests.len(), requests[0].1, requests[254].1), (Past::REQUESTS, 0, 254));
        assert_eq!(requests[255], (at(999), 999));
        assert_eq!((client.position, client.last_request), (999, Some(at(999))));
    }
}
