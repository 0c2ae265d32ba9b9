//! What planted faults make of sync requests.

use std::sync::Arc;
use std::time::Duration;

use crate::profile::Sync;
use crate::wire::Position;

use super::super::super::error::ApiError;
use super::super::super::event::{Event, Mark};
use super::super::super::faults::FaultIx;
use super::super::super::page::Page;
use super::super::super::registry::ParticipantIx;
use super::super::super::truth::Deed;
use super::super::Backend;

impl Backend {
    /// The page, with what planted faults make of it.
    pub(in super::super) fn answer(&mut self, who: ParticipantIx, since: Position, limit: u32) -> Page {
        let planted = self.faults.on_sync(self.registry.participant(who).number);
        let mut from = since;
        for &(_, verb) in &planted {
            if let Sync::Repeat { back } = verb {
                from = since.saturating_sub(u64::from(back));
            }
        }
        let mut page = self.page(who, from, limit);
        let in_walk = self.registry.participant(who).walk == Some(since);
        for (fault, verb) in planted {
            match verb {
                Sync::Repeat { .. } => {
                    self.count_repeated(fault, &page, since, in_walk);
                    let backwards = u64::from(page.next_cursor < since);
                    self.faults.truth_mut(fault).add(Deed::CursorBackwards, backwards);
                }
                Sync::Skip if page.has_more => {
                    page.next_cursor += 1;
                    let skipped = self.page(who, page.next_cursor - 1, 1).events;
                    let hit = skipped.first().is_some_and(|event| event.position == page.next_cursor);
                    self.faults.truth_mut(fault).add(Deed::RowSkipped, u64::from(hit));
                }
                Sync::Backwards { back } if !page.has_more && since > 0 => {
                    page.next_cursor = since.saturating_sub(u64::from(back));
                    self.faults.truth_mut(fault).add(Deed::CursorBackwards, 1);
                }
                Sync::Skip
                | Sync::Backwards { .. }
                | Sync::Slow(_)
                | Sync::Fail { .. }
                | Sync::Retain { .. } => {}
            }
        }
        self.count_omitted(who, since, &page);
        let participant = self.registry.participant_mut(who);
        participant.cursor = participant.cursor.max(since).max(page.next_cursor);
        participant.bridged = true;
        participant.walk = page.has_more.then_some(page.next_cursor);
        page
    }

    /// Planted: no answer, or a late one.
    pub(in super::super) fn refuse_sync(
        &mut self,
        who: ParticipantIx,
        since: Position,
    ) -> Result<Option<(FaultIx, Duration)>, ApiError> {
        for (position, fault) in std::mem::take(&mut self.registry.participant_mut(who).late_commits) {
            self.faults.truth_mut(fault).add(Deed::EventBehindCursor, u64::from(position <= since));
        }
        let participant = self.registry.participant(who);
        let newest = self.registry.tenant(participant.tenant).log.newest();
        let mut late = None;
        for (fault, verb) in self.faults.on_sync(participant.number) {
            let truth = self.faults.truth_mut(fault);
            match verb {
                Sync::Fail { status } => {
                    truth.add(Deed::AnswerFailed, 1);
                    return Err(ApiError::with_status(status));
                }
                Sync::Retain { keep } if since + u64::from(keep) < newest => {
                    truth.add(Deed::AnswerGone, 1);
                    self.count_gone(who, fault, since);
                    return Err(ApiError::BEYOND_RETENTION);
                }
                Sync::Slow(by) => late = Some((fault, by)),
                Sync::Retain { .. } | Sync::Skip | Sync::Repeat { .. } | Sync::Backwards { .. } => {}
            }
        }
        Ok(late)
    }

    /// Whoever is connected has what it asks for already (it is an audit).
    fn count_gone(&mut self, who: ParticipantIx, fault: FaultIx, since: Position) {
        let participant = self.registry.participant(who);
        if !participant.connections.is_empty() {
            return;
        }
        let log = &self.registry.tenant(participant.tenant).log;
        let gone = self
            .visible_after(participant, since.max(participant.gone))
            .filter_map(|position| log.get(position));
        let gone =
            gone.filter(|event| event.content.mark().and_then(Mark::coordinates).is_some()).count() as u64;
        let newest = log.newest();
        self.registry.participant_mut(who).gone = newest;
        self.faults.truth_mut(fault).add(Deed::RowGone, gone);
    }

    /// Markers and fences are no events of the plan: nobody counts them.
    fn count_repeated(&mut self, fault: FaultIx, page: &Page, since: Position, in_walk: bool) {
        let own = |event: &&Arc<Event>| event.content.mark().and_then(Mark::coordinates).is_some();
        let repeated = page.events.iter().filter(own).filter(|event| event.position <= since).count() as u64;
        let truth = self.faults.truth_mut(fault);
        truth.add(Deed::RowRepeated, repeated);
        truth.add(Deed::RowTwiceInWalk, if in_walk { repeated } else { 0 });
    }

    fn count_omitted(&mut self, who: ParticipantIx, since: Position, page: &Page) {
        let passed = if page.has_more { page.next_cursor } else { Position::MAX };
        for (position, fault, counted) in &mut self.registry.participant_mut(who).hidden_from_sync {
            if !*counted && (since + 1..=passed).contains(position) {
                *counted = true;
                self.faults.truth_mut(*fault).add(Deed::RowOmitted, 1);
            }
        }
    }
}
