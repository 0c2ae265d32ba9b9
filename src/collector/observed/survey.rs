//! The survey: reads each room's history with a member's token, page by page, so that what a client missed is known also
//! when no other client saw it. Every room in turn while the run goes on, and all of them once more at its end.
//!
//! A member whose token does not open the history (it was put out of the room, or its identity is refused) is followed by
//! the next one, and told of: with one reader alone, what nobody's stream brought would be a hole in the union from then
//! on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::generator::pace::Ceiling;
use crate::plan::Population;
use crate::session::SyncTrouble;
use crate::time::Timestamp;
use crate::wire::{Position, SyncPage};
use crate::worker::conductor::Fetch;

/// All rooms.
#[derive(Debug)]
pub struct Survey {
    ceiling: Ceiling,
    walks: Vec<Walk>,
    every: Duration,
    /// Pages that were asked for: the room.
    asked: BTreeMap<u64, u32>,
    next_id: u64,
    people: Population,
    outbox: VecDeque<(u64, u32, Fetch)>,
    /// Readers that a room's history was refused to, since last taken: (client, room).
    refused: Vec<(u32, u32)>,
    paced_until: Option<Timestamp>,
    last_round: bool,
    /// Rooms whose history could not be read to its end, in the last round.
    pub unread: u64,
}

#[derive(Debug)]
struct Walk {
    /// Whose token is used: the member of the room with this number.
    reader: u32,
    /// Members in a row to whom it was refused.
    refused: u32,
    /// Where this round began.
    begin: Position,
    cursor: Position,
    /// When the next page may be asked for; `MAX`: not before the last round, or never again.
    due: Timestamp,
    attempt: u32,
    under_way: bool,
    /// The last round began while a page was under way, which may not show all.
    again: bool,
}

/// What a page means for the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The room.
    pub room: u32,
    /// Its history has been read to its end, up to this position.
    pub to_the_end: Option<Position>,
}

/// Ids of pages have this bit, so that they are not those of the audit.
const OWN: u64 = 1 << 63;
/// `limit` of a history page: the documented maximum.
const LIMIT: u32 = 200;
/// Members in a row who are tried before the room counts as not to be read (ours): a room that is gone is gone for all.
const READERS: u32 = 8;
/// Attempts at one page, one second apart (ours).
const ATTEMPTS: u32 = 3;
/// Time between two rounds of a room at the least (ours): what was read to its end is read again from there.
const EVERY: Duration = Duration::from_secs(20);
/// While the run goes on, the survey takes no more than this part of `audit.rate` (ours).
const SHARE: f64 = 0.25;

impl Survey {
    /// All rooms, and of each tenant the position where the reading begins; `rate`: pages a second.
    pub fn new(people: &Population, starts: &[Position], rate: f64) -> Self {
        let rate = rate.max(0.1);
        let start = |room| starts.get(people.tenant_of_room(room) as usize).copied().unwrap_or(0);
        let walk = |(number, begin): (u32, Position)| Walk {
            reader: 0,
            refused: 0,
            begin,
            cursor: begin,
            // One after the other, so that the first round is as calm as any.
            due: Timestamp::ZERO + Duration::from_secs_f64(f64::from(number) / (rate * SHARE)),
            attempt: 1,
            under_way: false,
            again: false,
        };
        let walks: Vec<Walk> = (0..people.rooms()).map(|room| (room, start(room))).map(walk).collect();
        let every = EVERY.max(Duration::from_secs_f64(walks.len() as f64 / (rate * SHARE)));
        Self {
            ceiling: Ceiling::new(rate, rate.ceil() as u32),
            walks,
            every,
            asked: BTreeMap::new(),
            people: people.clone(),
            refused: Vec::new(),
            next_id: 0,
            outbox: VecDeque::new(),
            paced_until: None,
            last_round: false,
            unread: 0,
        }
    }

    /// The last round begins: every room is read to its end once more.
    pub fn begin_last_round(&mut self, now: Timestamp) {
        if !std::mem::replace(&mut self.last_round, true) {
            for walk in &mut self.walks {
                (walk.due, walk.attempt, walk.again) = (now, 1, walk.under_way);
            }
        }
    }

    /// The last round is over.
    pub fn is_over(&self) -> bool {
        self.last_round && self.walks.iter().all(|walk| !walk.under_way && walk.due == Timestamp::MAX)
    }

    /// The run is over: what has not been read stays unread.
    pub fn abandon(&mut self) {
        for (room, walk) in (0..).zip(&mut self.walks) {
            if walk.under_way || walk.due < Timestamp::MAX {
                self.unread += u64::from(self.people.members_len(room) > 0);
                (walk.under_way, walk.due) = (false, Timestamp::MAX);
            }
        }
        self.asked.clear();
    }

