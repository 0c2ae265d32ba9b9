//! A bench that plays a session's driver and server by hand, and a witness that holds every output to the contract.

mod any_input;
mod bridging;
mod connecting;
mod judging;
mod offline;
mod restarts;
mod retrying;
mod tokens;
mod visits;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use witness::Witness;

use super::*;
use crate::profile::{self, BridgeOrder, ClientStart};
use crate::seed::Seed;
use crate::wire::{EventFrame, HelloFrame, RawStamp, SyncEvent};

const RUN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
const HOUR: Duration = Duration::from_secs(3600);

/// The documented client.
fn documented() -> profile::Client {
    profile::Client {
        start: ClientStart::Marker,
        bridge: BridgeOrder::SyncFirst,
        bridge_timeout: Duration::ZERO,
        poll_timeout: Duration::from_secs(30),
        sync_limit: 100,
        sync_deadline: Duration::from_secs(10),
        first_retry_spread: Duration::ZERO,
        jitter: 0.0,
        backoff_reset_after: Duration::from_secs(10),
        watchdog: Duration::from_secs(75),
        hello_deadline: Duration::from_secs(5),
        connect_deadline: Duration::from_secs(10),
        offline_after: Duration::from_secs(60),
        lateness_bound: Duration::from_secs(5),
        flush_interval: Duration::from_secs(1),
    }
}

/// A client that connects first and syncs then.
fn stream_first() -> profile::Client {
    profile::Client { bridge: BridgeOrder::StreamFirst, ..documented() }
}

/// A client that goes offline at its first attempt that comes due after this many seconds of failures.
fn offline_after(secs: u64) -> profile::Client {
    profile::Client { offline_after: Duration::from_secs(secs), ..documented() }
}

/// One session, its time, and what it put out since it was last asked.
struct Bench {
    session: Session,
    now: Timestamp,
    log: Vec<(Timestamp, Output)>,
    witness: Witness,
}

impl Bench {
    fn new(client: profile::Client) -> Self {
        Self::with_token(client, TokenLife { issued: Timestamp::ZERO, life: HOUR })
    }

    fn with_token(client: profile::Client, token: TokenLife) -> Self {
        let settings = Arc::new(Settings::new(client, RUN));
        let session = Session::new(settings, 100, token, Seed(7).stream("session", [0; 3]));
        Self { session, now: Timestamp::ZERO, log: Vec::new(), witness: Witness::new(100) }
    }

    /// Started and live, at time 0.
    fn live(client: profile::Client) -> Self {
        let mut bench = Self::new(client);
        bench.order(Order::Start);
        bench.goes_live();
        bench.take();
        bench
    }

    /// Answers whatever an attempt asks for until it is live.
    fn goes_live(&mut self) {
        for _ in 0..4 {
            if self.witness.sync.is_some() {
                self.page(&[], None, false);
            } else if self.witness.connecting() {
                self.opens();
            }
        }
        assert!(self.session.is_live(), "{:?}", self.log);
    }

    fn say(&mut self, input: Input<'_>) {
        self.witness.hears(&input);
        self.session.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.session.poll() {
            self.witness.sees(self.now, &output);
            self.log.push((self.now, output));
            outputs += 1;
        }
        self.witness.bounded(outputs);
        self.witness.stands(&self.session);
    }

    /// Lets time pass, with every timer served when it is due.
    fn until(&mut self, then: Timestamp) {
        while let Some(wake) = self.session.next_wake().filter(|&wake| wake <= then) {
            self.now = self.now.max(wake);
            self.say(Input::Timer);
        }
        self.now = self.now.max(then);
    }

    fn pass(&mut self, time: Duration) {
        self.until(self.now + time);
    }

    fn secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    fn order(&mut self, order: Order) {
        self.say(Input::Order(order));
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.say(Input::Frame { frame, late: false });
    }

    fn hello(&mut self) {
        self.frame(&Frame::Hello(HelloFrame::default()));
    }

    /// Upgrade and hello.
    fn opens(&mut self) {
        self.say(Input::Opened);
        self.hello();
    }

