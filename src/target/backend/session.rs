//! Sessions: what a pod needs to have of an identity, for its streams to stay.
//!
//! Seed: without sticky sessions the upgrade reaches a pod that does not have the session, and the connection drops within
//! seconds. Which request makes a session is documented nowhere; here (ours) it is a sync, on the pod that it reaches, and
//! there is one for each identity: the next sync takes it along, whoever sends it (the harness's audit asks with its
//! clients' tokens too). That fits the documented order, in which every attempt
//! syncs first. A stream of an identity without any session makes one. What ends of a missing session ends by FIN, without
//! a close frame: the page names codes for other symptoms, and none for this one.

use crate::time::Timestamp;

use super::super::connection::{ConnId, Connection};
use super::super::line;
use super::super::registry::ParticipantIx;
use super::later::Task;
use super::{Backend, Effect};

impl Backend {
    /// A sync of this identity has reached this pod.
    pub(super) fn make_session(&mut self, who: ParticipantIx, pod: u32) {
        self.registry.participant_mut(who).session_on = Some(pod);
    }

    /// Hello: the upgrade counts, and its end is near when its session is elsewhere.
    pub(super) fn need_session(&mut self, now: Timestamp, conn: ConnId, connection: &Connection) {
        self.upgrades[connection.pod as usize].upgrades += 1;
        let Some(after) = self.config.session_drop_after else { return };
        let session = &mut self.registry.participant_mut(connection.participant).session_on;
        if *session.get_or_insert(connection.pod) != connection.pod {
            self.later.at(now + after, Task::Drop(conn));
        }
    }

    /// Its time is over, unless it has ended by itself.
    pub(super) fn drop_sessionless(&mut self, now: Timestamp, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        self.upgrades[connection.pod as usize].lost += 1;
        self.remove(now, conn, Some(line::SESSION_MISSING));
        self.effects.push_back(Effect::Fin(conn));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::config::Config;
    use super::super::tests_support::*;
    use super::super::{Backend, Effect};
    use crate::target::{PodTruth, SyncQuery, WaiterId};

    fn strict() -> Backend {
        Backend::new(&Config { session_drop_after: Some(Duration::from_secs(2)), ..Config::small() })
    }

    fn sync_on(backend: &mut Backend, pod: u32, name: &str) {
        let query = SyncQuery { timeout: Duration::ZERO, ..SyncQuery::default() };
        backend.sync(at(0), pod, WaiterId(900), &caller(name, 1), query).expect("a good token");
    }

    fn dropped(backend: &mut Backend) -> usize {
        std::iter::from_fn(|| backend.poll()).filter(|effect| matches!(effect, Effect::Fin(_))).count()
    }

    fn upgrades(backend: &Backend) -> Vec<(u64, u64)> {
        backend.truth().pods.iter().map(|&PodTruth { upgrades, lost }| (upgrades, lost)).collect()
    }

    #[test]
    fn a_stream_stays_on_the_pod_of_the_last_sync_and_drops_on_another() {
        let mut backend = strict();
        sync_on(&mut backend, 0, "anna");
        open_on(&mut backend, 0, "anna", 1, 1);
        open_on(&mut backend, 1, "anna", 2, 2);
        backend.tick(at(1));
        assert_eq!(dropped(&mut backend), 0, "within seconds is not at once");
        backend.tick(at(2));
        assert_eq!(dropped(&mut backend), 1);
        assert_eq!(upgrades(&backend), [(1, 0), (1, 1)]);
        sync_on(&mut backend, 1, "anna");
        open_on(&mut backend, 1, "anna", 3, 3);
        backend.tick(at(60));
        assert_eq!(
            dropped(&mut backend),
            0,
            "the session went along with the sync, and the older stream was accepted"
        );
    }

    #[test]
    fn without_any_session_the_stream_makes_one() {
        let mut backend = strict();
        open_on(&mut backend, 1, "ben", 1, 1);
        open_on(&mut backend, 0, "ben", 2, 2);
        backend.tick(at(60));
        assert_eq!((dropped(&mut backend), upgrades(&backend)), (1, vec![(1, 1), (1, 0)]));
    }

    #[test]
    fn a_stream_that_has_ended_by_itself_was_not_lost() {
        let mut backend = strict();
        sync_on(&mut backend, 0, "anna");
        open_on(&mut backend, 1, "anna", 1, 1);
        backend.gone(at(1), crate::target::ConnId(1));
        backend.tick(at(60));
        assert_eq!((dropped(&mut backend), upgrades(&backend)), (0, vec![(0, 0), (1, 0)]));
    }

    #[test]
    fn nobody_needs_a_session_unless_it_is_asked_for() {
        let mut backend = small();
        sync_on(&mut backend, 0, "anna");
        open_on(&mut backend, 1, "anna", 1, 1);
        backend.tick(at(60));
        assert_eq!((dropped(&mut backend), upgrades(&backend)), (0, vec![(0, 0), (1, 0)]));
    }
}
