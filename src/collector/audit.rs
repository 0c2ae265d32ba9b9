//! The rolling audit: does the server still have what a client never got? And: was an unanswered publish stored?
//!
//! Bounded, rate-governed, and apart from every session's cursor. It asks with the client's own token: sync from
//! just below the event's position, paging by the highest position received (never by `next_cursor`), then the
//! history of its room. What the queue refuses, or the server does not answer, stays `unaudited`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::generator::pace::Ceiling;
use crate::profile;
use crate::session::SyncTrouble;
use crate::time::Timestamp;
use crate::wire::{ID_MAX, Position, SyncPage, id_hash};
use crate::worker::conductor::Fetch;

/// Something to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose token is used.
    pub client: u32,
    /// Room.
    pub room: u32,
    /// Sequence number.
    pub n: u32,
    /// Its position is at or above this.
    pub low: Position,
    /// Its position is at or below this.
    pub high: Position,
    /// An unanswered publish, not a missed event.
    pub doubtful: bool,
    /// [`id_hash`] of its id: it is told by that, and not by a stamp; 0: by its stamp.
    pub id: u64,
}

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Sync returns it.
    InSync {
        /// Its position.
        position: Option<Position>,
        /// Its id.
        id: Option<Box<str>>,
    },
    /// Sync does not return it, history does.
    InHistory {
        /// Its position.
        position: Option<Position>,
        /// Its id.
        id: Option<Box<str>>,
    },
    /// Neither returns it.
    Nowhere,
    /// The server said that it cannot replay from there.
    Signalled,
    /// No answer.
    Unaudited,
}

/// The audit of one stripe.
#[derive(Debug)]
pub struct Auditor {
    run: String,
    ceiling: Ceiling,
    queue: VecDeque<Item>,
    queue_max: usize,
    walks: BTreeMap<u64, Walk>,
    resting: BTreeMap<(Timestamp, u64), Walk>,
    paced_until: Option<Timestamp>,
    next_id: u64,
    outbox: VecDeque<(u64, u32, Fetch)>,
    found: VecDeque<(Item, Store)>,
    /// Items that the queue refused.
    pub refused: u64,
}

/// Walks under way at once (ours).
const WALKS: usize = 8;
/// Pages of one walk (ours).
const PAGES: u32 = 200;
/// Attempts at one page (ours), one second apart.
const ATTEMPTS: u32 = 3;
/// `limit` of a sync page and of a history page: the documented maxima.
const SYNC_LIMIT: u32 = 500;
const HISTORY_LIMIT: u32 = 200;

/// One client's items, looked up together.
#[derive(Debug)]
struct Walk {
    client: u32,
    /// Still to be found in this stage, by `low`.
    wanted: Vec<Item>,
    /// Not in sync; to be looked for in history.
    later: Vec<Item>,
    in_history: bool,
    cursor: Position,
    pages: u32,
    attempt: u32,
}

impl Auditor {
    /// Nothing to look up.
    pub fn new(settings: &profile::Audit, run: String) -> Self {
        let rate = settings.rate.0.max(0.1);
        Self {
            run,
            ceiling: Ceiling::new(rate, rate.ceil() as u32),
            queue: VecDeque::new(),
            queue_max: settings.queue as usize,
            walks: BTreeMap::new(),
            resting: BTreeMap::new(),
            paced_until: None,
            next_id: 0,
            outbox: VecDeque::new(),
            found: VecDeque::new(),
            refused: 0,
        }
    }

    /// Queues an item; a full queue answers `Unaudited` at once.
    pub fn want(&mut self, item: Item) {
        if self.queue.len() < self.queue_max {
            self.queue.push_back(item);
        } else {
            self.refused += 1;
            self.found.push_back((item, Store::Unaudited));
        }
    }

    /// Starts what may start.
    pub fn pump(&mut self, now: Timestamp) {
        self.paced_until = None;
        loop {
            let rested = self.resting.keys().next().is_some_and(|&(at, _)| at <= now);
            let may_begin = self.walks.len() + self.resting.len() < WALKS && !self.queue.is_empty();
            if !rested && !may_begin {
                return;
            }
            if let Err(later) = self.ceiling.take(now) {
                self.paced_until = Some(later);
                return;
            }
            let (id, walk) = match self.resting.first_entry().filter(|_| rested) {
                Some(entry) => {
                    let ((_, id), walk) = entry.remove_entry();
                    (id, walk)
                }
                None => (self.take_id(), self.begin()),
            };
            self.outbox.push_back((id, walk.client, walk.fetch()));
            self.walks.insert(id, walk);
        }
    }

