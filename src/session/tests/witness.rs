//! Holds every output of a session to its contract, whatever the inputs were.

use std::collections::VecDeque;

use super::*;

/// What a driver and a collector know of a session.
pub(super) struct Witness {
    /// Id of the sync request under way.
    pub(super) sync: Option<u32>,
    line: LineState,
    bridge: Option<bool>,
    /// A sync request was reported and its action has not come yet; or the other way about.
    sent: Option<Position>,
    page_open: bool,
    trying: bool,
    ready: bool,
    started: bool,
    refreshing: bool,
    position: Position,
    page_events: usize,
    requests: VecDeque<(Timestamp, Position)>,
    /// All that was said and done, for whoever reads a failure.
    story: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LineState {
    None,
    Asked,
    Opened,
    Live,
}

impl Witness {
    pub(super) fn new(position: Position) -> Self {
        Self {
            sync: None,
            line: LineState::None,
            bridge: None,
            sent: None,
            page_open: false,
            trying: false,
            ready: false,
            started: false,
            refreshing: false,
            position,
            page_events: 0,
            requests: VecDeque::new(),
            story: Vec::new(),
        }
    }

    pub(super) fn connecting(&self) -> bool {
        self.line == LineState::Asked
    }

    pub(super) fn opened(&self) -> bool {
        self.line != LineState::None && !self.connecting()
    }

    pub(super) fn refreshing(&self) -> bool {
        self.refreshing
    }

    /// What the driver knows of an input it gives.
    pub(super) fn hears(&mut self, input: &Input<'_>) {
        (self.page_open, self.page_events) = (false, 0);
        self.story.push(format!("{input:?}"));
        match input {
            Input::Opened if self.line == LineState::Asked => self.line = LineState::Opened,
            Input::ConnectFailed(_) if self.line == LineState::Asked => self.line = LineState::None,
            Input::Closed(_) if self.opened() => self.line = LineState::None,
            Input::Synced { id, page } if self.sync == Some(*id) => {
                self.sync = None;
                self.page_events = page.events.len() + page.malformed as usize;
            }
            Input::SyncFailed { id, .. } if self.sync == Some(*id) => self.sync = None,
            Input::Refreshed(_) | Input::RefreshFailed { .. } => self.refreshing = false,
            Input::Order(Order::Start) if !self.started => {
                self.started = true;
                self.requests.clear();
            }
            _ => {}
        }
    }

    pub(super) fn sees(&mut self, now: Timestamp, output: &Output) {
        self.story.push(format!("  {} {output:?}", now.as_secs_f64()));
        match output {
            Output::Action(action) => self.sees_action(now, *action),
            Output::Observation(observation) => self.sees_observation(now, observation),
        }
    }

    pub(super) fn bounded(&self, outputs: usize) {
        assert!(outputs <= self.page_events + 24, "{outputs} outputs");
    }

    /// What must hold between two inputs.
    pub(super) fn stands(&mut self, session: &Session) {
        assert!(session.position() >= self.position, "the position moved backwards");
        self.position = session.position();
        assert_eq!(session.is_live(), self.line == LineState::Live);
        assert_eq!(self.sync.is_some(), self.bridge.is_some(), "a bridge has one request under way");
        assert_eq!(self.sent, None, "a request was reported and not made");
        assert_eq!(session.outbox.capacity(), 0);
        self.waits(session);
    }

    /// A timer is set in the state that waits for it, and in no other: none fires for what is long over, and none
    /// is missing where nothing else would ever happen.
    fn waits(&self, session: &Session) {
        let state = |state| session.state == state;
        let waits = [
            (Timer::Retry, state(State::Waiting)),
            (Timer::ConnectDeadline, state(State::Connecting)),
            (Timer::HelloDeadline, state(State::Opened)),
            (Timer::Watchdog, state(State::Live)),
            (Timer::SyncDeadline, session.bridge.is_some()),
            (Timer::RefreshDeadline, session.tokens.is_asked()),
        ];
        for (timer, wanted) in waits {
            assert_eq!(session.timers.is_set(timer), wanted, "{timer:?} in {:?}", session.state);
        }
        assert!(state(State::Live) || !session.timers.is_set(Timer::RefreshDue));
        assert!(!state(State::Refreshing) || session.tokens.is_asked());
        assert!(!state(State::Syncing) || session.bridge.is_some());
    }