    /// Asks for the pages that are due.
    pub fn pump(&mut self, now: Timestamp) {
        self.paced_until = None;
        for (room, walk) in (0..).zip(&mut self.walks) {
            if walk.under_way || walk.due > now {
                continue;
            }
            let Some(client) = self.people.members(room).nth(walk.reader as usize) else {
                walk.due = Timestamp::MAX;
                continue;
            };
            if let Err(later) = self.ceiling.take(now) {
                self.paced_until = Some(later);
                return;
            }
            walk.under_way = true;
            self.next_id += 1;
            let id = OWN | self.next_id;
            self.asked.insert(id, room);
            let fetch = Fetch::History { room, from: walk.cursor, limit: LIMIT };
            self.outbox.push_back((id, client, fetch));
        }
    }

    /// The next page to fetch: id, whose token, what.
    pub fn poll(&mut self) -> Option<(u64, u32, Fetch)> {
        self.outbox.pop_front()
    }

    /// Whether a page is the survey's.
    pub fn owns(id: u64) -> bool {
        id & OWN != 0
    }

    /// A page came, or did not. `settled` tells a room's position behind which nothing new can appear: the next round
    /// begins there.
    pub fn fetched(
        &mut self,
        now: Timestamp,
        id: u64,
        result: Result<&SyncPage<'_>, SyncTrouble>,
        settled: impl FnOnce(u32) -> Position,
    ) -> Option<Read> {
        let room = self.asked.remove(&id)?;
        let (every, last_round) = (self.every, self.last_round);
        let walk = self.walks.get_mut(room as usize)?;
        walk.under_way = false;
        let again = std::mem::take(&mut walk.again);
        let later = match last_round {
            true if again => now,
            true => Timestamp::MAX,
            false => now + every,
        };
        let members = self.people.members_len(room);
        if let Err(SyncTrouble::Unauthorized | SyncTrouble::Refused(_)) = result {
            let reader = self.people.members(room).nth(walk.reader as usize);
            self.refused.extend(reader.map(|reader| (reader, room)));
            walk.reader = (walk.reader + 1) % members.max(1);
            walk.refused += 1;
            if walk.refused < members.min(READERS) {
                walk.due = now;
                return None;
            }
            (walk.refused, walk.attempt) = (0, ATTEMPTS);
        }
        let Ok(page) = result else {
            if walk.attempt < ATTEMPTS {
                walk.attempt += 1;
                walk.due = now + Duration::from_secs(1);
            } else {
                (walk.attempt, walk.due) = (1, later);
                self.unread += u64::from(later == Timestamp::MAX);
            }
            return None;
        };
        (walk.attempt, walk.refused) = (1, 0);
        let highest = page.events.iter().filter_map(|event| event.position).max().unwrap_or(0);
        let over = !page.has_more || highest <= walk.cursor;
        let read_to = walk.cursor.max(highest);
        if over {
            walk.due = later;
            // Nothing of what comes late may hide behind the cursor.
            walk.begin = read_to.min(settled(room)).max(walk.begin);
            walk.cursor = walk.begin;
        } else {
            (walk.cursor, walk.due) = (read_to, now);
        }
        Some(Read { room, to_the_end: over.then_some(walk.cursor) })
    }

