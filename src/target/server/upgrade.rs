//! The server's half of a WebSocket handshake (RFC 6455, section 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The headers that answer a well-formed handshake; `None` if it is not one.
pub(super) fn accept<B>(request: &Request<B>) -> Option<HeaderMap> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let well_formed = request.method() == Method::GET
        && lists(headers, UPGRADE.as_str(), "websocket")
        && lists(headers, CONNECTION.as_str(), "upgrade")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16);
    if !well_formed {
        return None;
    }
    let mut answer = HeaderMap::with_capacity(3);
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()).parse().ok()?);
    Some(answer)
}

/// Whether a comma-separated header has this word.
fn lists(headers: &HeaderMap, name: &str, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Request<()> {
        Request::get("/v1/stream")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .expect("a request")
    }

    #[test]
    fn the_sample_of_the_rfc_gets_its_answer() {
        let answer = accept(&handshake()).expect("well formed");
        assert_eq!(answer[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_handshake_with_something_missing_or_wrong_is_none() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "c2hvcnQ="),
            ("sec-websocket-key", "%%%"),
        ] {
            let mut request = handshake();
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            assert_eq!(accept(&request), None, "{name}: {value}");
            request.headers_mut().remove(name);
            assert_eq!(accept(&request), None, "no {name}");
        }
    }
}
