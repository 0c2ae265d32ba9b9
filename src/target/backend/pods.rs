//! Pods: alive or dead, with metrics that begin anew at each life.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng as _;
use uuid::Uuid;

use crate::seed::Seed;
use crate::time::Timestamp;

use super::super::config::PlantedKind;
use super::super::connection::ConnId;
use super::super::faults::FaultIx;
use super::super::metrics::PodMetrics;
use super::super::page::WaiterId;
use super::{Backend, Effect};

impl Backend {
    /// Whether a pod takes connections.
    pub fn pod_is_up(&self, pod: u32) -> bool {
        self.pods.get(pod as usize).is_some_and(|pod| pod.up)
    }

    /// How many pods there are, dead ones included.
    pub fn pods(&self) -> u32 {
        self.config.pods
    }

    /// Open streams on a pod.
    pub fn connections_on(&self, pod: u32) -> usize {
        self.pods.get(pod as usize).map_or(0, |pod| pod.connections.len())
    }

    /// A pod has answered a request; for its metrics.
    pub fn served(&self, pod: u32, route: &'static str, method: &'static str, status: u16, took: Duration) {
        if let Some(pod) = self.pods.get(pod as usize) {
            pod.metrics.served(route, method, status, took);
        }
    }

    /// Kills a pod as `kill -9` would: its sockets are reset, its queues and long polls are lost, nothing is
    /// logged. What is stored is not touched. Answers with the streams and polls that died.
    pub fn kill_pod(&mut self, now: Timestamp, pod: u32) -> (u64, u64) {
        let Some(dying) = self.pods.get_mut(pod as usize) else { return (0, 0) };
        dying.up = false;
        let connections = std::mem::take(&mut dying.connections);
        let waiters = std::mem::take(&mut dying.waiters);
        for &conn in &connections {
            self.remove(now, conn, None);
            self.effects.push_back(Effect::Reset(conn));
        }
        for &waiter in &waiters {
            self.end_wait(waiter);
            self.effects.push_back(Effect::SyncGone(waiter));
        }
        (connections.len() as u64, waiters.len() as u64)
    }

    /// Starts a dead pod again, empty; harmless for a living one.
    pub fn revive_pod(&mut self, pod: u32) {
        if let Some(pod) = self.pods.get_mut(pod as usize).filter(|pod| !pod.up) {
            *pod = Pod::new();
        }
    }

    /// The pod that a fault kills, if that is what it does.
    pub(super) fn pod_to_kill(&self, at: FaultIx) -> Option<u32> {
        let fault = self.faults.fault(at);
        let PlantedKind::PodKill { pod } = fault.kind else { return None };
        Some(match pod {
            Some(pod) => pod % self.config.pods,
            None => {
                let mut stream =
                    Seed(self.config.seed).stream("target-pod-kill", [u64::from(fault.index), 0, 0]);
                (stream.next_u64() % u64::from(self.config.pods)) as u32
            }
        })
    }
}

/// One life of a pod.
#[derive(Debug)]
pub(super) struct Pod {
    up: bool,
    pub(super) metrics: PodMetrics,
    connections: BTreeSet<ConnId>,
    pub(super) waiters: BTreeSet<WaiterId>,
}

impl Pod {
    pub(super) fn new() -> Self {
        Self { up: true, metrics: PodMetrics::new(), connections: BTreeSet::new(), waiters: BTreeSet::new() }
    }

    pub(super) fn opened(&mut self, conn: ConnId, tenant: Uuid) {
        self.connections.insert(conn);
        self.metrics.opened(tenant.to_string());
    }

