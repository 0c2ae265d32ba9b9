//! Any input at any time, and a world that fails at random: whatever happens, the witness must have nothing to say.

use proptest::prelude::*;

use super::*;

/// An input, owned.
#[derive(Clone, Debug)]
enum Any {
    Order(Order),
    Opened,
    ConnectFailed(ConnectFailure),
    Hello,
    Message(Option<u64>),
    Frame(u8),
    Ping(bool),
    Odd,
    Closed(Ending),
    /// Offset from the id that is waited for, positions, cursor, more.
    Synced(u32, Vec<u64>, Option<u64>, bool),
    RetryAfter(u32, u64),
    SyncFailed(u32, SyncTrouble),
    Refreshed(u64),
    RefreshFailed(bool),
    Killed,
    /// So far does the store lag behind.
    Revived(u64),
    Timer,
}

fn any_input() -> impl Strategy<Value = Any> {
    prop_oneof![
        3 => Just(Any::Order(Order::Start)),
        1 => Just(Any::Order(Order::Leave)),
        6 => Just(Any::Opened),
        2 => connect_failure().prop_map(Any::ConnectFailed),
        6 => Just(Any::Hello),
        3 => proptest::option::of(0..400_u64).prop_map(Any::Message),
        2 => (0..4_u8).prop_map(Any::Frame),
        1 => any::<bool>().prop_map(Any::Ping),
        1 => Just(Any::Odd),
        3 => ending().prop_map(Any::Closed),
        8 => (stale(), proptest::collection::vec(0..400_u64, 0..4), cursor(), any::<bool>())
            .prop_map(|(stale, positions, cursor, more)| Any::Synced(stale, positions, cursor, more)),
        1 => (stale(), prop_oneof![0..40_u64, Just(u64::MAX)]).prop_map(|(stale, secs)| Any::RetryAfter(stale, secs)),
        3 => (stale(), trouble()).prop_map(|(stale, trouble)| Any::SyncFailed(stale, trouble)),
        3 => prop_oneof![Just(0), Just(5), Just(3600)].prop_map(Any::Refreshed),
        1 => any::<bool>().prop_map(Any::RefreshFailed),
        1 => Just(Any::Killed),
        2 => (0..50_u64).prop_map(Any::Revived),
        8 => Just(Any::Timer),
    ]
}

fn stale() -> impl Strategy<Value = u32> {
    prop_oneof![9 => Just(0), 1 => 1..3_u32]
}

fn cursor() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 8 => (0..400_u64).prop_map(Some), 1 => Just(Some(u64::MAX))]
}

