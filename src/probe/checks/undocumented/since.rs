//! The answer to a `since` that no client should send, and what it says of retention.

use std::rc::Rc;

use super::bridger;
use crate::driver::api;
use crate::driver::http::Call;
use crate::probe::checks::sync::{Page, Refusal, read};
use crate::probe::judgement::{Judgement, Observation};
use crate::probe::path::Path;
use crate::wire::Position;

/// Far above anything that a tenant has (ours).
const FUTURE: Position = 1_000_000_000_000_000;

/// Asks from everywhere; `now` is a position of moments ago.
pub(super) async fn observe(path: &Rc<Path>, now: Position, judgement: &mut Judgement) {
    let mut oldest = None;
    for (topic, since) in [
        ("since-zero", "since=0".to_owned()),
        ("since-too-old", "since=1".to_owned()),
        ("since-absent", String::new()),
        ("since-negative", "since=-1".to_owned()),
        ("since-future", format!("since={FUTURE}")),
    ] {
        let way = format!("/v1/sync?{since}{}limit=1&timeout=0", if since.is_empty() { "" } else { "&" });
        let asked = path.now();
        let answer = path.ask(bridger(path), Call::get(&way), api::page_bytes(1)).await;
        let asked_from = if topic == "since-future" { FUTURE } else { 0 };
        let answer = read(path, answer, asked_from, asked, false);
        if topic == "since-zero" {
            oldest = Some(answer.clone());
        }
        let since = if since.is_empty() { "without since".to_owned() } else { since };
        judgement.observed(Observation::new(topic, format!("{since}: {}", words(&answer))));
    }
    judgement.observed(retention(oldest, now));
}

fn words(answer: &Result<Page, Refusal>) -> String {
    match answer {
        Ok(page) => {
            let first = match page.rows.first() {
                None => "no event".to_owned(),
                Some(row) => row.position.map_or_else(
                    || "an event without a position".to_owned(),
                    |position| format!("an event at {position}"),
                ),
            };
            let next = page.next_cursor.map_or_else(|| "none".to_owned(), |next| next.to_string());
            format!("{first}, next_cursor {next}")
        }
        Err(refusal) => refusal.words(),
    }
}

fn retention(oldest: Option<Result<Page, Refusal>>, now: Position) -> Observation {
    const TOPIC: &str = "retention";
    match oldest {
        Some(Ok(page)) => match page.rows.first().and_then(|row| row.position) {
            Some(oldest) => Observation::new(
                TOPIC,
                format!(
                    "the oldest event that sync has for this identity is at {oldest}, {} positions back; the identity's rooms are \
                     no older than this probe unless others made them",
                    now.saturating_sub(oldest)
                ),
            )
            .with("positions_back", now.saturating_sub(oldest) as f64),
            None => Observation::unseen(TOPIC, "since=0 returns nothing"),
        },
        Some(Err(refusal)) => Observation::new(TOPIC, format!("a replay from since=0 is {}", refusal.words())),
        None => Observation::unseen(TOPIC, "nobody asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::checks::sync::Row;

    #[test]
    fn an_answer_is_told_by_its_first_event_or_its_refusal() {
        let row = Row { position: Some(7), ..Row::default() };
        let page = Page { rows: vec![row], next_cursor: Some(7), ..Page::default() };
        assert_eq!(words(&Ok(page.clone())), "an event at 7, next_cursor 7");
        assert_eq!(words(&Ok(Page::default())), "no event, next_cursor none");
        let gone = Err(Refusal::Status(410, Some("SW_GONE".into())));
        assert_eq!(words(&gone), "answered 410 SW_GONE");
        assert_eq!(retention(Some(Ok(page)), 17).measured["positions_back"], 10.0);
        assert!(retention(Some(gone), 17).what.contains("410 SW_GONE"));
        assert!(!retention(Some(Ok(Page::default())), 17).seen);
    }
}
