//! Streams: opened, kept alive, ended.

use uuid::Uuid;

use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN};

use super::super::affliction::Fate;
use super::super::caller::{Caller, TokenTrouble};
use super::super::connection::{ConnId, Connection};
use super::super::error::ApiError;
use super::super::frame::{Hello, Outgoing, ServerFrame};
use super::super::line::{self, LogEvent, LogLine};
use super::super::truth::Deed;
use super::planted::Opening;
use super::{Backend, Effect};

impl Backend {
    /// The upgrade of a stream is done. Out comes a hello, or a close 4001 with the code as its reason text; if
    /// the same token has a stream open already, that one is closed.
    pub fn open(&mut self, now: Timestamp, pod: u32, conn: ConnId, caller: Result<Caller, TokenTrouble>) {
        let admitted = match &caller {
            Ok(caller) => self.admit(now, pod, caller),
            Err(TokenTrouble::Expired) => Err(ApiError::EXPIRED_TOKEN),
            Err(TokenTrouble::Missing | TokenTrouble::Invalid) => Err(ApiError::INVALID_TOKEN),
        };
        let (participant, token_id) = match (admitted, caller) {
            (Ok(participant), Ok(caller)) => (participant, caller.token_id),
            (Err(error), _) if error != ApiError::POD_DOWN => return self.refuse(now, pod, conn, error),
            _ => return self.effects.push_back(Effect::Reset(conn)),
        };
        if let Some(&older) = self.by_token.get(&token_id) {
            self.close(now, older, CLOSE_ABORTED, line::DUPLICATE_CONNECTION);
        }
        let session = self.ids.uuid();
        let person = self.registry.participant_mut(participant);
        person.connections.push(conn);
        let (number, tenant) = (person.number, person.tenant);
        let mut connection = Connection::new(pod, participant, token_id, session);
        connection.since = self.registry.tenant(tenant).log.newest();
        self.connections.insert(conn, connection);
        self.by_token.insert(token_id, conn);
        self.pings.push_back((now + self.config.ping_interval, conn));
        let tenant = self.tenant_id_of(participant);
        self.pods[pod as usize].opened(conn, tenant);
        let Opening { greeted, tenant } = self.afflict_new(now, conn, number);
        if greeted {
            self.greet(now, conn, tenant);
        }
    }

