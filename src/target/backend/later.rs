//! What planted faults, and missing sessions, put off.

use std::collections::BTreeMap;

use crate::time::Timestamp;

use super::super::connection::ConnId;
use super::super::faults::FaultIx;
use super::super::page::{Page, WaiterId};
use super::publish::Stored;
use super::{Backend, Effect};

/// Something put off.
#[derive(Debug)]
pub(super) enum Task {
    /// Say hello to a connection, and let it hear.
    Greet(ConnId, FaultIx),
    /// Let a connection hear.
    Hear(ConnId, FaultIx),
    /// Let go of frames that are held back.
    Release(ConnId),
    /// Answer a sync request.
    Answer(WaiterId),
    /// Drop a stream whose pod does not have its session.
    Drop(ConnId),
    /// Make an event visible.
    Commit(Stored, FaultIx),
}

/// Tasks by time, and in the order of asking where times are equal. There are no more of them than connections,
/// requests and publishes that a fault is at work on.
#[derive(Debug, Default)]
pub(super) struct Later {
    tasks: BTreeMap<(Timestamp, u64), Task>,
    asked: u64,
}

impl Later {
    pub(super) fn at(&mut self, at: Timestamp, task: Task) {
        self.tasks.insert((at, self.asked), task);
        self.asked += 1;
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.tasks.keys().next().map(|&(at, _)| at)
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<Task> {
        let first = self.tasks.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

/// An answer that is held back.
#[derive(Debug)]
pub(super) struct LateAnswer {
    pub(super) pod: u32,
    pub(super) page: Page,
}

impl Backend {
    pub(super) fn do_later(&mut self, now: Timestamp) {
        while let Some(task) = self.later.pop_due(now) {
            match task {
                Task::Greet(conn, fault) => {
                    self.let_hear(conn, fault);
                    self.greet(now, conn, None);
                }
                Task::Hear(conn, fault) => self.let_hear(conn, fault),
                Task::Release(conn) => self.release_due(now, conn),
                Task::Answer(waiter) => {
                    if let Some(LateAnswer { pod, page }) = self.late_answers.remove(&waiter) {
                        self.pods[pod as usize].waiters.remove(&waiter);
                        self.effects.push_back(Effect::SyncReady { waiter, page });
                    }
                }
                Task::Drop(conn) => self.drop_sessionless(now, conn),
                Task::Commit(stored, fault) => self.commit(now, stored, fault),
            }
        }
    }

    fn let_hear(&mut self, conn: ConnId, fault: FaultIx) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let tenant = self.registry.participant(connection.participant).tenant;
        connection.since = self.registry.tenant(tenant).log.newest();
        if let Some(affliction) = &mut connection.affliction {
            affliction.deaf.take_if(|deaf| deaf.fault == fault);
        }
    }
}