    fn message(&mut self, position: u64) {
        self.frame(&Frame::Message(EventFrame {
            position: Some(position),
            stamp: Some(stamp(RUN)),
            ..EventFrame::default()
        }));
    }

    fn refused(&mut self) {
        self.say(Input::ConnectFailed(ConnectFailure::Network));
    }

    fn closed(&mut self, code: u16, reason: &str) {
        self.say(Input::Closed(Ending::Close { code, reason: reason.into() }));
    }

    /// The process is started again with this in its store.
    fn revived(&mut self, position: Position) {
        let token = TokenLife { issued: self.now, life: HOUR };
        self.say(Input::Revived { position, token });
    }

    fn reset(&mut self) {
        self.say(Input::Closed(Ending::Reset));
    }

    /// Answers the sync request under way with messages at these positions.
    fn page(&mut self, positions: &[u64], next_cursor: Option<u64>, has_more: bool) {
        let id = self.sync_id();
        let event = |&position| SyncEvent {
            position: Some(position),
            is_message: true,
            stamp: Some(stamp(RUN)),
            ..SyncEvent::default()
        };
        let events = positions.iter().map(event).collect();
        let page = SyncPage { events, next_cursor, has_more, malformed: 0 };
        self.say(Input::Synced { id, page: &page });
    }

    fn sync_fails(&mut self, trouble: SyncTrouble) {
        let id = self.sync_id();
        self.say(Input::SyncFailed { id, trouble });
    }

    fn sync_id(&self) -> u32 {
        self.witness.sync.unwrap_or_else(|| panic!("no sync request is under way: {:?}", self.log))
    }

    /// What came out since this was last asked.
    fn take(&mut self) -> Vec<Output> {
        self.log.drain(..).map(|(_, output)| output).collect()
    }

    /// The actions since `take`.
    fn actions(&self) -> Vec<Action> {
        let action = |(_, output): &(Timestamp, Output)| match output {
            Output::Action(action) => Some(*action),
            Output::Observation(_) => None,
        };
        self.log.iter().filter_map(action).collect()
    }

    /// The observations since `take`.
    fn observations(&self) -> Vec<Observation> {
        let observation = |(_, output): &(Timestamp, Output)| match output {
            Output::Observation(observation) => Some(observation.clone()),
            Output::Action(_) => None,
        };
        self.log.iter().filter_map(observation).collect()
    }

    /// Times (s) and kinds of the attempts since `take`.
    fn attempts(&self) -> Vec<(f64, ReconnectKind)> {
        let attempt = |(at, output): &(Timestamp, Output)| match output {
            Output::Observation(Observation::Attempt { kind, .. }) => Some((at.as_secs_f64(), *kind)),
            _ => None,
        };
        self.log.iter().filter_map(attempt).collect()
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let arrival = |observation| match observation {
            Observation::Arrived(arrival) => Some(arrival),
            _ => None,
        };
        self.observations().into_iter().filter_map(arrival).collect()
    }

    fn stopped(&self) -> Option<StopReason> {
        self.observations().into_iter().rev().find_map(|observation| match observation {
            Observation::Stopped(reason) => Some(reason),
            _ => None,
        })
    }

    fn disconnects(&self) -> Vec<(Cause, Option<u16>, bool)> {
        let disconnect = |observation| match observation {
            Observation::Disconnected { cause, code, was_live } => Some((cause, code, was_live)),
            _ => None,
        };
        self.observations().into_iter().filter_map(disconnect).collect()
    }
}

fn stamp(run: &str) -> RawStamp<'_> {
    RawStamp { run, room: 1, n: Some(2), due_ns: 3, sent_ns: 4 }
}

#[test]
fn a_session_is_small_and_a_drained_one_holds_no_heap() {
    let outbox = size_of::<Outbox>();
    let own = size_of::<Session>() - outbox;
    assert!(own <= 312, "{own} bytes and {outbox} for the outbox");
    assert!(outbox <= 144, "{outbox}");
    let mut bench = Bench::live(documented());
    bench.message(101);
    bench.reset();
    let positions: Vec<u64> = (101..400).collect();
    bench.page(&positions, Some(400), false);
    assert_eq!(bench.session.outbox.capacity(), 0);
}
