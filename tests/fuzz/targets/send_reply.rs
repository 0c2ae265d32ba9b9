//! Small answers: to a publish, a sign-in, a refresh, a registration, a new room; and what an error says.

use std::time::Duration;

use serde_json::{Value, json};
use wavesoak::profile::BridgeOrder;
use wavesoak::session::{Ending, Input};
use wavesoak::wire::{Created, ID_MAX, Registered, ReplyError, SyncPage, TokenReply, error_code, room_id};

use super::client::{Client, RUN};
use super::oracle::text;
use super::within;

/// The input is the body.
pub fn send_reply(input: &[u8]) {
    let value = serde_json::from_slice::<Value>(input).ok();
    let data = value.as_ref().map(|value| value.get("data").filter(|data| data.is_object()).unwrap_or(value));
    let field = |key| data.and_then(|data| text(data, key)).filter(|text| !text.is_empty());
    // A tree of everything there is: a `Value` takes 32 bytes, an entry of an object some 100.
    let created = within(160, input.len(), || Created::parse(input));
    let position = data.and_then(|data| data.get("stream_position")?.as_u64());
    let id = field("id").filter(|id| id.len() <= ID_MAX);
    assert_eq!((created.id.as_deref(), created.position), (id.as_deref(), position));
    registered(input, field("participant_id"), field("tenant_id"));
    tokens(input, field("access_token"), field("refresh_token"));
    match room_id(input) {
        Ok(id) => assert_eq!(Some(&*id), field("id").as_deref()),
        Err(error) => refused(error, "id", field("id")),
    }
    let said = value.as_ref().and_then(|value| text(value.get("error")?, "code"));
    match (error_code(input), said.filter(|code| code.starts_with("SW_"))) {
        (Some(code), Some(said)) => {
            assert!(said.starts_with(&*code) && code.len() <= 64 && code.len() > 60.min(said.len() - 1))
        }
        (None, None) => {}
        (read, said) => panic!("{read:?} is read, {said:?} is there"),
    }
    within(64, input.len(), || publish(&created));
}

fn registered(input: &[u8], participant_id: Option<String>, tenant_id: Option<String>) {
    match Registered::parse(input) {
        Ok(read) => {
            assert_eq!(Some(&*read.participant_id), participant_id.as_deref());
            assert_eq!(Some(&*read.tenant_id), tenant_id.as_deref());
        }
        Err(error) if participant_id.as_ref().is_some_and(|id| id.len() <= ID_MAX) => {
            refused(error, "tenant_id", tenant_id)
        }
        Err(error) => refused(error, "participant_id", participant_id),
    }
}

fn tokens(input: &[u8], access: Option<String>, refresh: Option<String>) {
    match TokenReply::parse(input) {
        Ok(read) => {
            assert_eq!(Some(read.access.expose()), access.as_deref());
            assert_eq!(read.refresh.as_ref().map(|token| token.expose()), refresh.as_deref());
            let kept = if refresh.is_some() { "Some(***)" } else { "None" };
            let shown = format!("TokenReply {{ access: ***, refresh: {kept}, life: {:?} }}", read.life);
            assert_eq!(format!("{read:?}"), shown, "tokens do not print");
        }
        Err(ReplyError::TooLong("refresh_token")) => {
            assert!(refresh.is_some_and(|token| token.len() > ID_MAX))
        }
        Err(error) => refused(error, "access_token", access),
    }
}

/// The answer lacks a field, and the error says so in few words, none of them the answer's.
fn refused(error: ReplyError, key: &'static str, said: Option<String>) {
    match error {
        ReplyError::NotJson => assert_eq!(said, None),
        ReplyError::Missing(missing) => assert_eq!((missing, said), (key, None)),
        ReplyError::TooLong(long) => assert!(long == key && said.is_some_and(|said| said.len() > ID_MAX)),
    }
    assert!(error.to_string().len() <= 40, "{error}");
}

/// Every publish is answered so; the events come live, by sync, twice, or not at all.
fn publish(created: &Created) {
    let mut client = Client::new(BridgeOrder::SyncFirst);
    client.answer(&SyncPage::default());
    client.hears(r#"{"type":"hello"}"#);
    for n in 0..8 {
        client.publish(created);
        if n != 1 {
            client.hears(&message(n, created));
        }
        client.pass(Duration::from_millis(400), &SyncPage::default());
    }
    client.say(Input::Closed(Ending::Eof));
    client.pass(Duration::from_secs(2), &SyncPage::default());
    client.end();
}

fn message(n: u32, created: &Created) -> String {
    let stamp = json!({ "run": RUN, "room": 0, "n": n, "due_ns": 1, "sent_ns": 2 });
    let position = created.position.map(|position| position.saturating_add(u64::from(n) / 3));
    json!({
        "type": "swp.room.message", "id": created.id, "stream_position": position,
        "content": { "wavesoak": stamp },
    })
    .to_string()
}
