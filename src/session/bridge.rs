//! Bridging by paged sync, and offline polling (protocol.md, section 7).
//!
//! # What moves the position
//!
//! On the stream, the position is the highest one processed. In sync, it is moved by `next_cursor` alone and only
//! after the page: the client under test pages by `next_cursor`, and what is persisted is what the next `since`
//! will be. The highest position in a page would often be the same number, but where the two differ it would
//! hide what the harness is there to show: with a cursor below the highest row (a page that is out of order, or
//! cut), persisting the row would jump over events not yet returned; with a cursor above it, the skipped events
//! are the server's loss and must show as such. An auditor, which pages by position, tells the cases apart.
//! A cursor that is absent, null or below `since` leaves the position as it was.
//!
//! In stream-first order the stream is live while the bridge is open. A live event must not move the position
//! then, or the next `since` would jump over what is not yet synced; its position is remembered and counts when
//! the bridge has run to its end. When the bridge breaks off, it is forgotten.
//!
//! # A bridge that fails while the stream is live
//!
//! In stream-first order sync is a step of the attempt like any other, and any failed step fails the attempt: the
//! client drops the connection and backs off. Keeping it would leave two choices, both bad: to move the position
//! by live events (the gap is then never asked for again), or not to move it at all while the client passes for
//! live (every later restart replays all of it, and the gap stays open for as long as nobody retries). The next
//! attempt syncs from the last cursor and gets what both channels missed.

use std::time::Duration;

use super::attempt::Step;
use super::settings::{MALFORMED_MAX, RETRY_AFTER_MAX};
use super::timers::Timer;
use super::{Action, Arrival, Cause, Channel, Observation, Oddity, Session, State, SyncTrouble};
use crate::time::Timestamp;
use crate::wire::{Position, SyncPage, id_hash};

/// A bridge or an offline poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bridge {
    began: Timestamp,
    /// Of the request under way.
    id: Option<u32>,
    poll: bool,
    /// The highest position that came on the stream meanwhile.
    highest_live: Position,
}

/// The last sync request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) since: Position,
    pub(super) at: Timestamp,
}

impl Session {
    /// Syncs until there is no more; in stream-first order beside the live stream.
    pub(super) fn begin_bridge(&mut self, now: Timestamp, poll: bool) {
        if self.state != State::Live {
            self.state = State::Syncing;
        }
        self.bridge = Some(Bridge { began: now, id: None, poll, highest_live: 0 });
        self.observe(now, Observation::BridgeBegan { position: self.position, poll });
        self.request(now);
    }

    /// A page came.
    pub(super) fn synced(&mut self, now: Timestamp, id: u32, page: &SyncPage<'_>) {
        if !self.answers(id) {
            return;
        }
        let since = self.position;
        self.take_page(now, page);
        match page.has_more {
            false => self.bridged(now, true),
            true if self.position > since => self.request(now),
            // The same request would bring the same page for ever.
            true => self.bridge_failed(now, Step::Stall),
        }
    }

    /// A refusal that says when to ask again: the attempt that follows it begins no earlier, whatever the schedule says. It
    /// never comes earlier for it, and what asks for more than anybody would wait for is cut.
    pub(super) fn retry_after(&mut self, now: Timestamp, id: u32, after: Duration) {
        if self.bridge.is_some_and(|bridge| bridge.id == Some(id)) {
            self.not_before = now + after.min(RETRY_AFTER_MAX);
            self.observe(now, Observation::Odd(Oddity::RetryAfter));
        }
    }

    /// No page came.
    pub(super) fn sync_failed(&mut self, now: Timestamp, id: u32, trouble: SyncTrouble) {
        if !self.answers(id) {
            return;
        }
        self.observe(now, Observation::SyncFailed(trouble));
        match trouble {
            SyncTrouble::Unauthorized if self.token_refused(now) => {}
            // There is nothing to bridge from here, now or later: what is gone is gone (`signalled_loss`), and a
            // client that went on asking would never be live again. The stream moves the position on.
            SyncTrouble::BeyondRetention => self.bridged(now, false),
            _ => self.bridge_failed(now, Step::Sync),
        }
    }

    /// The answer is overdue.
    pub(super) fn sync_overdue(&mut self, now: Timestamp) {
        if let Some(id) = self.bridge.and_then(|bridge| bridge.id) {
            self.act(Action::AbandonSync);
            self.sync_failed(now, id, SyncTrouble::Timeout);
        }
    }

