//! Where a missed event was missed: the first proof that holds, in this order (design.md, "Place").

use std::time::Duration;

use wavesoak::collector::collected::Deliveries;
use wavesoak::time::Timestamp;

use super::client::{Bridge, Client, Connection, Proof};
use super::publishes::Facts;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// First sent after a connection's hello, and a ping, or an event first sent after the acknowledgement, arrived
    /// on that connection more than the lateness bound after the acknowledgement, not read late by the client.
    OnStream,
    /// Acknowledged before a request whose `since` lay below its position, of a bridge or poll that ran to `has_more`
    /// false.
    InSync,
    /// Sync-first only: [first sent, acknowledged] overlaps [last bridging request, hello], and its position lay above
    /// the client's at that hello, or is unknown.
    InSeam,
    /// Its position was at or below the client's own when a bridge or poll began, or at a hello.
    BehindCursor,
    /// None of these.
    Unplaced,
}

/// What can be said of an event that has not arrived at a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    /// The first proof that holds.
    pub(super) place: Place,
    /// The same, if it is final that the event has not arrived.
    pub(super) final_place: Option<Place>,
    /// A connection that has ended should have brought it.
    pub(super) omitted_before: bool,
    /// The one that is open should have.
    pub(super) omitted_by_live: bool,
}

impl Verdict {
    pub(super) fn of(facts: &Facts, client: &Client, now: Timestamp, bound: Duration) -> Self {
        let should = |connection: &Connection| facts.sent > connection.hello;
        let omitted = |connection: &Connection| {
            let proves = |proof: &Proof| match *proof {
                Proof::Ping(at) => at > facts.acked + bound,
                Proof::Event { at, sent } => sent > facts.acked && at > facts.acked + bound,
            };
            should(connection) && connection.proofs.iter().any(proves)
        };
        let asked = |bridge: &Bridge| {
            bridge.requests.iter().any(|&(at, since)| facts.acked < at && since < facts.low)
        };
        let in_seam = |&(request, hello, position): &(Timestamp, Timestamp, u64)| {
            facts.sent <= hello && facts.acked >= request && (facts.low != facts.high || facts.low > position)
        };
        let omitted_before = client.connections.iter().any(omitted);
        let omitted_by_live = client.connection.as_ref().is_some_and(omitted);
        let proofs = [
            (omitted_before || omitted_by_live, Place::OnStream),
            (client.bridges.iter().any(asked), Place::InSync),
            (client.seams.iter().any(in_seam), Place::InSeam),
            (client.held.iter().any(|&position| facts.high <= position), Place::BehindCursor),
        ];
        let place = proofs.into_iter().find(|(holds, _)| *holds).map_or(Place::Unplaced, |(_, place)| place);
        let better = match place {
            Place::OnStream => false,
            Place::InSync => client.connection.as_ref().is_some_and(should),
            _ => client.connection.as_ref().is_some_and(should) || client.bridge.as_ref().is_some_and(asked),
        };
        let is_final =
            now > facts.acked + bound && client.stored >= facts.high && place != Place::Unplaced && !better;
        Self { place, final_place: is_final.then_some(place), omitted_before, omitted_by_live }
    }
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OnStream => "missed_on_stream",
            Self::InSync => "missed_in_sync",
            Self::InSeam => "missed_in_seam",
            Self::BehindCursor => "missed_behind_cursor",
            Self::Unplaced => "missed_unplaced",
        }
    }

    pub(super) fn count(self, deliveries: &mut Deliveries) -> &mut u64 {
        match self {
            Self::OnStream => &mut deliveries.missed_on_stream,
            Self::InSync => &mut deliveries.missed_in_sync,
            Self::InSeam => &mut deliveries.missed_in_seam,
            Self::BehindCursor => &mut deliveries.missed_behind_cursor,
            Self::Unplaced => &mut deliveries.missed_unplaced,
        }
    }
}
