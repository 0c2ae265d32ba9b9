//! Where a missed event still is, asked of the store itself and of the pages that the audit was shown.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use wavesoak::plan::Population;
use wavesoak::simulator::trace::{Message, Trace, What};
use wavesoak::worker::conductor::Fetch;

use super::{Key, Missed};

/// What the audit must have found, by tenant, when everything that it asked for came.
///
/// An event is there when the store shows it to the client in the end. Retention may have let go of it after the
/// audit looked: what a page showed to the client after the event was missed may count as there or as lost, since
/// nobody but the audit knows which of its pages looked for it.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    tenants: Vec<Tenant>,
    /// A page that the audit asked for did not come: some events may be `unaudited`.
    pub(crate) troubled: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tenant {
    recoverable: Span,
    sync_hole: Span,
    lost_by_server: Span,
}

/// From so many to so many.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    least: u64,
    most: u64,
}

impl Stores {
    pub(super) fn of(trace: &Trace, people: &Population, missed: &BTreeMap<(u32, Key), Missed>) -> Self {
        let (sync, history) = (shown_in_the_end(trace, true), shown_in_the_end(trace, false));
        let (sync_once, history_once, troubled) = shown_to_the_audit(trace, missed);
        let mut tenants = vec![Tenant::default(); people.tenants() as usize];
        for at in missed.keys() {
            let tenant = &mut tenants[people.tenant_of(at.0) as usize];
            let there = sync.contains(at) || history.contains(at);
            let once = sync_once.contains(at) || history_once.contains(at);
            tenant.recoverable.add(there, there || once);
            tenant.lost_by_server.add(!there && !once, !there);
            let in_sync = sync.contains(at) || sync_once.contains(at);
            tenant
                .sync_hole
                .add(history.contains(at) && !in_sync, (history.contains(at) || once) && !sync.contains(at));
        }
        Self { tenants, troubled }
    }

    /// `recoverable`, `sync_hole` and `lost_by_server` of a tenant.
    pub(crate) fn of_tenant(&self, tenant: usize) -> [(&'static str, RangeInclusive<u64>); 3] {
        let Tenant { recoverable, sync_hole, lost_by_server } = self.tenants[tenant];
        [("recoverable", recoverable), ("sync_hole", sync_hole), ("lost_by_server", lost_by_server)]
            .map(|(name, span)| (name, span.least..=span.most))
    }
}

impl Span {
    fn add(&mut self, surely: bool, perhaps: bool) {
        self.least += u64::from(surely);
        self.most += u64::from(perhaps);
    }
}

type Shown = BTreeSet<(u32, Key)>;

fn shown_in_the_end(trace: &Trace, by_sync: bool) -> Shown {
    let stores = (0..).zip(&trace.stores);
    stores
        .flat_map(|(client, store)| {
            let messages = if by_sync { &store.sync } else { &store.history };
            messages.iter().filter_map(key).map(move |key| (client, key))
        })
        .collect()
}

/// By sync and by history, after it was missed; and whether a page did not come.
fn shown_to_the_audit(trace: &Trace, missed: &BTreeMap<(u32, Key), Missed>) -> (Shown, Shown, bool) {
    let (mut fetches, mut by_sync, mut by_history) = (BTreeMap::new(), Shown::new(), Shown::new());
    let mut troubled = false;
    for step in &trace.steps {
        match &step.what {
            What::Fetching { id, client, what } => {
                fetches.insert(*id, (*client, matches!(what, Fetch::Sync { .. })));
            }
            What::Fetched { id, result: Ok(messages) } => {
                let (client, sync) = fetches[id];
                let events = messages.iter().filter_map(key).map(|key| (client, key));
                let events = events.filter(|at| missed.get(at).is_some_and(|missed| missed.after <= step.at));
                if sync { by_sync.extend(events) } else { by_history.extend(events) }
            }
            What::Fetched { result: Err(_), .. } => troubled = true,
            _ => {}
        }
    }
    (by_sync, by_history, troubled)
}

fn key(message: &Message) -> Option<Key> {
    message.stamp.and_then(|stamp| Some((stamp.room, stamp.n?)))
}
