//! A tenant's event log: positions without gaps from 1, the oldest entries forgotten.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::wire::Position;

use super::event::Event;

/// The log of one tenant.
///
/// Every change of the tenant takes a position, also those that no client is shown (rooms made, people
/// coming and going): a gap in what a client sees proves nothing.
#[derive(Debug)]
pub(super) struct TenantLog {
    entries: VecDeque<Option<Arc<Event>>>,
    /// Position of the next entry.
    next: Position,
    retention: usize,
}

impl TenantLog {
    /// An empty log that keeps this many entries, at least one.
    pub(super) fn new(retention: u32) -> Self {
        Self { entries: VecDeque::new(), next: 1, retention: retention.max(1) as usize }
    }

    /// The position that the next entry will have.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// The newest position given out; 0 before the first.
    pub(super) fn newest(&self) -> Position {
        self.next - 1
    }

    /// Takes a position for something that no client is shown.
    pub(super) fn skip(&mut self) -> Option<Arc<Event>> {
        self.append(None)
    }

    /// Stores an event at [`TenantLog::next`]; answers with the event that is forgotten for it.
    pub(super) fn store(&mut self, event: Arc<Event>) -> Option<Arc<Event>> {
        self.append(Some(event))
    }

    /// Puts an event where a position was taken for it before; not when that is forgotten already.
    pub(super) fn fill(&mut self, position: Position, event: Arc<Event>) -> bool {
        let oldest = self.next - self.entries.len() as Position;
        let index = position.checked_sub(oldest).and_then(|index| usize::try_from(index).ok());
        let entry = index.and_then(|index| self.entries.get_mut(index));
        let there = entry.is_some();
        if let Some(entry) = entry {
            *entry = Some(event);
        }
        there
    }

    /// The event at a position, if there is one and it is not forgotten.
    pub(super) fn get(&self, position: Position) -> Option<&Arc<Event>> {
        let oldest = self.next - self.entries.len() as Position;
        let index = position.checked_sub(oldest)?;
        self.entries.get(usize::try_from(index).ok()?)?.as_ref()
    }

    fn append(&mut self, entry: Option<Arc<Event>>) -> Option<Arc<Event>> {
        self.next += 1;
        self.entries.push_back(entry);
        if self.entries.len() > self.retention { self.entries.pop_front().flatten() } else { None }
    }
}
