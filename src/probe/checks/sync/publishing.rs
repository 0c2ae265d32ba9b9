//! Events that a check publishes, one after the other, so that it knows what there is to be read.

use std::rc::Rc;
use std::time::Duration;

use super::{LIMIT, ROOM, bridger, publishers, walk};
use crate::probe::path::{Path, Publish, Published};
use crate::wire::Position;

/// What was published in a row.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Run {
    /// What was acknowledged, in order.
    pub(in super::super) stored: Vec<Publish>,
    /// What was not, in a few words each.
    pub(in super::super) refused: Vec<String>,
}

impl Run {
    /// Publishes `count` events, each when the one before is answered, by several members in turn.
    pub(in super::super) async fn publish(path: &Rc<Path>, count: u32) -> Self {
        let (members, mut own) = (publishers(path, 4), Self::default());
        for index in 0..count as usize {
            own.push(path.publish(members[index % members.len()], ROOM).await);
            path.sleep(spacing(path)).await;
        }
        own
    }

    /// Takes one in.
    pub(in super::super) fn push(&mut self, publish: Publish) {
        match refusal(&publish) {
            Some(why) => self.refused.push(why),
            None => self.stored.push(publish),
        }
    }

    /// Their numbers.
    pub(in super::super) fn numbers(&self) -> Vec<u32> {
        self.stored.iter().map(|publish| publish.n).collect()
    }

    /// What keeps a check from telling anything, if so.
    pub(in super::super) fn trouble(&self, at_least: usize) -> Option<String> {
        let (stored, refused) = (self.stored.len(), self.refused.len());
        let why = self.refused.first()?;
        (stored < at_least)
            .then(|| format!("{refused} of {} publishes came to nothing: {why}", stored + refused))
    }
}

/// An event that is known to be there, and where.
#[derive(Clone, Debug)]
pub(in super::super) struct Base {
    /// Its number.
    pub(in super::super) n: u32,
    /// Its position, by the answer, or else by sync.
    pub(in super::super) position: Position,
}

/// Publishes one event to start from.
///
/// # Errors
///
/// Why nobody knows where it is.
pub(in super::super) async fn anchor(path: &Rc<Path>) -> Result<Base, String> {
    let publish = path.publish(publishers(path, 1)[0], ROOM).await;
    let n = publish.n;
    if let Some(why) = refusal(&publish) {
        return Err(format!("a publish came to nothing: {why}"));
    }
    if let Some(position) = position(&publish) {
        return Ok(Base { n, position });
    }
    let walk = walk(path, bridger(path), path.provisioned.positions[0], LIMIT).await;
    let found = walk.rows().find(|row| row.is(ROOM, n)).and_then(|row| row.position);
    found
        .map(|position| Base { n, position })
        .ok_or_else(|| "the position of a published event is neither in its answer nor in sync".to_owned())
}

/// The position in the answer.
pub(in super::super) fn position(publish: &Publish) -> Option<Position> {
    match &publish.reply {
        Published::Stored(created) => created.position,
        _ => None,
    }
}

/// Why it came to nothing; `None`: it was acknowledged.
pub(in super::super) fn refusal(publish: &Publish) -> Option<String> {
    match &publish.reply {
        Published::Stored(_) => None,
        Published::Refused(status, Some(code)) => Some(format!("{status} {code}")),
        Published::Refused(status, None) => Some(status.to_string()),
        Published::Unanswered(why) => Some(why.to_string()),
    }
}

/// An event, for evidence: its number, and what the answer said of it.
pub(in super::super) fn name(publish: &Publish) -> String {
    let (mut words, n) = (Vec::new(), publish.n);
    if let Published::Stored(created) = &publish.reply {
        words.extend(created.id.as_ref().map(|id| format!("id {id}")));
        words.extend(created.position.map(|position| format!("position {position}")));
    }
    if words.is_empty() { format!("event {n}") } else { format!("event {n} ({})", words.join(", ")) }
}

/// Between two publishes: off loopback no more are sent than `[limits]` has.
pub(in super::super) fn spacing(path: &Path) -> Duration {
    if path.line.endpoints.iter().all(|endpoint| endpoint.is_loopback()) {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(1.0 / path.profile.limits.publishes.0.max(0.1))
}
