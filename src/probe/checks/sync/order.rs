//! What no page may hold: what came before `since`, what came already, positions that fall (pure).

use std::collections::BTreeSet;

use super::{Page, Row, Walk, ask::End};
use crate::probe::judgement::{Finding, Judgement};
use crate::wire::Position;

/// Lines of evidence of one kind; further ones are counted.
const LINES_MAX: usize = 5;

/// How a walk ended, where that is no good end. `false`: nothing more can be told of it.
pub(super) fn judge_end(asked: &str, walk: &Walk, judgement: &mut Judgement) -> bool {
    match &walk.end {
        End::Done => return true,
        End::Refused(refusal) => refusal.judge(asked, judgement),
        End::TooLong => judgement.unclear(format!("{asked} came to no end in {} pages", walk.pages.len())),
        End::Stuck => {
            let last = walk.pages.last();
            let (since, next) = last.map_or((0, None), |page| (page.since, page.next_cursor));
            judgement.found(
                Finding::new(
                    "cursor-stuck",
                    "sync says that there is more, and its cursor does not move",
                    "A client that pages by next_cursor asks for the same page for ever: next_cursor must be the position of the \
                     last event of the page whenever has_more is true.",
                )
                .because(format!("{asked}: since={since} has more, and next_cursor {}", told(next))),
            );
        }
    }
    false
}

