//! "/v1/sync?since=…", page after page. A known run of events is read in one go, in pages of one and of two by `next_cursor`,
//! and from the position of each of its events: what does a page border lose, and what comes again?

use std::rc::Rc;
use std::time::Duration;

use super::order::{judge_end, judge_order, judge_repeats, name, tell, told};
use super::{
    LIMIT, Page, ROOM, Refusal, Row, Run, Walk, anchor, ask::End, bridger, page, spacing, walk, walk_to,
};
use crate::probe::judgement::{Finding, Judgement, Observation};
use crate::probe::path::Path;
use crate::wire::Position;

/// Events of the run: enough for borders of either kind.
const EVENTS: u32 = 7;

/// Between two looks at a sync that does not have everything yet.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug)]
struct Read {
    /// In one page.
    whole: Walk,
    /// In small ones.
    walks: Vec<Walk>,
    /// From the position of each event, two events.
    after: Vec<Result<Page, Refusal>>,
    /// From the end.
    beyond: Result<Page, Refusal>,
}

/// Reads a run of events in several ways.
pub(in super::super) async fn examine(path: &Rc<Path>) -> Judgement {
    let _floor = path.floor.lock().await;
    match gather(path).await {
        Ok(read) => judge(&read),
        Err(why) => {
            let mut judgement = Judgement::default();
            judgement.unclear(why);
            judgement
        }
    }
}

async fn gather(path: &Rc<Path>) -> Result<Read, String> {
    let client = bridger(path);
    let base = anchor(path).await?;
    let run = Run::publish(path, EVENTS).await;
    if let Some(why) = run.trouble(3) {
        return Err(why);
    }
    let whole = settled(path, client, base.position, &run).await;
    let ours: Vec<Position> =
        whole.rows().filter(|row| is_ours(row)).filter_map(|row| row.position).collect();
    let end = ours.iter().copied().max().unwrap_or(base.position);
    let mut walks = Vec::new();
    for limit in [1, 2] {
        walks.push(walk_to(path, client, base.position, limit, end).await);
    }
    let mut after = Vec::new();
    for position in ours {
        after.push(page(path, client, position, 2, Duration::ZERO).await);
    }
    let beyond = page(path, client, end, 2, Duration::ZERO).await;
    Ok(Read { whole, walks, after, beyond })
}

/// The whole run in large pages, when sync has all of it: whether it has it at once is asked elsewhere.
async fn settled(path: &Rc<Path>, client: u32, from: Position, run: &Run) -> Walk {
    let until = path.now() + path.lateness_bound();
    loop {
        let whole = walk(path, client, from, LIMIT).await;
        let has_all = run.numbers().iter().all(|&n| whole.has(ROOM, n));
        if has_all || whole.end != End::Done || path.now() >= until {
            return whole;
        }
        path.sleep(PAUSE.max(spacing(path))).await;
    }
}

fn judge(read: &Read) -> Judgement {
    let mut judgement = Judgement::default();
    if !judge_end("sync in one page", &read.whole, &mut judgement) {
        return judgement;
    }
    let whole: Vec<&Row> = read.whole.rows().filter(|row| is_ours(row)).collect();
    if whole.iter().any(|row| row.position.is_none()) {
        judgement.unclear("events in sync have no stream_position: no page border can be told");
        return judgement;
    }
    judge_order("sync in one page", &read.whole, &mut judgement);
    if let Ok(beyond) = &read.beyond {
        let last = Walk { limit: 2, pages: vec![beyond.clone()], end: End::Done };
        judge_order("sync from the end", &last, &mut judgement);
    }
    judge_since(read, &whole, &mut judgement);
    for walk in &read.walks {
        judge_walk(walk, &whole, &mut judgement);
    }
    observe(read, &mut judgement);
    if judgement.findings.is_empty() && judgement.unclear.is_empty() {
        judgement.saw(format!(
            "{} events come once each, in order, in pages of 1, of 2 and of {LIMIT}; since is exclusive: from the position of each \
             event the next page begins with the one behind it",
            whole.len()
        ));
    }
    judgement
}

fn is_ours(row: &Row) -> bool {
    matches!(row.ours, Some((ROOM, Some(_))))
}

