//! Where a missed event still is: what the pages said that the audit was shown.
//!
//! A page *shows* an event, or it *passes* it: the event's position lies behind where the page begins and not behind
//! where it ends, and the page does not have it. What the audit may have found of an event follows from the pages that
//! it asked for with the client's own token after the event was missed: in sync, if a page showed it; only in history,
//! if sync passed it and history showed it; nowhere, if both passed it; signalled, if the server said that it cannot
//! replay. Mostly that leaves one answer. Where pages differ (an event became visible between two of them, or retention
//! let go of it), only the audit knows which of them it looked at for this event: then any of these answers will do.
//!
//! That the pages are true is a matter of its own: they are held against what the server would show in the end.

use std::collections::BTreeMap;

use wavesoak::plan::Population;
use wavesoak::session::SyncTrouble;
use wavesoak::simulator::trace::{Message, Trace, What};
use wavesoak::time::Timestamp;
use wavesoak::worker::conductor::Fetch;

use super::{Key, Missed};

/// What the audit must have found.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    tenants: Vec<BTreeMap<&'static str, Range>>,
    /// A page that the audit asked for did not come: some events may be `unaudited`.
    pub(crate) troubled: bool,
    /// Missed events of which pages said something else than the server would in the end.
    pub(crate) changed: Vec<(u32, Key)>,
}

/// From so many to so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

/// The answers that there are, with what each is counted as.
const ANSWERS: [(Answer, &[&str]); 4] = [
    (Answer::InSync, &["recoverable"]),
    (Answer::InHistory, &["recoverable", "sync_hole"]),
    (Answer::Nowhere, &["lost_by_server"]),
    (Answer::Signalled, &["signalled_loss"]),
];

/// The counts of the audit.
pub(crate) const COUNTS: [&str; 4] = ["recoverable", "sync_hole", "lost_by_server", "signalled_loss"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    InSync,
    InHistory,
    Nowhere,
    Signalled,
}

/// What the pages said of one missed event.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    shown_by_sync: bool,
    passed_by_sync: bool,
    shown_by_history: bool,
    passed_by_history: bool,
    signalled: bool,
}

impl Stores {
    pub(super) fn of(trace: &Trace, people: &Population, missed: &BTreeMap<(u32, Key), Missed>) -> Self {
        let (looks, troubled) = looks(trace, missed);
        let mut stores = Self {
            tenants: vec![COUNTS.map(|name| (name, Range::default())).into(); people.tenants() as usize],
            troubled,
            changed: Vec::new(),
        };
        for (&at, looks) in &looks {
            let tenant = &mut stores.tenants[people.tenant_of(at.0) as usize];
            let answers = looks.answers();
            for (name, span) in tenant {
                let counted = answers.iter().filter(|(_, names)| names.contains(name)).count();
                span.least += u64::from(counted > 0 && counted == answers.len());
                span.most += u64::from(counted > 0);
            }
            if looks.contradicts(trace, at) {
                stores.changed.push(at);
            }
        }
        stores
    }

    /// How often each answer must have been counted for a tenant, if every event has one.
    pub(crate) fn of_tenant(&self, tenant: usize) -> &BTreeMap<&'static str, Range> {
        &self.tenants[tenant]
    }
}

impl Looks {
    fn answers(&self) -> Vec<(Answer, &'static [&'static str])> {
        let possible = |answer| match answer {
            Answer::InSync => self.shown_by_sync,
            Answer::InHistory => self.passed_by_sync && self.shown_by_history,
            Answer::Nowhere => self.passed_by_sync && self.passed_by_history,
            Answer::Signalled => self.signalled,
        };
        ANSWERS.into_iter().filter(|&(answer, _)| possible(answer)).collect()
    }

    /// Whether a page said something else than the server would say now.
    fn contradicts(&self, trace: &Trace, (client, key): (u32, Key)) -> bool {
        let store = &trace.stores[client as usize];
        let has = |messages: &[Message]| messages.iter().any(|message| key_of(message) == Some(key));
        let (sync, history) = (has(&store.sync), has(&store.history));
        (self.shown_by_sync && !sync)
            || (self.passed_by_sync && sync)
            || (self.shown_by_history && !history)
            || (self.passed_by_history && history)
    }

    fn read(&mut self, fetch: Fetch, messages: &[Message], key: Key, missed: &Missed) {
        let (shown, passed, from, limit) = match fetch {
            Fetch::Sync { since, limit } | Fetch::Load { since, limit } => {
                (&mut self.shown_by_sync, &mut self.passed_by_sync, since, limit)
            }
            Fetch::History { room, from, limit } if room == key.0 => {
                (&mut self.shown_by_history, &mut self.passed_by_history, from, limit)
            }
            Fetch::History { .. } => return,
        };
        let highest = messages.iter().filter_map(|message| message.position).max();
        let to = if messages.len() < limit as usize { u64::MAX } else { highest.unwrap_or(from) };
        if messages.iter().any(|message| key_of(message) == Some(key)) {
            *shown = true;
        } else if from < missed.low && missed.high <= to {
            *passed = true;
        }
    }
}

/// What was said of each missed event; and whether a page did not come.
fn looks(trace: &Trace, missed: &BTreeMap<(u32, Key), Missed>) -> (BTreeMap<(u32, Key), Looks>, bool) {
    let mut looks: BTreeMap<(u32, Key), Looks> = missed.keys().map(|&at| (at, Looks::default())).collect();
    let (mut fetches, mut troubled) = (BTreeMap::<u64, (u32, Fetch, Timestamp)>::new(), false);
    for step in &trace.steps {
        match &step.what {
            What::Fetching { id, client, what } => {
                fetches.insert(*id, (*client, *what, step.at));
            }
            What::Fetched { id, result } => {
                let (client, fetch, asked) = fetches[id];
                let of_client = looks.range_mut((client, (0, 0))..=(client, (u32::MAX, u32::MAX)));
                for (at, looks) in of_client.filter(|(at, _)| missed[at].after <= asked) {
                    match result {
                        Ok(messages) => looks.read(fetch, messages, at.1, &missed[at]),
                        Err(trouble) => looks.signalled |= *trouble == SyncTrouble::BeyondRetention,
                    }
                }
                troubled |= result.as_ref().is_err_and(|trouble| *trouble != SyncTrouble::BeyondRetention);
            }
            _ => {}
        }
    }
    (looks, troubled)
}

fn key_of(message: &Message) -> Option<Key> {
    message.stamp.and_then(|stamp| Some((stamp.room, stamp.n?)))
}