    /// Says hello, with another tenant's id if one is given.
    pub(super) fn greet(&mut self, now: Timestamp, conn: ConnId, tenant: Option<Uuid>) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.close_seam(connection.participant);
        self.need_session(now, conn, &connection);
        self.log(now, LogEvent::Connect, &connection, None);
        let hello = Hello {
            session: connection.session,
            pod_number: connection.pod + 1,
            tenant: tenant.unwrap_or_else(|| self.tenant_id_of(connection.participant)),
            unix_s: self.unix_s(now),
        };
        self.connections.insert(conn, connection);
        self.push(now, conn, &Outgoing::new(ServerFrame::Hello(hello)));
    }

    /// The client has answered a ping.
    pub fn pong(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.unanswered = 0;
            if let Some(affliction) = &mut connection.affliction {
                affliction.ponged();
            }
        }
    }

    /// The connection was ended by the other side (or by what is in between).
    pub fn gone(&mut self, now: Timestamp, conn: ConnId) {
        self.remove(now, conn, Some(line::CLIENT_GONE));
    }

    /// Pings whose time has come; a connection that left too many unanswered is closed instead.
    pub(super) fn ping_due(&mut self, now: Timestamp) {
        while let Some(&(due, conn)) = self.pings.front() {
            if due > now {
                break;
            }
            self.pings.pop_front();
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            if connection.unanswered >= self.config.ping_misses {
                self.close(now, conn, CLOSE_ABORTED, line::PING_TIMEOUT);
                continue;
            }
            // From `now`, not from `due`: the queue stays ascending, and a stalled pod does not ping in bursts.
            self.pings.push_back((now + self.config.ping_interval, conn));
            if let Some(affliction) = &mut connection.affliction {
                if let Some(fault) = affliction.unpinged {
                    self.faults.truth_mut(fault).add(Deed::PingWithheld, 1);
                    continue;
                }
                affliction.pinged();
            }
            connection.unanswered += 1;
            self.effects.push_back(Effect::Ping(conn));
        }
    }

    fn close(&mut self, now: Timestamp, conn: ConnId, code: u16, reason: &'static str) {
        self.remove(now, conn, Some(reason));
        self.effects.push_back(Effect::Close { conn, code, reason: reason.into() });
    }

    /// Forgets a connection; with a reason, its pod logs it.
    pub(super) fn remove(&mut self, now: Timestamp, conn: ConnId, reason: Option<&'static str>) {
        let Some(mut connection) = self.connections.remove(&conn) else { return };
        for (fault, fate) in connection.affliction.take().map_or_else(Vec::new, |own| own.settle()) {
            let truth = self.faults.truth_mut(fault);
            match fate {
                Fate::NeverWritten(deed) => truth.take_back(deed),
                Fate::Unproved => truth.unproved += 1,
            }
        }
        if self.by_token.get(&connection.token_id) == Some(&conn) {
            self.by_token.remove(&connection.token_id);
        }
        self.registry.participant_mut(connection.participant).connections.retain(|&own| own != conn);
        let tenant = self.tenant_id_of(connection.participant);
        let leak = self.faults.on_end(connection.pod);
        if let Some(fault) = leak {
            self.faults.truth_mut(fault).add(Deed::ConnectionLeaked, 1);
        }
        self.pods[connection.pod as usize].closed(conn, tenant, leak.is_some());
        if reason.is_some() {
            self.log(now, LogEvent::Disconnect, &connection, reason);
        }
    }

    /// A token that opens nothing: 4001, after the upgrade.
    fn refuse(&mut self, now: Timestamp, pod: u32, conn: ConnId, error: ApiError) {
        let expired = error == ApiError::EXPIRED_TOKEN;
        self.effects.push_back(Effect::Close { conn, code: CLOSE_INVALID_TOKEN, reason: error.code.into() });
        self.effects.push_back(Effect::Log(LogLine {
            event: LogEvent::Disconnect,
            at_unix_ms: self.config.epoch_unix_s * 1000 + now.as_nanos() / 1_000_000,
            pod: pod + 1,
            tenant_id: None,
            participant_id: None,
            session_id: None,
            reason: Some(if expired { line::EXPIRED_TOKEN } else { line::INVALID_TOKEN }),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::{Cohort, Config, PlantedKind};
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn the_first_frame_is_a_hello_with_the_registered_tenant() {
        let mut backend = small();
        let registered = backend.register(at(0), 0, &caller("anna", 1)).expect("a good token");
        backend.open(at(3), 1, ConnId(5), Ok(caller("anna", 1)));
        assert!(matches!(
            &pull(&mut backend, 5)[..],
            [ServerFrame::Hello(hello)] if hello.tenant == registered.tenant
                && hello.server_name() == "pod-2" && hello.unix_s == Config::small().epoch_unix_s + 3
        ));
    }

    #[test]
    fn a_bad_token_is_closed_with_4001_and_says_why() {
        let mut backend = small();
        let late = Caller { expires: at(1), ..caller("anna", 1) };
        let cases = [
            (Err(TokenTrouble::Invalid), "SW_AUTH_INVALID_TOKEN"),
            (Err(TokenTrouble::Missing), "SW_AUTH_INVALID_TOKEN"),
            (Err(TokenTrouble::Expired), "SW_AUTH_EXPIRED_TOKEN"),
            (Ok(late), "SW_AUTH_EXPIRED_TOKEN"),
        ];
        for (conn, (caller, wanted)) in (0..).zip(cases) {
            backend.open(at(2), 0, ConnId(conn), caller);
            assert_eq!(closes(&mut backend), [(conn, 4001, wanted.into())]);
            assert!(backend.next_frame(ConnId(conn)).is_none(), "no hello");
        }
        assert_eq!(backend.next_wake(), None, "nothing is left of them");
    }

    #[test]
    fn a_token_that_signs_in_again_closes_the_older_stream() {
        let mut backend = small();
        open(&mut backend, "anna", 1, 77);
        open_on(&mut backend, 1, "anna", 2, 77);
        assert_eq!(closes(&mut backend), [(1, 4003, "duplicate_connection".into())]);
        open(&mut backend, "anna", 3, 78);
        assert!(closes(&mut backend).is_empty(), "another token of the same identity is welcome");
        backend.gone(at(1), ConnId(2));
        open(&mut backend, "anna", 4, 77);
        assert!(closes(&mut backend).is_empty(), "the older one had gone already");
    }

    #[test]
    fn a_planted_leak_keeps_ended_connections_in_the_gauge() {
        let kind = PlantedKind::Metrics { pod: Some(0), verb: crate::profile::Metrics::Leak };
        let mut backend = Backend::new(&Config::with_fault(kind, None));
        for (conn, pod) in [(1, 0), (2, 0), (3, 1)] {
            open_on(&mut backend, pod, "anna", conn, conn);
        }
        backend.gone(at(1), ConnId(1));
        backend.begin_fault(at(2), 0).expect("ours");
        for conn in [2, 3] {
            backend.gone(at(3), ConnId(conn));
        }
        let gauge = |backend: &mut Backend, pod| {
            let text = backend.metrics_text(pod).expect("it is up");
            text.lines()
                .find(|line| line.starts_with("scaiwave_ws_connections{"))
                .map(|line| line.ends_with(" 1"))
        };
        assert_eq!((gauge(&mut backend, 0), gauge(&mut backend, 1)), (Some(true), Some(false)));
        assert_eq!(backend.truth().count(Deed::ConnectionLeaked), 1);
    }

    #[test]
    fn every_connection_is_pinged_by_when_it_was_opened() {
        let mut backend = small();
        backend.open(at(0), 0, ConnId(1), Ok(caller("anna", 1)));
        backend.open(at(7), 0, ConnId(2), Ok(caller("ben", 2)));
        assert_eq!(backend.next_wake(), Some(at(30)));
        backend.tick(at(30));
        assert_eq!(pings(&mut backend), [1]);
        assert_eq!(backend.next_wake(), Some(at(37)));
        backend.tick(at(37));
        assert_eq!(pings(&mut backend), [2]);
        assert_eq!(backend.next_wake(), Some(at(60)));
    }

    #[test]
    fn two_unanswered_pings_close_the_stream_at_the_third_and_a_pong_starts_anew() {
        let mut backend = small();
        open(&mut backend, "anna", 1, 1);
        open(&mut backend, "ben", 2, 2);
        for second in [30, 60] {
            backend.tick(at(second));
            assert_eq!(pings(&mut backend), [1, 2]);
            backend.pong(ConnId(2));
        }
        backend.tick(at(90));
        assert_eq!(closes(&mut backend), [(1, 4003, "ping_timeout".into())]);
        backend.tick(at(120));
        assert_eq!(pings(&mut backend), [2]);
    }

    #[test]
    fn connects_and_disconnects_are_logged_with_their_reasons_and_counted() {
        let mut backend = small();
        open(&mut backend, "anna", 1, 1);
        let metrics = backend.metrics_text(0).expect("it is up");
        assert!(metrics.contains("\"} 1\n"), "{metrics}");
        backend.gone(at(1), ConnId(1));
        backend.gone(at(1), ConnId(1));
        let lines: Vec<(LogEvent, Option<&str>)> =
            log_lines(&mut backend).iter().map(|line| (line.event, line.reason)).collect();
        assert_eq!(lines, [(LogEvent::Connect, None), (LogEvent::Disconnect, Some("client_gone"))]);
        let metrics = backend.metrics_text(0).expect("it is up");
        assert!(
            metrics.lines().any(|line| line.starts_with("scaiwave_ws_connections{") && line.ends_with(" 0"))
        );
    }

    #[test]
    fn refused_identities_get_4001_and_401_and_the_others_nothing() {
        let kind = PlantedKind::RejectTokens { who: Cohort::Share { share: 0.5, clients: 10 } };
        let mut backend = Backend::new(&Config::with_fault(kind, None));
        backend.begin_fault(at(0), 0).expect("ours");
        for client in 0..10 {
            open(&mut backend, &format!("ws-{client:06}"), client, client);
        }
        let refused: Vec<u64> = closes(&mut backend).iter().map(|close| close.0).collect();
        assert_eq!(refused.len(), 5);
        for client in 0..10 {
            let refresh = backend.refresh(at(1), 0, &caller(&format!("ws-{client:06}"), client + 100));
            assert_eq!(refresh.is_err(), refused.contains(&client));
        }
        let truth = &backend.truth().faults[0];
        assert_eq!((truth.count(Deed::IdentityRefused), truth.count(Deed::TokenRefused)), (5, 10));
    }
}