    /// A message with this position came on the stream.
    pub(super) fn passed(&mut self, position: Position) {
        match &mut self.bridge {
            Some(bridge) => bridge.highest_live = bridge.highest_live.max(position),
            None => self.position = self.position.max(position),
        }
    }

    /// Breaks off the bridge, if one is open.
    pub(super) fn break_bridge(&mut self, now: Timestamp) {
        let Some(bridge) = self.bridge.take() else { return };
        self.timers.clear(Timer::SyncDeadline);
        if bridge.id.is_some() {
            self.act(Action::AbandonSync);
        }
        self.bridge_ended(now, bridge, false);
    }

    /// Whether this is the answer that is waited for; if so, it no longer is.
    fn answers(&mut self, id: u32) -> bool {
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.id == Some(id)) else { return false };
        bridge.id = None;
        self.timers.clear(Timer::SyncDeadline);
        true
    }

    fn request(&mut self, now: Timestamp) {
        let client = &self.settings.client;
        let Some(bridge) = &mut self.bridge else { return };
        let timeout = if bridge.poll { client.poll_timeout } else { client.bridge_timeout };
        let (limit, deadline) = (client.sync_limit, now + timeout + client.sync_deadline);
        let (id, since) = (self.sync_id, self.position);
        bridge.id = Some(id);
        self.sync_id = self.sync_id.wrapping_add(1);
        self.asked = Some(Asked { since, at: now });
        self.observe(now, Observation::SyncSent { since });
        self.act(Action::Sync { id, since, limit, timeout });
        self.timers.set(Timer::SyncDeadline, deadline);
    }

    fn take_page(&mut self, now: Timestamp, page: &SyncPage<'_>) {
        let (since, sent) = (self.position, self.asked.map_or(now, |asked| asked.at));
        let (took, next_cursor) = (now.since(sent), page.next_cursor);
        let regressed = next_cursor.is_some_and(|cursor| cursor < since);
        self.outbox.reserve(page.events.len() + 8);
        self.observe(now, Observation::SyncPage { took, next_cursor, regressed });
        for _ in 0..page.malformed.min(MALFORMED_MAX) {
            self.observe(now, Observation::Odd(Oddity::Malformed));
        }
        for event in page.events.iter().filter(|event| event.is_message) {
            let arrival = Arrival {
                channel: Channel::Sync { since },
                stamp: event.stamp.and_then(|stamp| stamp.of_run(&self.settings.run)),
                position: event.position,
                id: event.id.as_deref().map_or(0, id_hash),
                room: self.settings.room_of(event.room_id.as_deref()),
                client_position: self.position,
            };
            self.observe(now, Observation::Arrived(arrival));
        }
        self.position = self.position.max(next_cursor.unwrap_or(0));
    }

    /// There is nothing more to ask for, because all is there (`complete`) or because it never will be.
    fn bridged(&mut self, now: Timestamp, complete: bool) {
        let Some(bridge) = self.bridge.take() else { return };
        self.bridge_ended(now, bridge, complete);
        if bridge.poll {
            self.polled(now, complete);
        } else if self.state == State::Live {
            self.position = self.position.max(bridge.highest_live);
            self.observe(now, Observation::Ready);
        } else {
            self.connect(now);
        }
    }

    /// The poll is over: try the stream, if it is time for that, else poll again. A poll that will never be answered
    /// better (`answered` is false) is a reply too, but its repetition backs off.
    fn polled(&mut self, now: Timestamp, answered: bool) {
        let due = if answered { self.schedule.poll_answered(now) } else { self.failed(now, Step::Sync) };
        if self.schedule.may_probe(now) {
            self.probe(now);
        } else {
            self.wait(now, self.spaced(due));
        }
    }

    fn bridge_failed(&mut self, now: Timestamp, step: Step) {
        self.break_bridge(now);
        if self.state == State::Live {
            self.drop_line(now, Cause::BridgeFailed, true);
        }
        self.attempt_failed(now, step);
    }

    fn bridge_ended(&mut self, now: Timestamp, bridge: Bridge, complete: bool) {
        let (took, poll) = (now.since(bridge.began), bridge.poll);
        self.observe(now, Observation::BridgeEnded { complete, took, poll });
    }
}