    /// A page came, or did not.
    pub fn fetched(&mut self, now: Timestamp, id: u64, result: Result<&SyncPage<'_>, SyncTrouble>) {
        let Some(mut walk) = self.walks.remove(&id) else { return };
        match result {
            Ok(page) => walk.read(page, &self.run, &mut self.found),
            Err(SyncTrouble::BeyondRetention) => walk.give_up(&Store::Signalled, &mut self.found),
            Err(_) if walk.attempt < ATTEMPTS => {
                walk.attempt += 1;
                self.resting.insert((now + Duration::from_secs(1), id), walk);
                return;
            }
            Err(_) => walk.give_up(&Store::Unaudited, &mut self.found),
        }
        walk.next_stage(&mut self.found);
        if !walk.wanted.is_empty() {
            self.resting.insert((now, id), walk);
        }
    }

    /// Whose token this page was asked for with; `None`: nobody waits for it any more.
    pub fn asks_for(&self, id: u64) -> Option<u32> {
        self.walks.get(&id).map(|walk| walk.client)
    }

    /// The run whose stamps it reads.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The next page to fetch: id, whose token, what.
    pub fn poll(&mut self) -> Option<(u64, u32, Fetch)> {
        self.outbox.pop_front()
    }

    /// The next answer.
    pub fn found(&mut self) -> Option<(Item, Store)> {
        self.found.pop_front()
    }