    fn sees_action(&mut self, now: Timestamp, action: Action) {
        match action {
            Action::Connect => {
                assert_eq!(self.line, LineState::None);
                self.line = LineState::Asked;
            }
            Action::Disconnect { .. } => {
                assert_ne!(self.line, LineState::None);
                if self.line == LineState::Asked {
                    self.line = LineState::None;
                }
            }
            Action::Pong => assert!(self.opened()),
            Action::Sync { id, since, .. } => {
                assert_eq!(self.sync.replace(id), None);
                assert_eq!(self.sent.take(), Some(since), "reported and made are the same");
                self.requested(now, since);
            }
            Action::AbandonSync => assert!(self.sync.take().is_some()),
            Action::Refresh => assert!(!std::mem::replace(&mut self.refreshing, true)),
        }
    }

    /// Equal requests: a bridging one, its immediate retry (once), and then time must pass.
    fn requested(&mut self, now: Timestamp, since: Position) {
        self.requests.retain(|&(at, _)| now.since(at) < Duration::from_millis(990));
        self.requests.push_back((now, since));
        let equal = self.requests.iter().filter(|request| request.1 == since).count();
        assert!(equal <= 3, "{equal} requests since {since} within a second: {:?}", self.requests);
    }

    fn sees_observation(&mut self, now: Timestamp, observation: &Observation) {
        match observation {
            Observation::Attempt { scheduled, violation, .. } => {
                assert!(!violation, "the session says that it was too early\n{}", self.story.join("\n"));
                assert!(*scheduled <= now, "earlier than it was due");
                assert_eq!((self.line, self.bridge), (LineState::None, None));
                self.trying = true;
            }
            Observation::BridgeBegan { poll, position } => {
                assert_eq!(self.bridge.replace(*poll), None);
                assert!(*position >= self.position);
                assert!(!poll || self.line == LineState::None);
            }
            Observation::SyncSent { since } => {
                assert!(self.bridge.is_some());
                self.sent = Some(*since);
            }
            Observation::SyncPage { .. } => {
                assert!(self.bridge.is_some() && self.sync.is_none());
                self.page_open = true;
            }
            Observation::SyncFailed(_) => assert!(self.bridge.is_some() && self.sync.is_none()),
            Observation::BridgeEnded { poll, .. } => {
                assert_eq!(self.bridge.take(), Some(*poll));
                assert_eq!(self.sync, None, "abandoned before it is said to be over");
            }
            Observation::ConnectedFrom { .. } => panic!("only a driver has sockets"),
            Observation::Opened { .. } => assert_eq!(self.line, LineState::Opened),
            Observation::ConnectFailed { .. } => assert_ne!(self.line, LineState::Live),
            Observation::Hello { position, .. } => {
                assert_eq!(self.line, LineState::Opened);
                assert!(*position >= self.position);
                self.line = LineState::Live;
            }
            Observation::Ready => {
                assert_eq!((self.line, self.bridge, self.ready), (LineState::Live, None, false));
                self.ready = true;
            }
            Observation::Arrived(arrival) => match arrival.channel {
                Channel::Stream { .. } => assert_eq!(self.line, LineState::Live),
                Channel::Sync { since } => {
                    assert!(self.page_open);
                    assert_eq!(arrival.client_position, since);
                }
            },
            Observation::Ping { .. } => assert!(self.opened()),
            Observation::Disconnected { .. } => {
                assert_eq!(self.bridge, None);
                (self.line, self.ready) = (LineState::None, false);
            }
            Observation::Stopped(_) => {
                assert_eq!((self.line, self.bridge, self.sync), (LineState::None, None, None));
                (self.started, self.refreshing) = (false, false);
            }
            Observation::RefreshFailed { .. } => self.refreshing = false,
            Observation::Restarted { position } => {
                assert_eq!((self.line, self.bridge, self.sync), (LineState::None, None, None));
                (self.position, self.refreshing) = (*position, false);
                self.requests.clear();
            }
            Observation::ServedBy { .. } => panic!("only a driver sees who answered"),
            Observation::Odd(_) | Observation::Refreshed | Observation::TokenRejected => {}
        }
    }
}