/// Rows that a client has had before: below `since`, at `since`, or twice.
pub(super) fn judge_repeats(asked: &str, pages: &[Page], judgement: &mut Judgement) {
    let (mut inclusive, mut old, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    let mut had = BTreeSet::new();
    for page in pages {
        let begins_below = page.rows.iter().any(|row| row.position.is_some_and(|own| own < page.since));
        for row in &page.rows {
            let words = format!("{asked}: since={} returned {}", page.since, name(row));
            let again = row.id.as_ref().is_some_and(|id| !had.insert((id.clone(), row.position)));
            match row.position {
                Some(position) if position < page.since => old.push(words),
                Some(position) if position == page.since => {
                    // A page that begins further below has this row as well, and no other fault.
                    if begins_below { old.push(words) } else { inclusive.push(words) }
                }
                _ if again => twice.push(format!("{words}, which had come already")),
                _ => {}
            }
        }
    }
    let inclusive_finding = Finding::new(
        "since-inclusive",
        "sync returns the event at `since` again",
        "Harmless to a client that merges by id: let yours do so, and do not count on new events from a page that is not \
         empty. On the server: return positions above since only.",
    );
    let repeats = Finding::new(
        "sync-repeats",
        "sync returns events that were had already",
        "Clients have to merge by id until the server returns each event above since once: look for a cursor that is read \
         from a stale replica or cache.",
    );
    tell(inclusive_finding, &inclusive, judgement);
    old.extend(twice);
    tell(repeats, &old, judgement);
}

/// Positions that fall within pages or over them, and cursors that go back.
pub(super) fn judge_order(asked: &str, walk: &Walk, judgement: &mut Judgement) {
    let (mut falls, mut last): (Vec<String>, Option<&Row>) = (Vec::new(), None);
    for page in &walk.pages {
        // A page that was asked for from below what came already repeats it, which is another matter.
        if last.and_then(|row| row.position).is_some_and(|highest| page.since < highest) {
            last = None;
        }
        for row in &page.rows {
            if let Some(before) = last
                && let (Some(one), Some(two)) = (before.position, row.position)
                && two < one
            {
                falls.push(format!("{asked}: {} came behind {}", name(row), name(before)));
            }
            last = Some(row);
        }
    }
    let back = |page: &&Page| page.next_cursor.is_some_and(|next| next < page.since);
    let backwards: Vec<String> = walk
        .pages
        .iter()
        .filter(back)
        .map(|page| {
            format!("{asked}: since={} was answered with next_cursor {}", page.since, told(page.next_cursor))
        })
        .collect();
    let finding = Finding::new(
        "positions-backwards",
        "positions go backwards",
        "A client that keeps the highest position never asks for what lies below it: give out positions in one order, and \
         return pages in it.",
    );
    tell(finding, &falls, judgement);
    let finding = Finding::new(
        "cursor-backwards",
        "next_cursor is below the `since` that was asked with",
        "A client that follows it asks for the same events again and again; ours keeps the higher of the two, yours should. On \
         the server: next_cursor of a page without events is since itself.",
    );
    tell(finding, &backwards, judgement);
}

/// The finding with the lines, if there are any; one of its name that is there already takes them.
pub(super) fn tell(finding: Finding, lines: &[String], judgement: &mut Judgement) {
    if lines.is_empty() {
        return;
    }
    let at = judgement.findings.iter().position(|own| own.name == finding.name);
    let mut finding = at.map_or(finding, |at| judgement.findings.remove(at));
    let before = finding.measured.get("events").copied().unwrap_or(0.0);
    // What was said of the rest is said anew.
    if before > LINES_MAX as f64 {
        finding.evidence.truncate(LINES_MAX);
    }
    let room = LINES_MAX.saturating_sub(finding.evidence.len());
    finding.evidence.extend(lines.iter().take(room).cloned());
    let events = before + lines.len() as f64;
    if events > LINES_MAX as f64 {
        finding.evidence.push(format!("and {} more", events - LINES_MAX as f64));
    }
    let at = at.unwrap_or(judgement.findings.len());
    judgement.findings.insert(at, finding.with("events", events));
}

/// A position that may not be there.
pub(super) fn told(position: Option<Position>) -> String {
    position.map_or_else(|| "none".to_owned(), |own| own.to_string())
}

/// An event of a page, for evidence.
pub(super) fn name(row: &Row) -> String {
    let kind = match row.ours {
        Some((_, Some(n))) => format!("event {n}"),
        Some((_, None)) => "a marker".to_owned(),
        None => "an event".to_owned(),
    };
    let id = row.id.as_deref().map_or_else(String::new, |id| format!("id {id}, "));
    format!("{kind} ({id}position {})", told(row.position))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ROOM;
    use super::*;

    /// A row of our own, which goes by its number.
    pub(in super::super) fn row(n: u32, position: Position) -> Row {
        Row { id: Some(format!("e{n}").into()), position: Some(position), ours: Some((ROOM, Some(n))) }
    }

    pub(in super::super) fn page(since: Position, rows: &[Row], next: Position, has_more: bool) -> Page {
        Page { since, rows: rows.to_vec(), next_cursor: Some(next), has_more, ..Page::default() }
    }

    pub(in super::super) fn walk(limit: u32, pages: Vec<Page>) -> Walk {
        Walk { limit, pages, end: End::Done }
    }

    fn names(judgement: &Judgement) -> Vec<&'static str> {
        judgement.findings.iter().map(|finding| finding.name).collect()
    }

    fn repeats(pages: &[Page]) -> Judgement {
        let mut judgement = Judgement::default();
        judge_repeats("sync", pages, &mut judgement);
        judgement
    }

    #[test]
    fn the_event_at_since_is_told_from_a_page_that_begins_further_below() {
        assert_eq!(names(&repeats(&[page(5, &[row(1, 6)], 6, false)])), [""; 0]);
        assert_eq!(names(&repeats(&[page(5, &[row(0, 5), row(1, 6)], 6, false)])), ["since-inclusive"]);
        let old = repeats(&[page(5, &[row(9, 4), row(0, 5), row(1, 6)], 6, false)]);
        assert_eq!(names(&old), ["sync-repeats"]);
        assert_eq!(old.findings[0].evidence.len(), 2);
        let twice = repeats(&[page(5, &[row(1, 6)], 5, true), page(5, &[row(1, 6)], 6, false)]);
        assert_eq!(names(&twice), ["sync-repeats"]);
    }

    #[test]
    fn a_fall_of_positions_and_of_cursors_is_named() {
        let mut judgement = Judgement::default();
        judge_order("sync", &walk(2, vec![page(5, &[row(1, 8), row(2, 7)], 8, false)]), &mut judgement);
        judge_order("sync", &walk(2, vec![page(9, &[], 6, false)]), &mut judgement);
        judge_order("sync", &walk(2, vec![page(9, &[row(1, 10)], 10, false)]), &mut judgement);
        assert_eq!(names(&judgement), ["positions-backwards", "cursor-backwards"]);
        assert!(
            judgement.findings[0].evidence[0].contains("event 2 (id e2, position 7) came behind event 1")
        );
    }

    #[test]
    fn evidence_is_bounded_and_the_rest_is_counted() {
        let rows: Vec<Row> = (0..9).map(|n| row(n, 1)).collect();
        let mut judged = repeats(&[page(5, &rows, 5, false)]);
        assert_eq!(judged.findings[0].evidence.last().map(String::as_str), Some("and 4 more"));
        judge_repeats("again", &[page(5, &rows, 5, false)], &mut judged);
        assert_eq!(judged.findings.len(), 1, "of one name there is one");
        assert_eq!(judged.findings[0].evidence.len(), LINES_MAX + 1);
        assert_eq!(judged.findings[0].evidence.last().map(String::as_str), Some("and 13 more"));
    }

    #[test]
    fn a_page_that_is_asked_for_again_is_no_fall() {
        let mut judgement = Judgement::default();
        let pages = vec![page(5, &[row(1, 6), row(2, 7)], 5, false), page(5, &[row(1, 6)], 7, false)];
        judge_order("sync", &walk(2, pages), &mut judgement);
        assert_eq!(judgement, Judgement::default());
    }
}
