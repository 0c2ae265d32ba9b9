//! One client as the driver and the collector see it: a session, the ledger, and a network that answers at once.
//!
//! Beside what the server sends, events are published, one for each step, with every outcome in turn, so that the ledger
//! has something to expect. At the end the books are closed and must balance.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wavesoak::collector::ledger::{Ledger, Rules};
use wavesoak::generator::{Ended, Outcome};
use wavesoak::plan::Population;
use wavesoak::profile::{self, BridgeOrder};
use wavesoak::seed::Seed;
use wavesoak::session::{
    Action, Input, Observation, Order, Output, Session, Settings, SyncTrouble, TokenLife,
};
use wavesoak::time::Timestamp;
use wavesoak::wire::{Created, Frame, Position, SyncPage};

/// The run id in the seeds.
pub(super) const RUN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

/// Client 0: of two tenants with two rooms each, it is a member of room 0 alone.
#[derive(Debug)]
pub(super) struct Client {
    session: Session,
    ledger: Ledger,
    now: Timestamp,
    position: Position,
    /// The sync request under way.
    sync: Option<u32>,
    /// Connect has been asked for, and not been answered.
    connecting: bool,
    refreshing: bool,
    /// Events published so far.
    published: u32,
    /// Its answer is still to come: the event, and when it was sent.
    in_flight: Option<(u32, Timestamp)>,
}

/// What one step of the network may take at most before the session waits for time to pass (ours): a bridge may
/// stall, fail, and be begun once more.
const ANSWERS: usize = 12;

impl Client {
    /// One that was told to start, with its first connection open or its first sync request under way.
    pub(super) fn new(bridge: BridgeOrder) -> Self {
        let settings = match bridge {
            BridgeOrder::SyncFirst => &SYNC_FIRST,
            BridgeOrder::StreamFirst => &STREAM_FIRST,
        };
        let token = TokenLife { issued: Timestamp::ZERO, life: Duration::from_secs(3600) };
        let session = Session::new(Arc::clone(settings), POSITION, token, Seed(7).stream("session", [0; 3]));
        let rules = Rules {
            remember: Duration::from_secs(1000),
            lateness_bound: settings.client.lateness_bound,
            outcome_within: Duration::from_secs(10),
            window: 16,
            sync_first: bridge == BridgeOrder::SyncFirst,
        };
        let mut client = Self {
            session,
            ledger: Ledger::new(people(), rules),
            now: Timestamp::from_secs(1),
            position: POSITION,
            sync: None,
            connecting: false,
            refreshing: false,
            published: 0,
            in_flight: None,
        };
        client.say(Input::Order(Order::Start));
        client
    }

    /// The sync request under way.
    pub(super) fn sync(&self) -> Option<u32> {
        self.sync
    }

    /// Gives the session an input, and holds its outputs to the contract.
    pub(super) fn say(&mut self, input: Input<'_>) {
        let events = match &input {
            Input::Synced { page, .. } => page.events.len() + page.malformed.min(500) as usize,
            _ => 0,
        };
        self.session.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.session.poll() {
            outputs += 1;
            match output {
                Output::Action(action) => self.act(action),
                Output::Observation(observation) => self.observe(&observation),
            }
        }
        assert!(outputs <= events + 24, "{outputs} outputs for {events} events");
        assert!(self.session.position() >= self.position, "the position moved backwards");
        self.position = self.session.position();
    }

    /// A frame as text.
    pub(super) fn hears(&mut self, text: &str) {
        self.say(Input::Frame { frame: &Frame::parse(text), late: false });
    }

    /// Answers what the session asks for: upgrades succeed, tokens are renewed, pages are all this one.
    pub(super) fn answer(&mut self, page: &SyncPage<'_>) {
        for _ in 0..ANSWERS {
            if self.refreshing {
                self.refreshing = false;
                self.say(Input::Refreshed(TokenLife { issued: self.now, life: Duration::from_secs(3600) }));
            } else if let Some(id) = self.sync.take() {
                self.say(Input::Synced { id, page });
            } else if std::mem::take(&mut self.connecting) {
                self.say(Input::Opened);
            } else {
                return;
            }
        }
        // A server that moves its cursor with every answer may have it go on for as long as it likes.
        assert!(self.sync.is_some() || self.session.position() == u64::MAX, "it never comes to rest");
    }

