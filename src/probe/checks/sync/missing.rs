//! Where an acknowledged event is that sync did not return.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::ask::End;
use super::{History, LIMIT, ROOM, Row, name, publishers, spacing, walk};
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, Publish};
use crate::probe::report::secs;
use crate::wire::Position;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A later sync from the client's own position returned it: late, and not lost.
    Late(Duration),
    /// Only a sync from below returned it: the client's position had passed it.
    Below { after: Duration, position: Option<Position>, cursor: Position },
    /// Sync never returned it; the client's own history of the room has it.
    InHistory,
    /// Neither; another member's history of the room has it.
    HiddenFromOne,
    /// Nobody has it.
    Nowhere,
    /// Sync never returned it, and history could not be read.
    Unknown(String),
    /// Sync did not return it, and refused to be asked again.
    Unasked(String),
}

/// Looks for events that a walk from `base` to `cursor` did not bring, until they are there or the lateness bound has passed.
pub(super) async fn trace(
    path: &Rc<Path>,
    client: u32,
    base: Position,
    mut cursor: Position,
    missing: Vec<Publish>,
) -> Vec<(Publish, Fate)> {
    let (begun, mut open, mut told) = (path.now(), missing, Vec::new());
    let mut last_end = End::Done;
    while !open.is_empty() {
        let on = walk(path, client, cursor, LIMIT).await;
        let passed = on.cursor().unwrap_or(cursor).max(cursor);
        let below = walk(path, client, base, LIMIT).await;
        let now = path.now();
        open.retain(|publish| {
            let n = publish.n;
            let fate = if on.has(ROOM, n) {
                Fate::Late(now.since(publish.answered))
            } else if let Some(row) = below.rows().find(|row| row.is(ROOM, n)) {
                if row.position.is_some_and(|position| position > passed) {
                    // It came between the two walks: the next one from the client's own position brings it.
                    return true;
                }
                Fate::Below { after: now.since(publish.answered), position: row.position, cursor: passed }
            } else {
                return true;
            };
            told.push((publish.clone(), fate));
            false
        });
        (cursor, last_end) = (passed, below.end);
        if path.now() >= begun + path.lateness_bound() {
            break;
        }
        path.sleep(PAUSE.max(spacing(path) * 2)).await;
    }
    if !open.is_empty() {
        let own = History::read(path, client, ROOM, base).await;
        let other = History::read(path, publishers(path, 1)[0], ROOM, base).await;
        told.extend(open.into_iter().map(|publish| {
            let fate = Fate::in_the_end(publish.n, &last_end, &own, &other);
            (publish, fate)
        }));
    }
    told.sort_by_key(|(publish, _)| publish.n);
    told
}

impl Fate {
    /// Of an event that no sync has brought: the last of them came to this end, and histories as two members have them.
    fn in_the_end(n: u32, sync: &End, own: &History, other: &History) -> Self {
        match sync {
            End::Done => {}
            End::Refused(refusal) => return Self::Unasked(refusal.words()),
            End::Stuck | End::TooLong => return Self::Unasked("came to no end".to_owned()),
        }
        match (own.has(ROOM, n), other.has(ROOM, n), own.refusal.as_ref().or(other.refusal.as_ref())) {
            (true, ..) => Self::InHistory,
            (false, true, _) => Self::HiddenFromOne,
            (false, false, None) => Self::Nowhere,
            (false, false, Some(refusal)) => Self::Unknown(refusal.words()),
        }
    }
}

/// What it means, of `total` events that were acknowledged.
pub(super) fn judge(fates: &[(Publish, Fate)], total: usize, judgement: &mut Judgement) {
    let mut below = Finding::new(
        "below-cursor",
        "an event appears in sync below a position that sync has already passed",
        "A client keeps the highest position and never asks for this event again. On the server: let positions become \
         visible in their order (assign them at commit, or hold sync back behind the lowest one that is not committed). \
         Until then a client can ask from a little below its position and merge by id.",
    );
    let mut omitted = Finding::new(
        "sync-omits",
        "sync leaves out events that the room's history has",
        "A client that bridges misses them for good. Compare sync's query with that of /v1/rooms/{id}/messages (which rooms, \
         which members, which types); a client can only reload the room's history.",
    );
    let mut lost = Finding::new(
        "acknowledged-lost",
        "an acknowledged event is neither in sync nor in the room's history",
        "It was answered with 2xx and is not stored: answer a publish only when it is committed, and look in the pod's log for \
         what became of it.",
    );
    let mut late = Vec::new();
    for (publish, fate) in fates {
        let name = name(publish);
        match fate {
            Fate::Late(after) => late.push(*after),
            Fate::Below { after, position, cursor } => {
                let at = position.map_or_else(|| "without a position".to_owned(), |own| format!("at {own}"));
                below = below.because(format!(
                    "{name} came into sync {at}, {} after it was acknowledged, when sync from before had already gone on to \
                     {cursor} without it",
                    secs(*after)
                ));
            }
            Fate::InHistory => {
                omitted = omitted.because(format!("{name} is in the room's history, and in no page of sync"));
            }
            Fate::HiddenFromOne => {
                omitted = omitted.because(format!(
                    "{name} is in the room's history as another member has it, and neither in sync nor in history for this one"
                ));
            }
            Fate::Nowhere => {
                lost =
                    lost.because(format!("{name} is in no page of sync and in nobody's history of the room"));
            }
            Fate::Unknown(why) => {
                judgement.unclear(format!("{name} is in no page of sync; the room's history was {why}"));
            }
            Fate::Unasked(why) => {
                judgement.unclear(format!(
                    "{name} did not come by the first sync; whether a later one has it cannot be told: it {why}"
                ));
            }
        }
    }
    for finding in [below, omitted, lost] {
        if !finding.evidence.is_empty() {
            let count = finding.evidence.len() as f64;
            judgement.found(finding.with("events", count).with("published", total as f64));
        }
    }
    if let Some(worst) = late.iter().max() {
        judgement.saw(format!(
            "{} of {total} acknowledged events came into sync only later (at most {}), and above the client's position",
            late.len(),
            secs(*worst)
        ));
    }
}