fn connect_failure() -> impl Strategy<Value = ConnectFailure> {
    prop_oneof![
        Just(ConnectFailure::Network),
        Just(ConnectFailure::Status(401)),
        Just(ConnectFailure::Status(503)),
        Just(ConnectFailure::Timeout),
        Just(ConnectFailure::Local),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let code = prop_oneof![Just(4001), Just(4003), Just(1000), Just(1005), any::<u16>()];
    let reason = prop_oneof![Just(""), Just("ping_timeout"), Just("duplicate_connection"), Just("other")];
    prop_oneof![
        (code, reason).prop_map(|(code, reason)| Ending::Close { code, reason: reason.into() }),
        Just(Ending::Eof),
        Just(Ending::Reset),
        Just(Ending::Protocol),
    ]
}

fn trouble() -> impl Strategy<Value = SyncTrouble> {
    prop_oneof![
        Just(SyncTrouble::Unauthorized),
        Just(SyncTrouble::Refused(429)),
        Just(SyncTrouble::BeyondRetention),
        Just(SyncTrouble::ServerError(502)),
        Just(SyncTrouble::Network),
        Just(SyncTrouble::Timeout),
        Just(SyncTrouble::Malformed),
        Just(SyncTrouble::Local),
    ]
}

/// A client with options from all over, but no jitter beyond a half: equal requests are then a second apart.
fn client() -> impl Strategy<Value = profile::Client> {
    let order = prop_oneof![Just(BridgeOrder::SyncFirst), Just(BridgeOrder::StreamFirst)];
    (order, 0..3_u64, 0.0..0.5, 0..90_u64, 0..12_u64).prop_map(|(bridge, spread, jitter, offline, reset)| {
        profile::Client {
            bridge,
            jitter,
            first_retry_spread: Duration::from_secs(spread),
            offline_after: Duration::from_secs(offline),
            backoff_reset_after: Duration::from_secs(reset),
            ..documented()
        }
    })
}

impl Bench {
    fn say_any(&mut self, input: Any) {
        let waited_for = self.witness.sync.unwrap_or(0);
        match input {
            Any::Order(order) => self.order(order),
            Any::Opened => self.say(Input::Opened),
            Any::ConnectFailed(failure) => self.say(Input::ConnectFailed(failure)),
            Any::Hello => self.hello(),
            Any::Message(position) => {
                self.frame(&Frame::Message(EventFrame { position, ..EventFrame::default() }))
            }
            Any::Frame(0) => self.frame(&Frame::Ping),
            Any::Frame(1) => self.frame(&Frame::Known),
            Any::Frame(2) => self.frame(&Frame::Unknown),
            Any::Frame(_) => self.frame(&Frame::Malformed),
            Any::Ping(late) => self.say(Input::Ping { late }),
            Any::Odd => self.say(Input::OddFrame(Oddity::Binary)),
            Any::Closed(ending) => self.say(Input::Closed(ending)),
            Any::Synced(stale, positions, next_cursor, has_more) => {
                let event = |position| SyncEvent {
                    position: Some(position),
                    is_message: true,
                    ..SyncEvent::default()
                };
                let events = positions.into_iter().map(event).collect();
                let page = SyncPage { events, malformed: stale, next_cursor, has_more };
                self.say(Input::Synced { id: waited_for.wrapping_sub(stale), page: &page });
            }
            Any::RetryAfter(stale, secs) => {
                let after = Duration::from_secs(secs);
                self.say(Input::RetryAfter { id: waited_for.wrapping_sub(stale), after });
            }
            Any::SyncFailed(stale, trouble) => {
                self.say(Input::SyncFailed { id: waited_for.wrapping_sub(stale), trouble });
            }
            Any::Refreshed(secs) => {
                let life = Duration::from_secs(secs);
                self.say(Input::Refreshed(TokenLife { issued: self.now, life }));
            }
            Any::RefreshFailed(refused) => self.say(Input::RefreshFailed { refused }),
            Any::Killed => self.say(Input::Killed),
            Any::Revived(lag) => self.revived(self.session.position().saturating_sub(lag)),
            Any::Timer => self.say(Input::Timer),
        }
    }

    /// What a well-behaved driver could answer now; `chance` picks.
    fn answer(&mut self, chance: u8, input: Any) {
        let fails = chance.is_multiple_of(3);
        if self.witness.refreshing() && chance.is_multiple_of(2) {
            self.say_any(if fails { Any::RefreshFailed(false) } else { Any::Refreshed(600) });
        } else if self.witness.sync.is_some() {
            let next = self.session.position() + u64::from(chance % 4);
            let page = Any::Synced(0, vec![next], Some(next), chance.is_multiple_of(5));
            self.say_any(if fails { Any::SyncFailed(0, SyncTrouble::ServerError(500)) } else { page });
        } else if self.witness.connecting() {
            self.say_any(if fails { Any::ConnectFailed(ConnectFailure::Network) } else { Any::Opened });
        } else if self.witness.opened() && !self.session.is_live() {
            self.say_any(if fails { Any::Closed(Ending::Reset) } else { Any::Hello });
        } else {
            self.say_any(input);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_input_in_any_state_is_taken(
        client in client(),
        inputs in proptest::collection::vec((any_input(), 0..20_000_u64), 1..80),
    ) {
        let mut bench = Bench::new(client);
        bench.order(Order::Start);
        for (input, pause) in inputs {
            // Timers may be late, or served on time.
            match pause % 3 {
                0 => {}
                1 => bench.now = bench.now + Duration::from_millis(pause),
                _ => bench.pass(Duration::from_millis(pause)),
            }
            bench.say_any(input);
        }
    }

    #[test]
    fn a_world_that_fails_at_random_and_heals_has_everyone_live_again(
        client in client(),
        steps in proptest::collection::vec((any::<u8>(), any_input(), 0..3_000_u64), 1..200),
    ) {
        let mut bench = Bench::new(client);
        bench.order(Order::Start);
        for (chance, input, pause) in steps {
            bench.pass(Duration::from_millis(pause));
            bench.answer(chance, input);
        }
        bench.say_any(Any::Revived(7));
        if matches!(bench.session.state, State::Away | State::Stopped) {
            bench.order(Order::Leave);
            bench.order(Order::Start);
        }
        // Every offline client has tried the stream again after a delay, a long poll and a try's distance.
        let healed = bench.now;
        while !bench.session.is_live() || bench.witness.sync.is_some() {
            prop_assert!(bench.now.since(healed) < Duration::from_secs(100), "still not live");
            bench.pass(Duration::from_millis(100));
            if bench.witness.refreshing() {
                bench.say_any(Any::Refreshed(600));
            } else if bench.witness.sync.is_some() {
                bench.say_any(Any::Synced(0, vec![], None, false));
            } else if bench.witness.connecting() {
                bench.say(Input::Opened);
                bench.hello();
            }
        }
    }
}