    /// A planted fault may leave it in the gauge.
    pub(super) fn closed(&mut self, conn: ConnId, tenant: Uuid, leaks: bool) {
        self.connections.remove(&conn);
        if !leaks {
            self.metrics.closed(tenant.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Config;
    use super::super::super::error::ApiError;
    use super::super::super::truth::Deed;
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn a_killed_pod_resets_its_own_streams_and_polls_and_keeps_what_is_stored() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        let sent = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        open_on(&mut backend, 0, "anna", 1, 1);
        open_on(&mut backend, 1, "ben", 2, 2);
        wait(&mut backend, "anna", 9, sent, Duration::from_secs(30));
        publish(&mut backend, "anna", &room, 1).expect("a member");
        ready(&mut backend);
        wait(&mut backend, "anna", 10, sent + 1, Duration::from_secs(30));
        assert_eq!(backend.kill_pod(at(5), 0), (1, 1));
        assert_eq!(resets(&mut backend), (vec![1], vec![10]));
        assert!(nobody_waits(&backend, "anna"));
        assert!(backend.next_frame(ConnId(1)).is_none(), "its queue is lost");
        assert!(!message_positions(&mut backend, 2).is_empty(), "the other pod goes on");
        assert_eq!(backend.metrics_text(0), None);
        assert_eq!(publish_on(&mut backend, 0, "anna", &room, 2), Err(ApiError::POD_DOWN));
        backend.open(at(6), 0, ConnId(3), Ok(caller("anna", 3)));
        assert_eq!(resets(&mut backend).0, [3], "it accepts nothing");
        publish_on(&mut backend, 1, "anna", &room, 2).expect("another pod");
        backend.revive_pod(0);
        open_on(&mut backend, 0, "anna", 4, 4);
        assert_eq!(page(&mut backend, "anna", 0, 10).events.len(), 3);
    }

    #[test]
    fn a_pod_that_comes_back_counts_from_zero() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        open(&mut backend, "anna", 1, 1);
        for n in 0..10 {
            publish(&mut backend, "anna", &room, n).expect("a member");
        }
        let dropped = |backend: &mut Backend, wanted: u32| {
            let line = format!("scaiwave_ws_messages_dropped_total {wanted}\n");
            backend.metrics_text(0).expect("it is up").contains(&line)
        };
        assert!(dropped(&mut backend, 2), "ten messages into a queue of eight");
        backend.kill_pod(at(1), 0);
        backend.revive_pod(0);
        assert!(dropped(&mut backend, 0));
        assert_eq!(backend.truth().messages_dropped, 2, "the truth does not forget");
    }

    #[test]
    fn a_pod_kill_of_the_profile_ends_with_the_pod_up_again_and_says_what_it_hit() {
        let mut backend = Backend::new(&Config::with_fault(
            PlantedKind::PodKill { pod: Some(1) },
            Some(Duration::from_secs(3)),
        ));
        open_on(&mut backend, 1, "anna", 1, 1);
        open_on(&mut backend, 0, "ben", 2, 2);
        assert_eq!(backend.begin_fault(at(1), 0), Some(1));
        assert!(backend.pod_is_up(0) && !backend.pod_is_up(1));
        assert_eq!(backend.end_fault(at(4), 0), Some(0));
        assert!(backend.pod_is_up(1));
        let truth = &backend.truth().faults[0];
        assert_eq!(
            (truth.count(Deed::ConnectionReset), truth.began, truth.ended),
            (1, Some(at(1)), Some(at(4)))
        );
    }

    #[test]
    fn a_pod_killed_without_a_duration_never_comes_back() {
        let mut backend = Backend::new(&Config::with_fault(PlantedKind::PodKill { pod: None }, None));
        backend.begin_fault(at(1), 0).expect("ours");
        let up = |backend: &Backend| (0..2).filter(|&pod| backend.pod_is_up(pod)).count();
        assert_eq!(up(&backend), 1);
        backend.end_fault(at(2), 0).expect("ours");
        assert_eq!(up(&backend), 1);
    }

    #[test]
    fn the_balancers_faults_are_not_the_pods() {
        let kind = PlantedKind::IdleTimeout { timeout: Duration::from_secs(20) };
        let mut backend = Backend::new(&Config::with_fault(kind, None));
        assert_eq!(backend.begin_fault(at(0), 0), None);
        assert_eq!(backend.begin_fault(at(0), 4), None, "nor is one that does not exist");
    }
}