/// From the position of an event comes the one behind it, and not itself.
fn judge_since(read: &Read, whole: &[&Row], judgement: &mut Judgement) {
    let mut pages = Vec::new();
    for answer in &read.after {
        match answer {
            Ok(page) => pages.push(page.clone()),
            Err(refusal) => return refusal.judge("sync from the position of an event", judgement),
        }
    }
    // Each page is a question of its own: what two of them return is no repetition.
    for page in &pages {
        judge_repeats("sync", std::slice::from_ref(page), judgement);
    }
    let mut skipped = Vec::new();
    for page in &pages {
        let Some(next) = whole.iter().find(|row| row.position > Some(page.since)) else { continue };
        let came = page.rows.iter().any(|row| row.id == next.id && row.position == next.position);
        let newer = page.rows.iter().any(|row| row.position > next.position);
        // A page of two that is filled by what lies at `since` and below may not have got as far.
        if !came && (newer || page.rows.is_empty()) {
            skipped.push(format!(
                "since={} did not return {}, which is the next one",
                page.since,
                name(next)
            ));
        }
    }
    let finding = Finding::new(
        "since-skips",
        "sync leaves out the event right behind `since`",
        "A client that bridges from its last position loses one event each time: since must be compared with >, not with an \
         offset of its own.",
    );
    tell(finding, &skipped, judgement);
}

/// Small pages by `next_cursor` against the one large page.
fn judge_walk(walk: &Walk, whole: &[&Row], judgement: &mut Judgement) {
    let asked = format!("sync with limit={}", walk.limit);
    if !judge_end(&asked, walk, judgement) {
        return;
    }
    judge_order(&asked, walk, judgement);
    judge_repeats(&asked, &walk.pages, judgement);
    let came = |row: &Row| walk.rows().any(|own| own.id == row.id && own.position == row.position);
    let (mut skipped, mut cut_short) = (Vec::new(), Vec::new());
    for row in whole.iter().filter(|row| !came(row)) {
        let border = walk.pages.windows(2).find(|pair| {
            pair[0].highest() < row.position && row.position <= pair[0].next_cursor && pair[0].has_more
        });
        match border {
            Some([before, _]) => skipped.push(format!(
                "{asked}: {} was skipped: the page since={} ended at {} and gave next_cursor {}",
                name(row),
                before.since,
                told(before.highest()),
                told(before.next_cursor)
            )),
            _ if row.position > walk.cursor() => cut_short.push(format!(
                "{asked}: {} never came: the page since={} said that there was no more",
                name(row),
                walk.pages.last().map_or(0, |page| page.since)
            )),
            _ => skipped.push(format!("{asked}: {} came in no page", name(row))),
        }
    }
    let borders: Vec<&Page> = walk.pages.iter().filter(is_border).collect();
    if skipped.is_empty() && cut_short.is_empty() && !repeats(walk) && is_one_past(&borders) {
        skipped.push(format!(
            "{asked}: all {} page borders gave the position behind the last event returned as next_cursor (nothing lay there this \
             time)",
            borders.len()
        ));
    }
    let finding = Finding::new(
        "cursor-skips",
        "a page border skips an event: next_cursor lies past the last event returned",
        "With an exclusive since the next page leaves out whatever lies between: next_cursor must be the position of the last \
         event returned. Until then let clients page by the highest position they received.",
    );
    tell(finding, &skipped, judgement);
    let finding = Finding::new(
        "pages-end-early",
        "sync says that there is no more, and there is",
        "A client that bridges stops there and goes live: has_more must be true whenever the limit cut a page.",
    );
    tell(finding, &cut_short, judgement);
}

/// It has events, and there is more.
fn is_border(page: &&Page) -> bool {
    page.has_more && page.highest().is_some()
}

/// At every border the cursor is one past the last event: that is counted, and not known. A server that looks through the
/// whole tenant gives what it has looked at so far, which lies past by as much as others publish, and skips nothing.
fn is_one_past(borders: &[&Page]) -> bool {
    let one_past = |page: &&Page| page.next_cursor == page.highest().map(|highest| highest + 1);
    borders.len() > 1 && borders.iter().all(one_past)
}

/// Its pages begin at the event that `since` names: then a cursor past the last event is right.
fn repeats(walk: &Walk) -> bool {
    walk.pages.iter().any(|page| page.rows.iter().any(|row| row.position == Some(page.since)))
}

