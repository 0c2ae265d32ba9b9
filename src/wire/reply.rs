//! Small answers of the REST API: created events and rooms, registrations, tokens, errors (protocol.md, section 1).
//!
//! Errors name what is missing and never quote the answer: it may hold a token.

use std::time::Duration;

use serde_json::Value;

use super::Position;
use crate::secret::Secret;

/// Ids and names are kept for as long as the run lasts, and no server has longer ones (ours; a UUID has 36 bytes).
pub const ID_MAX: usize = 256;

/// A token that is longer fits into no header (ours).
const TOKEN_MAX: usize = 16 * 1024;

/// The answer to a publish; neither field is to be relied on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// `data.id`, unless it is longer than [`ID_MAX`].
    pub id: Option<Box<str>>,
    /// `data.stream_position`
    pub position: Option<Position>,
}

/// The answer of `POST /v1/auth/token` and `/refresh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReply {
    /// `access_token`
    pub access: Secret,
    /// `refresh_token`; absent: keep the one in hand.
    pub refresh: Option<Secret>,
    /// `expires_in`; absent: the documented 1 h is the best guess.
    pub life: Option<Duration>,
}

/// The answer of `POST /v1/auth/register`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// `data.participant_id`
    pub participant_id: Box<str>,
    /// `data.tenant_id`: the tenant of the identity, whatever the token claims.
    pub tenant_id: Box<str>,
}

/// Why an answer cannot be used; completes "failed to read the answer: …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Broken syntax, or cut off.
    #[error("it is not JSON")]
    NotJson,
    /// A field that must be there is absent or of another shape.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A field that is kept is longer than anything that makes sense.
    #[error("its {0} is too long")]
    TooLong(&'static str),
}

impl Created {
    /// Reads `{"data":{"id":…,"stream_position":…}}`, or the same bare; what cannot be read is absent.
    pub fn parse(body: &[u8]) -> Self {
        let Ok(answer) = Answer::parse(body) else { return Self::default() };
        Self {
            id: answer.short("id", ID_MAX).ok().map(Into::into),
            position: answer.data().get("stream_position").and_then(Value::as_u64),
        }
    }
}

impl TokenReply {
    /// Reads a token answer, wrapped in `data` or bare: the pages disagree.
    ///
    /// # Errors
    /// When it is not JSON, has no `access_token`, or a token that is too long.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let answer = Answer::parse(body)?;
        Ok(Self {
            access: Secret::new(answer.short("access_token", TOKEN_MAX)?),
            refresh: answer.optional("refresh_token", TOKEN_MAX)?.map(Secret::new),
            life: answer
                .data()
                .get("expires_in")
                .and_then(Value::as_f64)
                .and_then(|secs| Duration::try_from_secs_f64(secs).ok()),
        })
    }
}

/// Whether an answer has its fields in `data`; of token answers the pages disagree.
pub fn is_wrapped(body: &[u8]) -> bool {
    Answer::parse(body).is_ok_and(|Answer(answer)| answer.get("data").is_some_and(Value::is_object))
}

impl Registered {
    /// Reads `{"data":{"participant_id":…,"tenant_id":…}}`, or the same bare.
    ///
    /// # Errors
    /// When it is not JSON, lacks one of the two, or one is longer than [`ID_MAX`].
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let answer = Answer::parse(body)?;
        Ok(Self {
            participant_id: answer.short("participant_id", ID_MAX)?.into(),
            tenant_id: answer.short("tenant_id", ID_MAX)?.into(),
        })
    }
}

/// Reads the id of a new room, `data.id`.
///
/// # Errors
/// When the answer is not JSON or has no `id`, or one longer than [`ID_MAX`].
pub fn room_id(body: &[u8]) -> Result<Box<str>, ReplyError> {
    Answer::parse(body)?.short("id", ID_MAX).map(Into::into)
}

/// Reads `error.code` of a failure, if it is one of ScaiWave's own (`SW_…`); cut at 64 bytes.
pub fn error_code(body: &[u8]) -> Option<Box<str>> {
    let Answer(answer) = Answer::parse(body).ok()?;
    let code = answer.get("error")?.get("code")?.as_str()?;
    code.starts_with("SW_").then(|| code[..code.floor_char_boundary(64)].into())
}

struct Answer(Value);