    /// When [`Self::pump`] has something to do, pages apart.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.paced_until.or_else(|| self.resting.keys().next().map(|&(at, _)| at))
    }

    /// Nothing is queued or under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.walks.is_empty() && self.resting.is_empty() && self.found.is_empty()
    }

    /// The run is over: whatever has no answer is `Unaudited`.
    pub fn abandon(&mut self) {
        let walks = std::mem::take(&mut self.walks)
            .into_values()
            .chain(std::mem::take(&mut self.resting).into_values());
        let under_way: Vec<Item> = walks.flat_map(|walk| walk.wanted.into_iter().chain(walk.later)).collect();
        for item in under_way.into_iter().chain(std::mem::take(&mut self.queue)) {
            self.found.push_back((item, Store::Unaudited));
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes the first item and everything else of the same client.
    fn begin(&mut self) -> Walk {
        let client = self.queue.front().map_or(0, |item| item.client);
        let mut wanted = Vec::new();
        self.queue.retain(|item| {
            let same = item.client == client;
            if same {
                wanted.push(*item);
            }
            !same
        });
        wanted.sort_unstable_by_key(|item| item.low);
        let cursor = wanted.first().map_or(0, |item| item.low.saturating_sub(1));
        Walk { client, wanted, later: Vec::new(), in_history: false, cursor, pages: 0, attempt: 1 }
    }
}

impl Walk {
    fn fetch(&self) -> Fetch {
        match self.wanted.first().filter(|_| self.in_history) {
            Some(item) => Fetch::History { room: item.room, from: self.cursor, limit: HISTORY_LIMIT },
            None => Fetch::Sync { since: self.cursor, limit: SYNC_LIMIT },
        }
    }

    fn read(&mut self, page: &SyncPage<'_>, run: &str, found: &mut VecDeque<(Item, Store)>) {
        self.pages += 1;
        self.attempt = 1;
        let mut highest = self.cursor;
        // In history only the room that was read has been passed; what is found in it may have been all of it.
        let room = self.wanted.first().filter(|_| self.in_history).map(|item| item.room);
        for event in &page.events {
            highest = highest.max(event.position.unwrap_or(0));
            let stamp = event.stamp.and_then(|stamp| stamp.of_run(run));
            let own_id = event.id.as_deref().map_or(0, id_hash);
            let same = |item: &Item| match (item.id, stamp) {
                (0, Some(stamp)) => item.room == stamp.room && Some(item.n) == stamp.n,
                (0, None) => false,
                (id, _) => id == own_id,
            };
            if let Some(at) = self.wanted.iter().position(same) {
                let id = event.id.as_deref().filter(|id| id.len() <= ID_MAX).map(Into::into);
                let position = event.position;
                let store = if self.in_history {
                    Store::InHistory { position, id }
                } else {
                    Store::InSync { position, id }
                };
                found.push_back((self.wanted.remove(at), store));
            }
        }
        let over = !page.has_more || highest == self.cursor;
        self.cursor = highest;
        let passed =
            |item: &Item| (over || item.high <= highest) && room.is_none_or(|room| item.room == room);
        let absent: Vec<Item> = self.wanted.extract_if(.., |item| passed(item)).collect();
        for item in absent {
            if self.in_history { found.push_back((item, Store::Nowhere)) } else { self.later.push(item) }
        }
        if self.pages >= PAGES {
            self.give_up(&Store::Unaudited, found);
        } else if let Some(next) = self.wanted.first() {
            let jump = next.low.saturating_sub(1);
            self.cursor =
                if over || room.is_some_and(|room| room != next.room) { jump } else { highest.max(jump) };
        }
    }

    /// What is not in sync is looked for in history, room by room.
    fn next_stage(&mut self, _found: &mut VecDeque<(Item, Store)>) {
        if self.wanted.is_empty() && !self.later.is_empty() {
            self.in_history = true;
            self.wanted = std::mem::take(&mut self.later);
            self.wanted.sort_unstable_by_key(|item| (item.room, item.low));
            self.cursor = self.wanted[0].low.saturating_sub(1);
            (self.pages, self.attempt) = (0, 1);
        }
    }

    fn give_up(&mut self, store: &Store, found: &mut VecDeque<(Item, Store)>) {
        let rest = std::mem::take(&mut self.wanted).into_iter().chain(std::mem::take(&mut self.later));
        found.extend(rest.map(|item| (item, store.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::quantity::Rate;
    use crate::wire::{RawStamp, SyncEvent};

    const RUN: &str = "run";

    fn item(client: u32, n: u32, low: Position, high: Position) -> Item {
        Item { client, room: 3, n, low, high, doubtful: false, id: 0 }
    }

    fn auditor(queue: u32) -> Auditor {
        Auditor::new(&profile::Audit { rate: Rate(1000.0), queue, window: 10 }, RUN.to_owned())
    }

    fn page(events: &[(u64, u32)], has_more: bool) -> SyncPage<'static> {
        let event = |&(position, n): &(u64, u32)| SyncEvent {
            position: Some(position),
            is_message: true,
            stamp: Some(RawStamp { run: RUN, room: 3, n: Some(n), due_ns: 0, sent_ns: 0 }),
            ..SyncEvent::default()
        };
        SyncPage { events: events.iter().map(event).collect(), has_more, ..SyncPage::default() }
    }

    /// Serves a store: what sync has and what history has, two events a page.
    fn play(auditor: &mut Auditor, sync: &[(u64, u32)], history: &[(u64, u32)]) -> Vec<(u32, Store)> {
        let mut now = Timestamp::ZERO;
        for _ in 0..1000 {
            auditor.pump(now);
            while let Some((id, _, fetch)) = auditor.poll() {
                let (store, from) = match fetch {
                    Fetch::Sync { since, .. } | Fetch::Load { since, .. } => (sync, since),
                    Fetch::History { from, .. } => (history, from),
                };
                let rest: Vec<_> = store.iter().copied().filter(|&(position, _)| position > from).collect();
                auditor.fetched(now, id, Ok(&page(&rest[..rest.len().min(2)], rest.len() > 2)));
            }
            now = now + Duration::from_millis(10);
        }
        std::iter::from_fn(|| auditor.found()).map(|(item, store)| (item.n, store)).collect()
    }

    #[test]
    fn each_event_is_found_where_it_is() {
        let mut auditor = auditor(100);
        for n in 0..4 {
            auditor.want(item(7, n, 10 + u64::from(n), 10 + u64::from(n)));
        }
        auditor.want(item(7, 9, 1, u64::MAX));
        let sync = [(10, 0), (11, 100), (12, 2), (14, 101), (15, 102), (16, 9)];
        let mut found = play(&mut auditor, &sync, &[(10, 0), (11, 1), (12, 2), (14, 103)]);
        found.sort_unstable_by_key(|(n, _)| *n);
        let in_sync = |position| Store::InSync { position: Some(position), id: None };
        assert_eq!(
            found,
            [
                (0, in_sync(10)),
                (1, Store::InHistory { position: Some(11), id: None }),
                (2, in_sync(12)),
                (3, Store::Nowhere),
                (9, in_sync(16)),
            ]
        );
        assert!(auditor.is_idle());
    }

    #[test]
    fn the_history_of_one_room_says_nothing_of_another() {
        let mut auditor = auditor(100);
        auditor.want(item(7, 0, 10, 10));
        auditor.want(Item { room: 4, ..item(7, 5, 11, 11) });
        let in_room_4 = SyncEvent {
            position: Some(11),
            is_message: true,
            stamp: Some(RawStamp { run: RUN, room: 4, n: Some(5), due_ns: 0, sent_ns: 0 }),
            ..SyncEvent::default()
        };
        let mut now = Timestamp::ZERO;
        for _ in 0..10 {
            auditor.pump(now);
            while let Some((id, _, fetch)) = auditor.poll() {
                let page = match fetch {
                    Fetch::Sync { .. } | Fetch::Load { .. } => page(&[], false),
                    Fetch::History { room: 3, .. } => page(&[(10, 0)], false),
                    Fetch::History { .. } => {
                        SyncPage { events: vec![in_room_4.clone()], ..SyncPage::default() }
                    }
                };
                auditor.fetched(now, id, Ok(&page));
            }
            now = now + Duration::from_millis(10);
        }
        let found: Vec<_> =
            std::iter::from_fn(|| auditor.found()).map(|(item, store)| (item.room, store)).collect();
        let in_history = |position| Store::InHistory { position: Some(position), id: None };
        assert_eq!(found, [(3, in_history(10)), (4, in_history(11))]);
    }

    #[test]
    fn a_full_queue_and_a_dead_server_leave_items_unaudited() {
        let mut auditor = auditor(1);
        auditor.want(item(1, 0, 5, 5));
        auditor.want(item(1, 1, 6, 6));
        assert_eq!(auditor.refused, 1);
        let mut now = Timestamp::ZERO;
        let mut asked = 0;
        for _ in 0..100 {
            auditor.pump(now);
            while let Some((id, _, _)) = auditor.poll() {
                asked += 1;
                auditor.fetched(now, id, Err(SyncTrouble::Network));
            }
            now = now + Duration::from_millis(100);
        }
        assert_eq!(asked, ATTEMPTS);
        assert!(std::iter::from_fn(|| auditor.found()).all(|(_, store)| store == Store::Unaudited));
    }

    #[test]
    fn a_server_that_says_so_gives_signalled_loss() {
        let mut auditor = auditor(10);
        auditor.want(item(1, 0, 5, 5));
        auditor.pump(Timestamp::ZERO);
        let (id, _, _) = auditor.poll().unwrap();
        auditor.fetched(Timestamp::ZERO, id, Err(SyncTrouble::BeyondRetention));
        assert_eq!(auditor.found().unwrap().1, Store::Signalled);
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// What is asked for now: whose token, and what.
    fn asks(auditor: &mut Auditor, now: Timestamp) -> Vec<(u64, u32, Fetch)> {
        auditor.pump(now);
        std::iter::from_fn(|| auditor.poll()).collect()
    }

    const fn sync(since: Position) -> Fetch {
        Fetch::Sync { since, limit: 500 }
    }

    const fn history(from: Position) -> Fetch {
        Fetch::History { room: 3, from, limit: 200 }
    }

    fn nothing() -> SyncPage<'static> {
        page(&[], false)
    }

    #[test]
    fn the_items_of_one_client_are_asked_for_together_from_just_below_the_lowest() {
        let mut auditor = auditor(100);
        for (client, n, low) in [(1, 0, 9), (2, 1, 20), (1, 2, 5), (1, 3, 7)] {
            auditor.want(item(client, n, low, low));
        }
        let asked: Vec<_> =
            asks(&mut auditor, at(0)).iter().map(|&(_, client, what)| (client, what)).collect();
        assert_eq!(asked, [(1, sync(4)), (2, sync(19))]);
        let mut lowest = self::auditor(1);
        lowest.want(item(1, 0, 0, 0));
        assert_eq!(asks(&mut lowest, at(0))[0].2, sync(0), "there is nothing below 0");
    }

    #[test]
    fn only_so_many_walks_are_under_way_at_once() {
        let mut auditor = auditor(100);
        (0..10).for_each(|client| auditor.want(item(client, 0, 5, 5)));
        let first = asks(&mut auditor, at(0));
        assert_eq!((first.len(), asks(&mut auditor, at(0)).len()), (WALKS, 0));
        auditor.fetched(at(1), first[0].0, Err(SyncTrouble::Network));
        assert_eq!(asks(&mut auditor, at(500)).len(), 0, "one that rests is under way");
        auditor.fetched(at(501), first[1].0, Err(SyncTrouble::BeyondRetention));
        assert_eq!(asks(&mut auditor, at(502)).iter().map(|asked| asked.1).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_page_that_failed_is_asked_for_again_after_a_second() {
        let mut auditor = auditor(100);
        auditor.want(item(1, 0, 5, 5));
        assert_eq!(auditor.next_wake(), None);
        let (id, ..) = asks(&mut auditor, at(0))[0];
        auditor.fetched(at(100), id, Err(SyncTrouble::ServerError(503)));
        assert_eq!(auditor.next_wake(), Some(at(1_100)));
        assert!(asks(&mut auditor, at(1_099)).is_empty() && !auditor.is_idle());
        assert_eq!(asks(&mut auditor, at(1_100)), [(id, 1, sync(4))]);
        // A page that comes gives it all its attempts again.
        auditor.fetched(at(1_200), id, Ok(&page(&[(1, 77)], true)));
        for attempt in 0..ATTEMPTS {
            let now = at(2_000 + u64::from(attempt) * 1_000);
            assert_eq!(asks(&mut auditor, now).len(), 1, "{attempt}");
            auditor.fetched(now, id, Err(SyncTrouble::Network));
        }
        assert_eq!(auditor.found().map(|(_, store)| store), Some(Store::Unaudited));
        assert!(auditor.is_idle());
    }

    #[test]
    fn look_ups_keep_to_their_rate() {
        let settings = profile::Audit { rate: Rate(2.0), queue: 100, window: 10 };
        let mut auditor = Auditor::new(&settings, RUN.to_owned());
        (0..4).for_each(|client| auditor.want(item(client, 0, 5, 5)));
        assert_eq!(asks(&mut auditor, at(0)).len(), 2);
        assert_eq!(auditor.next_wake(), Some(at(500)));
        assert_eq!((asks(&mut auditor, at(499)).len(), asks(&mut auditor, at(500)).len()), (0, 1));
        assert_eq!(asks(&mut auditor, at(1_000)).len(), 1);
        assert_eq!(auditor.next_wake(), None, "nothing is left to wait for");
        let slow = profile::Audit { rate: Rate(0.0), ..settings };
        let mut auditor = Auditor::new(&slow, RUN.to_owned());
        (0..2).for_each(|client| auditor.want(item(client, 0, 5, 5)));
        assert_eq!((asks(&mut auditor, at(0)).len(), auditor.next_wake()), (1, Some(at(10_000))));
    }

    #[test]
    fn a_walk_has_so_many_pages_and_not_one_more() {
        let mut auditor = auditor(100);
        auditor.want(item(1, 0, 1_000_000, u64::MAX));
        let mut pages = 0;
        while let Some(&(id, _, what)) = asks(&mut auditor, at(60_000)).first() {
            pages += 1;
            let Fetch::Sync { since, .. } = what else {
                panic!("nothing was found, and nothing ended: {what:?}")
            };
            auditor.fetched(at(60_000), id, Ok(&page(&[(since + 1, 77)], true)));
        }
        assert_eq!((pages, auditor.found().map(|(_, store)| store)), (PAGES, Some(Store::Unaudited)));
    }

    #[test]
    fn what_sync_has_passed_or_ended_before_is_looked_for_in_history() {
        // The page goes beyond the event, or is the last one, or brings nothing new.
        for last in
            [page(&[(6, 77)], true), page(&[(5, 77)], true), page(&[(4, 77)], false), page(&[(4, 77)], true)]
        {
            let mut auditor = auditor(100);
            auditor.want(item(1, 0, 5, 5));
            let (id, _, what) = asks(&mut auditor, at(0))[0];
            assert_eq!(what, sync(4));
            auditor.fetched(at(0), id, Ok(&last));
            assert_eq!(asks(&mut auditor, at(0)), [(id, 1, history(4))], "{last:?}");
            auditor.fetched(at(0), id, Ok(&last));
            assert_eq!(auditor.found(), Some((item(1, 0, 5, 5), Store::Nowhere)), "{last:?}");
        }
    }

    #[test]
    fn the_next_item_is_asked_for_from_just_below_it_or_from_where_the_last_page_ended() {
        let mut auditor = auditor(100);
        auditor.want(item(1, 0, 5, 5));
        auditor.want(item(1, 1, 50, 60));
        let (id, ..) = asks(&mut auditor, at(0))[0];
        auditor.fetched(at(0), id, Ok(&page(&[(5, 0), (20, 77)], true)));
        assert_eq!(auditor.found().map(|(item, _)| item.n), Some(0));
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, sync(49))], "what lies between is nobody's");
        auditor.fetched(at(0), id, Ok(&page(&[(55, 77)], true)));
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, sync(55))]);
        auditor.fetched(at(0), id, Ok(&nothing()));
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, history(49))]);
    }

    #[test]
    fn history_is_read_room_by_room() {
        let mut auditor = auditor(100);
        let other = Item { room: 2, ..item(1, 9, 40, 40) };
        for item in [item(1, 0, 5, 5), item(1, 1, 30, 30), other] {
            auditor.want(item);
        }
        let (id, ..) = asks(&mut auditor, at(0))[0];
        auditor.fetched(at(0), id, Ok(&nothing()));
        let what = |room, from| Fetch::History { room, from, limit: 200 };
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, what(2, 39))]);
        auditor.fetched(at(0), id, Ok(&page(&[(60, 77)], true)));
        assert_eq!(auditor.found(), Some((other, Store::Nowhere)), "the other room's have not been passed");
        assert_eq!(auditor.found(), None);
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, what(3, 4))], "not from where the other room ended");
        auditor.fetched(at(0), id, Ok(&page(&[(7, 77)], true)));
        assert_eq!(auditor.found().map(|(item, store)| (item.n, store)), Some((0, Store::Nowhere)));
        assert_eq!(asks(&mut auditor, at(0)), [(id, 1, what(3, 29))]);
    }

    #[test]
    fn what_is_still_open_when_the_run_ends_is_unaudited() {
        let mut auditor = auditor(100);
        (0..3).for_each(|client| auditor.want(item(client, client, 5, 5)));
        let asked = asks(&mut auditor, at(0));
        auditor.fetched(at(0), asked[0].0, Ok(&nothing()));
        asks(&mut auditor, at(0));
        auditor.fetched(at(0), asked[1].0, Err(SyncTrouble::Network));
        auditor.want(item(9, 3, 5, 5));
        auditor.abandon();
        let mut found: Vec<_> = std::iter::from_fn(|| auditor.found()).collect();
        found.sort_by_key(|(item, _)| item.n);
        assert_eq!(found.iter().map(|(item, _)| item.n).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(found.iter().all(|(_, store)| *store == Store::Unaudited) && auditor.is_idle());
    }

    #[test]
    fn an_id_that_is_too_long_is_not_kept() {
        for (length, kept) in [(ID_MAX, true), (ID_MAX + 1, false)] {
            let mut auditor = auditor(100);
            auditor.want(item(1, 0, 5, 5));
            let (id, ..) = asks(&mut auditor, at(0))[0];
            let mut page = page(&[(5, 0)], false);
            page.events[0].id = Some("x".repeat(length).into());
            auditor.fetched(at(0), id, Ok(&page));
            let Some((_, Store::InSync { id, .. })) = auditor.found() else { panic!("it is there") };
            assert_eq!(id.is_some(), kept, "{length}");
        }
    }
}