/// What the page on sync can be read as in two ways.
fn observe(read: &Read, judgement: &mut Judgement) {
    let borders: Vec<&Page> =
        read.walks.iter().flat_map(|walk| &walk.pages).filter(|page| page.has_more).collect();
    let at = |offset: u64| {
        let at = |page: &&&Page| page.next_cursor == page.highest().map(|highest| highest + offset);
        borders.iter().filter(at).count()
    };
    judgement.observed(Observation::new(
        "next-cursor",
        format!(
            "of {} page borders, next_cursor was the last position returned at {}, that + 1 at {}",
            borders.len(),
            at(0),
            at(1)
        ),
    ));
    if let Ok(page) = &read.beyond
        && page.rows.is_empty()
    {
        let what = match page.next_cursor {
            Some(next) if next == page.since => "since itself".to_owned(),
            Some(next) => format!("{next} for since={}", page.since),
            None => "absent or null".to_owned(),
        };
        judgement
            .observed(Observation::new("next-cursor-empty", format!("of a page without events: {what}")));
    }
    let over = read.walks.iter().flat_map(|walk| walk.pages.iter().map(move |page| (walk.limit, page)));
    let over = over.filter(|(limit, page)| page.rows.len() > *limit as usize).count();
    if over > 0 {
        judgement.observed(Observation::new("limit", format!("{over} pages had more events than limit")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::tests::{page, row, walk};
    use super::*;
    use crate::probe::judgement::Outcome;

    /// Three events at 6, 7, 8 behind 5, read as a good server has them; `ahead`: how far its cursor lies past.
    fn read(ahead: Position) -> Read {
        let rows = [row(1, 6), row(2, 7), row(3, 8)];
        let small = |limit: usize| {
            let (mut cursor, mut pages) = (5, Vec::new());
            loop {
                let left: Vec<Row> = rows.iter().filter(|row| row.position > Some(cursor)).cloned().collect();
                let has_more = left.len() > limit;
                let own = &left[..left.len().min(limit)];
                let last = own.last().and_then(|row| row.position).unwrap_or(cursor);
                let next = last + if has_more { ahead } else { 0 };
                pages.push(page(cursor, own, next, has_more));
                cursor = next;
                if !has_more {
                    return walk(limit as u32, pages);
                }
            }
        };
        let after = (6..9).map(|since| {
            let behind: Vec<Row> = rows.iter().filter(|row| row.position > Some(since)).cloned().collect();
            Ok(page(since, &behind[..behind.len().min(2)], 8, false))
        });
        Read {
            whole: walk(LIMIT, vec![page(5, &rows, 8, false)]),
            walks: vec![small(1), small(2)],
            after: after.collect(),
            beyond: Ok(page(8, &[], 8, false)),
        }
    }

    fn names(read: &Read) -> Vec<&'static str> {
        judge(read).findings.iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn last_returned_is_safe_and_last_plus_one_names_the_event_it_skips() {
        let good = judge(&read(0));
        assert_eq!(good.outcome(), Outcome::Healthy, "{good:?}");
        assert!(
            good.observed[0].what.contains("of 3 page borders") && good.observed[0].what.contains("at 3, ")
        );
        let skips = judge(&read(1));
        assert_eq!(skips.findings[0].name, "cursor-skips");
        let line =
            "event 2 (id e2, position 7) was skipped: the page since=5 ended at 6 and gave next_cursor 7";
        assert!(skips.findings[0].evidence[0].contains(line), "{skips:?}");
    }

    /// Events at 6, 9 and 12, in pages of one whose cursors lie at these positions; between the events there is nothing.
    fn sparse(cursors: [Position; 2]) -> Read {
        let mut sparse = read(0);
        let rows = [row(1, 6), row(2, 9), row(3, 12)];
        sparse.whole = walk(LIMIT, vec![page(5, &rows, 12, false)]);
        sparse.after.clear();
        let [first, second] = cursors;
        let pages = vec![
            page(5, &rows[..1], first, true),
            page(first, &rows[1..2], second, true),
            page(second, &rows[2..], 12, false),
        ];
        sparse.walks = vec![walk(1, pages)];
        sparse
    }

    #[test]
    fn a_cursor_that_is_always_one_past_the_last_event_is_a_finding_though_nothing_lay_there() {
        assert_eq!(names(&sparse([7, 10])), ["cursor-skips"]);
    }

    #[test]
    fn a_cursor_past_what_others_published_in_a_busy_tenant_is_none() {
        assert_eq!(names(&sparse([8, 10])), [""; 0]);
        assert_eq!(names(&sparse([6, 10])), [""; 0]);
    }

    #[test]
    fn an_end_where_others_have_published_meanwhile_says_nothing_of_empty_pages() {
        let mut busy = read(0);
        let foreign = Row { ours: None, ..row(9, 11) };
        busy.beyond = Ok(page(8, &[foreign], 11, false));
        let told = judge(&busy);
        assert!(told.observed.iter().all(|own| own.topic != "next-cursor-empty"), "{told:?}");
    }

    #[test]
    fn an_inclusive_since_and_a_skipping_one_are_told_apart() {
        let mut inclusive = read(0);
        inclusive.after[0] = Ok(page(6, &[row(1, 6), row(2, 7)], 7, true));
        assert_eq!(names(&inclusive), ["since-inclusive"]);
        let mut skipping = read(0);
        skipping.after[0] = Ok(page(6, &[row(3, 8)], 8, false));
        assert_eq!(names(&skipping), ["since-skips"]);
    }

    #[test]
    fn pages_that_end_early_are_no_skips() {
        let mut early = read(0);
        early.walks[1].pages.truncate(1);
        early.walks[1].pages[0].has_more = false;
        assert_eq!(names(&early), ["pages-end-early"]);
    }
}