impl Answer {
    fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        serde_json::from_slice(body).map(Self).map_err(|_| ReplyError::NotJson)
    }

    fn data(&self) -> &Value {
        self.0.get("data").filter(|data| data.is_object()).unwrap_or(&self.0)
    }

    /// A text that must be there and is not longer than `most` bytes.
    fn short(&self, key: &'static str, most: usize) -> Result<&str, ReplyError> {
        self.optional(key, most)?.ok_or(ReplyError::Missing(key))
    }

    /// A text that may be absent; an empty one is.
    fn optional(&self, key: &'static str, most: usize) -> Result<Option<&str>, ReplyError> {
        let text = self.data().get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.len() > most) {
            return Err(ReplyError::TooLong(key));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_event_is_read_wrapped_or_bare_or_not_at_all() {
        let created = Created { id: Some("e1".into()), position: Some(7) };
        assert_eq!(Created::parse(br#"{"data":{"id":"e1","stream_position":7},"meta":{}}"#), created);
        assert_eq!(Created::parse(br#"{"id":"e1","stream_position":7}"#), created);
        for other in [r#"{"data":{}}"#, r#"{"data":{"id":5,"stream_position":"7"}}"#, "ok", "[]", "null"] {
            assert_eq!(Created::parse(other.as_bytes()), Created::default(), "{other}");
        }
    }

    #[test]
    fn tokens_are_read_wrapped_or_bare_and_do_not_print() {
        let bare = br#"{"access_token":"eyJ","refresh_token":"r","token_type":"bearer","expires_in":3600}"#;
        let reply = TokenReply::parse(bare).expect("tokens");
        assert_eq!(reply.access.expose(), "eyJ");
        assert_eq!(reply.refresh.as_ref().map(Secret::expose), Some("r"));
        assert_eq!(reply.life, Some(Duration::from_secs(3600)));
        assert!(!format!("{reply:?}").contains("eyJ"));
        let wrapped = TokenReply::parse(br#"{"data":{"access_token":"eyJ"}}"#).expect("tokens");
        assert!(!is_wrapped(bare) && is_wrapped(br#"{"data":{"access_token":"eyJ"}}"#));
        assert_eq!((wrapped.access.expose(), wrapped.refresh, wrapped.life), ("eyJ", None, None));
    }

    #[test]
    fn an_answer_without_a_token_is_refused_without_being_quoted() {
        let error = TokenReply::parse(br#"{"access_token":17,"secret":"eyJ"}"#).expect_err("no token");
        assert_eq!(error, ReplyError::Missing("access_token"));
        assert_eq!(error.to_string(), "it has no access_token");
        assert_eq!(TokenReply::parse(b"eyJ"), Err(ReplyError::NotJson));
        let negative = TokenReply::parse(br#"{"access_token":"a","expires_in":-5}"#).expect("tokens");
        assert_eq!(negative.life, None);
    }

    #[test]
    fn registrations_and_rooms_are_read() {
        let body = br#"{"data":{"participant_id":"p","tenant_id":"t","display_name":"d"}}"#;
        let registered = Registered { participant_id: "p".into(), tenant_id: "t".into() };
        assert_eq!(Registered::parse(body), Ok(registered));
        assert_eq!(
            Registered::parse(br#"{"data":{"tenant_id":"t"}}"#),
            Err(ReplyError::Missing("participant_id"))
        );
        assert_eq!(room_id(br#"{"data":{"id":"r"}}"#), Ok("r".into()));
        assert_eq!(room_id(br#"{"data":{"id":""}}"#), Err(ReplyError::Missing("id")));
    }

    #[test]
    fn what_is_kept_has_a_longest_length() {
        let id = |length: usize| {
            format!(r#"{{"data":{{"id":"{0}","participant_id":"{0}","tenant_id":"t"}}}}"#, "x".repeat(length))
        };
        let (good, long) = (id(ID_MAX), id(ID_MAX + 1));
        assert_eq!(Created::parse(good.as_bytes()).id.map(|id| id.len()), Some(ID_MAX));
        assert_eq!(Created::parse(long.as_bytes()).id, None);
        assert_eq!(room_id(good.as_bytes()).map(|id| id.len()), Ok(ID_MAX));
        assert_eq!(room_id(long.as_bytes()), Err(ReplyError::TooLong("id")));
        assert_eq!(Registered::parse(long.as_bytes()), Err(ReplyError::TooLong("participant_id")));
        let tokens = |access, refresh| {
            let (access, refresh) = ("a".repeat(access), "r".repeat(refresh));
            let body = format!(r#"{{"access_token":"{access}","refresh_token":"{refresh}"}}"#);
            TokenReply::parse(body.as_bytes()).map(|reply| reply.refresh.map(|token| token.expose().len()))
        };
        assert_eq!(tokens(TOKEN_MAX, TOKEN_MAX), Ok(Some(TOKEN_MAX)));
        assert_eq!(tokens(TOKEN_MAX + 1, 1), Err(ReplyError::TooLong("access_token")));
        assert_eq!(tokens(1, TOKEN_MAX + 1), Err(ReplyError::TooLong("refresh_token")));
        assert_eq!(tokens(1, 0), Ok(None));
    }

    #[test]
    fn only_scaiwaves_own_codes_are_codes() {
        let code = |body: &str| error_code(body.as_bytes());
        assert_eq!(
            code(r#"{"error":{"code":"SW_NOT_MEMBER","message":"m"}}"#).as_deref(),
            Some("SW_NOT_MEMBER")
        );
        assert_eq!(code(r#"{"error":{"code":"upstream"}}"#), None);
        assert_eq!(code(r#"{"error":"SW_NOT_MEMBER"}"#), None);
        assert_eq!(code("<html>502</html>"), None);
        let long = format!(r#"{{"error":{{"code":"SW_{}"}}}}"#, "é".repeat(100));
        assert!(code(&long).is_some_and(|code| code.len() <= 64));
    }
}