/// An id and a position.
type Place<'a> = (Option<&'a str>, Option<Position>);

/// One publish under two ids, or at two positions.
pub(super) fn judge_twice<'a>(rows: impl Iterator<Item = &'a Row>, judgement: &mut Judgement) {
    let mut seen: BTreeMap<u32, BTreeSet<Place<'_>>> = BTreeMap::new();
    for row in rows {
        if let Some((ROOM, Some(n))) = row.ours {
            seen.entry(n).or_default().insert((row.id.as_deref(), row.position));
        }
    }
    let mut finding = Finding::new(
        "stored-twice",
        "one publish is stored as two events",
        "It was sent once: look for a retry between the API and the log (or the database) that does not carry event_uuid. \
         Clients that merge by id show it twice.",
    );
    for (n, places) in seen.iter().filter(|(_, places)| places.len() > 1) {
        let places: Vec<String> = places
            .iter()
            .map(|(id, at)| {
                format!(
                    "id {} at {}",
                    id.unwrap_or("none"),
                    at.map_or("none".to_owned(), |at| at.to_string())
                )
            })
            .collect();
        finding = finding.because(format!("event {n}: {}", places.join("; ")));
    }
    if !finding.evidence.is_empty() {
        let count = finding.evidence.len() as f64;
        judgement.found(finding.with("events", count));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::path::Published;
    use crate::time::Timestamp;
    use crate::wire::Created;

    fn fate(fate: Fate) -> Judgement {
        let reply = Published::Stored(Created { id: Some("e".into()), position: Some(7) });
        let publish = Publish { n: 3, sent: Timestamp::ZERO, answered: Timestamp::ZERO, reply };
        let mut judgement = Judgement::default();
        judge(&[(publish, fate)], 5, &mut judgement);
        judgement
    }

    #[test]
    fn where_an_event_is_decides_what_its_absence_is_called() {
        let below = Fate::Below { after: Duration::from_secs(2), position: Some(7), cursor: 9 };
        for (own, expected) in [
            (below, "below-cursor"),
            (Fate::InHistory, "sync-omits"),
            (Fate::HiddenFromOne, "sync-omits"),
            (Fate::Nowhere, "acknowledged-lost"),
        ] {
            let judged = fate(own);
            assert_eq!(judged.findings.len(), 1);
            assert_eq!(judged.findings[0].name, expected);
            assert!(judged.findings[0].evidence[0].starts_with("event 3 (id e, position 7) "), "{judged:?}");
        }
        assert_eq!(fate(Fate::Late(PAUSE)).outcome(), Outcome::Healthy);
        assert_eq!(fate(Fate::Unknown("answered 500".to_owned())).outcome(), Outcome::Inconclusive);
    }

    #[test]
    fn a_sync_that_refuses_to_be_asked_again_has_left_nothing_out() {
        let row = Row { id: Some("e".into()), position: Some(7), ours: Some((ROOM, Some(3))) };
        let (has, lacks) = (History { rows: vec![row], refusal: None }, History::default());
        let refused = End::Refused(Refusal::Status(429, None));
        assert_eq!(Fate::in_the_end(3, &End::Done, &has, &lacks), Fate::InHistory);
        assert_eq!(Fate::in_the_end(3, &End::Done, &lacks, &has), Fate::HiddenFromOne);
        assert_eq!(Fate::in_the_end(3, &End::Done, &lacks, &lacks), Fate::Nowhere);
        for history in [&has, &lacks] {
            let told = Fate::in_the_end(3, &refused, history, history);
            assert_eq!(fate(told).outcome(), Outcome::Inconclusive);
        }
    }

    #[test]
    fn two_ids_of_one_number_are_one_publish_stored_twice_and_one_id_seen_twice_is_not() {
        let row = |n, id: &str, position| Row {
            id: Some(id.into()),
            position: Some(position),
            ours: Some((ROOM, Some(n))),
        };
        let mut judgement = Judgement::default();
        judge_twice([row(1, "a", 4), row(1, "a", 4), row(2, "b", 5)].iter(), &mut judgement);
        assert_eq!(judgement, Judgement::default());
        judge_twice([row(1, "a", 4), row(1, "c", 6)].iter(), &mut judgement);
        assert_eq!(judgement.findings[0].evidence, ["event 1: id a at 4; id c at 6"]);
    }
}