    /// The sync request under way has no page for an answer.
    pub(super) fn failed(&mut self, id: u32, trouble: SyncTrouble) {
        self.sync = None;
        self.say(Input::SyncFailed { id, trouble });
    }

    /// Lets time pass, with every timer served when it is due.
    pub(super) fn pass(&mut self, time: Duration, page: &SyncPage<'_>) {
        let then = self.now + time;
        let mut wakes = 0;
        while let Some(wake) = self.session.next_wake().filter(|&wake| wake <= then) {
            self.now = self.now.max(wake);
            self.say(Input::Timer);
            self.answer(page);
            wakes += 1;
            assert!(wakes < 1000, "it wakes up again and again");
        }
        self.now = then;
    }

    /// The last publish is answered (`created`: with this), the next one leaves, and the ledger looks around.
    pub(super) fn publish(&mut self, created: &Created) {
        if let Some((n, sent)) = self.in_flight.take() {
            let Created { id, position } = created.clone();
            let outcome = match n % 6 {
                0 | 1 | 5 => Outcome::Acknowledged { id, position },
                2 => Outcome::Rejected,
                3 => Outcome::Unknown,
                _ => Outcome::Unsent,
            };
            let sent = Some(sent).filter(|_| outcome != Outcome::Unsent);
            let ended =
                Ended { room: 0, n: Some(n), publisher: 0, due: self.now, sent, outcome, own_fault: false };
            self.ledger.ended(self.now, &ended);
        }
        if self.published < EVENTS {
            self.ledger.issue(0, self.published);
            self.ledger.sending(0, self.published);
            self.in_flight = Some((self.published, self.now));
            self.published += 1;
        }
        self.ledger.sweep(self.now);
        while let Some(word) = self.ledger.poll() {
            drop(word);
        }
    }

    /// Closes the books.
    pub(super) fn end(mut self) {
        self.pass(Duration::from_secs(5), &SyncPage::default());
        self.ledger.end_spans(self.now, |_| false);
        for tenant in self.ledger.deliveries() {
            let d = tenant;
            assert_eq!(d.expected, d.live + d.bridged + d.missed_after_bridging + d.undecided, "{d:#?}");
            let places = [
                d.missed_on_stream,
                d.missed_in_sync,
                d.missed_in_seam,
                d.missed_behind_cursor,
                d.missed_unplaced,
            ];
            assert_eq!(d.missed_after_bridging, places.iter().sum::<u64>(), "{d:#?}");
            assert!(d.expected <= u64::from(EVENTS), "{d:#?}");
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect => self.connecting = true,
            Action::Disconnect { .. } => self.connecting = false,
            Action::Sync { id, since, .. } => {
                assert_eq!(since, self.session.position(), "the page after the last one is asked for");
                assert_eq!(self.sync.replace(id), None, "one request at a time");
            }
            Action::AbandonSync => self.sync = None,
            Action::Refresh => self.refreshing = true,
            Action::Pong => {}
        }
    }

    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Arrived(arrival) => {
                self.ledger.arrived(self.now, 0, arrival);
            }
            Observation::Attempt { violation, .. } => assert!(!violation, "it came back too early"),
            _ => {
                let first = self.published;
                self.ledger.observe(self.now, 0, observation, |_| first, || None);
            }
        }
    }
}

/// Where clients begin.
const POSITION: Position = 100;
/// Events that are published at most.
const EVENTS: u32 = 40;

static SYNC_FIRST: LazyLock<Arc<Settings>> = LazyLock::new(|| settings(BridgeOrder::SyncFirst));
static STREAM_FIRST: LazyLock<Arc<Settings>> = LazyLock::new(|| settings(BridgeOrder::StreamFirst));

fn settings(bridge: BridgeOrder) -> Arc<Settings> {
    let client =
        profile::Client { bridge, lateness_bound: Duration::from_secs(1), ..profile::Client::default() };
    Arc::new(Settings::new(client, RUN))
}

fn people() -> Population {
    Population::new(&profile::Population {
        tenants: 2,
        clients: 4,
        members_per_room: 1,
        rooms_per_tenant: Some(2),
        rooms_per_client: 1,
        ..profile::Population::default()
    })
}
