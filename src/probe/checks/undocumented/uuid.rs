//! What the answer to a publish holds, and what a repeated `event_uuid` makes: clients repeat a publish that was not answered.

use std::collections::BTreeSet;
use std::rc::Rc;

use ::uuid::Uuid;
use serde_json::Value;

use super::{SIDE, bridger, publishers};
use crate::driver::api;
use crate::driver::http::{Answer, Call, Trouble};
use crate::probe::checks::sync::{LIMIT, spacing, walk};
use crate::probe::judgement::{Judgement, Observation};
use crate::probe::path::{Path, TALK, trouble_words};
use crate::wire::{CONTENT_MIN, Created, RawStamp, error_code, send_body};

/// The number of the repeated event, above all that the stream's check publishes.
const N: u32 = 1_000;

/// Sends one event four times: two in a row, then two on connections of their own, without cookies.
pub(super) async fn observe(path: &Rc<Path>, judgement: &mut Judgement) {
    let member = publishers(path, 1)[0];
    let (run, now) = (path.run.hyphenated().to_string(), path.now().as_nanos());
    let stamp = RawStamp { run: &run, room: SIDE, n: Some(N), due_ns: now, sent_ns: now };
    let mut body = String::new();
    send_body(&stamp, Uuid::new_v5(&path.run, b"probe/repeated"), CONTENT_MIN, &mut body);
    let way = api::send(&path.provisioned.rooms[TALK as usize]);
    let mut answers = Vec::new();
    for anew in [false, false, true, true] {
        path.sleep(spacing(path)).await;
        path.count_publish();
        let call = Call::post(&way, body.clone());
        answers.push(if anew {
            path.ask_anew(member, call, api::ANSWER_BYTES).await
        } else {
            path.ask(member, call, api::ANSWER_BYTES).await
        });
    }
    judgement.observed(reply(answers.first()));
    let from = path.provisioned.positions[0];
    let walk = walk(path, bridger(path), from, LIMIT).await;
    let stored: BTreeSet<_> =
        walk.rows().filter(|row| row.is(SIDE, N)).map(|row| (row.id.clone(), row.position)).collect();
    judgement.observed(repeats(&answers, stored.len()));
}

/// `id` and `stream_position` are expected, and to be relied on nowhere.
fn reply(answer: Option<&Result<Answer, Trouble>>) -> Observation {
    const TOPIC: &str = "send-reply";
    let answer = match answer {
        Some(Ok(answer)) => answer,
        Some(Err(trouble)) => return Observation::unseen(TOPIC, trouble_words(trouble)),
        None => return Observation::unseen(TOPIC, "nothing was sent"),
    };
    if !answer.is_success() {
        return Observation::unseen(TOPIC, format!("a publish was answered {}", answer.status));
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (place, fields) = match body.get("data").filter(|data| data.is_object()) {
        Some(data) => ("data", data),
        None => ("the answer itself", &body),
    };
    let has = |key: &str| if fields.get(key).is_some_and(|own| !own.is_null()) { "has" } else { "lacks" };
    Observation::new(
        TOPIC,
        format!(
            "answered {}; {place} {} id and {} stream_position",
            answer.status,
            has("id"),
            has("stream_position")
        ),
    )
}

fn repeats(answers: &[Result<Answer, Trouble>], stored: usize) -> Observation {
    let mut ids = BTreeSet::new();
    let words: Vec<String> = answers
        .iter()
        .map(|answer| match answer {
            Ok(answer) if answer.is_success() => {
                ids.insert(Created::parse(&answer.body).id);
                answer.status.to_string()
            }
            Ok(answer) => match error_code(&answer.body) {
                Some(code) => format!("{} {code}", answer.status),
                None => answer.status.to_string(),
            },
            Err(trouble) => trouble_words(trouble),
        })
        .collect();
    let times = match stored {
        0 => "and it is not in sync".to_owned(),
        1 => "and it is stored once".to_owned(),
        more => format!("and it is stored {more} times"),
    };
    Observation::new(
        "event-uuid",
        format!(
            "one event_uuid sent four times (twice in a row, twice on new connections without cookies): answered {}, with {} ids; \
             {times}",
            words.join(", "),
            ids.len()
        ),
    )
    .with("stored", stored as f64)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<Answer, Trouble> {
        let body = Bytes::from_static(body.as_bytes());
        Ok(Answer { status, body, cookies: Vec::new(), pod: None, headers: HeaderMap::new() })
    }

    #[test]
    fn what_the_answer_has_is_told_wherever_it_has_it() {
        let told = |body| reply(Some(&answer(201, body))).what;
        let whole = told(r#"{"data":{"id":"e","stream_position":7}}"#);
        assert_eq!(whole, "answered 201; data has id and has stream_position");
        assert_eq!(told(r#"{"id":"e"}"#), "answered 201; the answer itself has id and lacks stream_position");
        assert!(!reply(Some(&answer(429, ""))).seen);
    }

    #[test]
    fn repeats_are_told_by_their_answers_and_by_what_is_stored() {
        let same = || answer(200, r#"{"data":{"id":"e"}}"#);
        let once = repeats(&[same(), same()], 1).what;
        assert!(once.ends_with("answered 200, 200, with 1 ids; and it is stored once"), "{once}");
        let twice = repeats(&[same(), answer(200, r#"{"data":{"id":"f"}}"#)], 2);
        assert!(twice.what.contains("with 2 ids; and it is stored 2 times"), "{twice:?}");
        let conflict = repeats(&[same(), answer(409, r#"{"error":{"code":"SW_X"}}"#)], 1);
        assert!(conflict.what.contains("200, 409 SW_X"), "{conflict:?}");
    }
}