    /// Readers that a room's history was refused to, since last asked: (client, room).
    pub fn take_refused(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.refused)
    }

    /// When [`Self::pump`] has something to do.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let due = || self.walks.iter().filter(|walk| !walk.under_way).map(|walk| walk.due).min();
        self.paced_until.or_else(due).filter(|&at| at < Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SyncEvent;

    /// One room of three members.
    fn people() -> Population {
        Population::new(&crate::profile::Population {
            tenants: 1,
            clients: 3,
            members_per_room: 3,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..crate::profile::Population::default()
        })
    }

    fn page(positions: &[u64], has_more: bool) -> SyncPage<'static> {
        let event = |&position: &u64| SyncEvent {
            position: Some(position),
            is_message: true,
            ..SyncEvent::default()
        };
        SyncPage { events: positions.iter().map(event).collect(), has_more, ..SyncPage::default() }
    }

    fn asked(survey: &mut Survey, now: Timestamp) -> Vec<(u64, u64)> {
        survey.pump(now);
        let from = |fetch| match fetch {
            Fetch::History { from, .. } => from,
            Fetch::Sync { .. } | Fetch::Load { .. } => panic!("not of history"),
        };
        std::iter::from_fn(|| survey.poll()).map(|(id, _, fetch)| (id, from(fetch))).collect()
    }

    #[test]
    fn a_room_is_read_to_its_end_and_again_from_what_has_settled() {
        let mut survey = Survey::new(&people(), &[10], 100.0);
        let start = Timestamp::ZERO;
        let pages = asked(&mut survey, start);
        assert_eq!(pages.iter().map(|page| page.1).collect::<Vec<_>>(), [10]);
        assert!(Survey::owns(pages[0].0) && asked(&mut survey, start).is_empty(), "one page at a time");
        let read = survey.fetched(start, pages[0].0, Ok(&page(&[11, 14], true)), |_| 0);
        assert_eq!(read, Some(Read { room: 0, to_the_end: None }));
        let pages = asked(&mut survey, start);
        assert_eq!(pages[0].1, 14);
        let read = survey.fetched(start, pages[0].0, Ok(&page(&[17, 19], false)), |_| 17);
        assert_eq!(read, Some(Read { room: 0, to_the_end: Some(17) }));
        assert!(asked(&mut survey, start + Duration::from_secs(19)).is_empty());
        let pages = asked(&mut survey, start + EVERY);
        assert_eq!(pages[0].1, 17);
        survey.begin_last_round(start + EVERY);
        survey.fetched(start + EVERY, pages[0].0, Ok(&page(&[], false)), |_| 19);
        assert!(!survey.is_over(), "that page was asked for before the last round began");
        let pages = asked(&mut survey, start + EVERY);
        survey.fetched(start + EVERY, pages[0].0, Ok(&page(&[19], false)), |_| 19);
        assert!(survey.is_over() && survey.unread == 0);
    }

    #[test]
    fn a_history_that_cannot_be_read_is_tried_again_and_then_counted() {
        let mut survey = Survey::new(&people(), &[10], 100.0);
        let mut now = Timestamp::ZERO;
        survey.begin_last_round(now);
        for _ in 0..ATTEMPTS {
            let pages = asked(&mut survey, now);
            assert_eq!(pages.len(), 1);
            survey.fetched(now, pages[0].0, Err(SyncTrouble::Network), |_| 0);
            now = now + Duration::from_secs(1);
        }
        assert!(survey.is_over() && survey.unread == 1);
    }
    /// Who is asked for the next page, and its number.
    fn reader(survey: &mut Survey, now: Timestamp) -> Option<(u64, u32)> {
        survey.pump(now);
        survey.poll().map(|(id, client, _)| (id, client))
    }

    #[test]
    fn a_history_that_is_refused_to_one_member_is_read_by_the_next_and_goes_on_where_it_was() {
        let mut survey = Survey::new(&people(), &[10], 100.0);
        let now = Timestamp::ZERO;
        let members: Vec<u32> = people().members(0).collect();
        let (id, client) = reader(&mut survey, now).expect("a page");
        assert_eq!(client, members[0]);
        survey.fetched(now, id, Ok(&page(&[11, 14], true)), |_| 0);
        let (id, _) = reader(&mut survey, now).expect("the next one");
        assert_eq!(survey.fetched(now, id, Err(SyncTrouble::Refused(403)), |_| 0), None);
        let pages = asked(&mut survey, now);
        assert_eq!(pages.iter().map(|page| page.1).collect::<Vec<_>>(), [14], "at once, from there");
        survey.fetched(now, pages[0].0, Err(SyncTrouble::Unauthorized), |_| 0);
        let (id, client) = reader(&mut survey, now).expect("the last one");
        assert_eq!(client, members[2]);
        let read = survey.fetched(now, id, Ok(&page(&[17], false)), |_| 17);
        assert_eq!(read, Some(Read { room: 0, to_the_end: Some(17) }));
        assert_eq!(survey.take_refused(), [(members[0], 0), (members[1], 0)]);
        // The one who may read goes on reading.
        let (_, client) = reader(&mut survey, now + EVERY).expect("the next round");
        assert_eq!((client, survey.unread), (members[2], 0));
    }

    #[test]
    fn a_history_that_is_refused_to_everybody_is_unread_and_asked_for_no_faster_than_any() {
        let mut survey = Survey::new(&people(), &[10], 100.0);
        let now = Timestamp::ZERO;
        for _ in 0..3 {
            let (id, _) = reader(&mut survey, now).expect("each in turn");
            survey.fetched(now, id, Err(SyncTrouble::Refused(404)), |_| 0);
        }
        assert_eq!(reader(&mut survey, now), None, "not before the next round");
        survey.begin_last_round(now);
        for _ in 0..3 {
            let (id, _) = reader(&mut survey, now).expect("each once more");
            survey.fetched(now, id, Err(SyncTrouble::Refused(404)), |_| 0);
        }
        assert_eq!((survey.is_over(), survey.unread), (true, 1));
    }
}
