//! Against a server of one answer, and over what a file keeps.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use uuid::Uuid;

use super::super::identities::Kept;
use super::sign_in::expiry;
use super::*;
use crate::plan::Population;
use crate::profile::{self, AuthMode};

fn tokens() -> Rc<Tokens> {
    let clock = Clock::start();
    let population = Population::new(&profile::Population {
        tenants: 1,
        clients: 2,
        members_per_room: 2,
        rooms_per_tenant: None,
        rooms_per_client: 1,
        ..profile::Population::default()
    });
    let (key, life) = (Secret::new("key"), Duration::from_secs(3600));
    let minter = Minter::new(&key, Uuid::nil(), population, clock.epoch_unix_s(), life);
    let agent = HeaderValue::from_static("wavesoak/0 (test)");
    Rc::new(Tokens::new(clock, Source::Minted(minter), agent, Duration::from_secs(60), 2))
}

fn sign_in(tokens: &Rc<Tokens>) {
    let endpoint = Rc::new(Endpoint::parse("http://127.0.0.1:9").expect("a good URL"));
    let signed_in = tokens.sign_in(0, &endpoint).now_or_never().expect("nobody to ask");
    signed_in.expect("nobody to refuse");
}

/// Against a server that answers one request and takes no second.
fn with_server<R>(answer: &'static str, play: impl AsyncFnOnce(Rc<Endpoint>) -> R) -> R {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let endpoint = Rc::new(Endpoint::parse(&format!("http://{address}")).expect("a good URL"));
        endpoint.resolve().await.expect("an address");
        spawn_local(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            drop(listener);
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).await.expect("a request") > 0);
            socket.write_all(answer.as_bytes()).await.expect("an open connection");
        });
        play(endpoint).await
    })
}

/// Asks for two refreshes of client 0 at once.
fn refreshed_twice(tokens: &Rc<Tokens>, answer: &'static str) -> [Result<TokenLife, RefreshTrouble>; 2] {
    with_server(answer, async |endpoint| {
        let (one, two) = (tokens.refresh(0, Rc::clone(&endpoint)), tokens.refresh(0, endpoint));
        let (one, two) = futures::join!(one, two);
        [one, two]
    })
}

/// The answer of a server that gives the tokens `new` and `newer`.
fn new_pair() -> &'static str {
    let body = r#"{"data":{"access_token":"new","refresh_token":"newer","expires_in":60}}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Box::leak(answer.into_boxed_str())
}

#[test]
fn two_who_ask_at_once_are_answered_by_one_refresh() {
    let tokens = tokens();
    sign_in(&tokens);
    let before = tokens.access(0);
    assert_eq!(before.expose(), tokens.access(0).expose(), "the token in hand stays the same");
    let [one, two] = refreshed_twice(&tokens, new_pair());
    assert_eq!(one, two);
    assert_eq!(one.expect("refreshed").life, Duration::from_secs(60));
    assert_eq!(tokens.access(0).expose(), "new");
    assert_ne!(tokens.access(1).expose(), "new", "another identity's");
}

#[test]
fn the_answer_to_someone_who_has_left_is_taken_in_all_the_same() {
    let tokens = tokens();
    sign_in(&tokens);
    with_server(new_pair(), async |endpoint| {
        let left = tokens.refresh(0, endpoint);
        assert!(left.clone().now_or_never().is_none(), "asked, and not answered at once");
        drop(left);
        tokens.finish().await;
    });
    assert_eq!(tokens.access(0).expose(), "new");
}

/// One identity of a file of this mode and row.
fn from_file(place: &std::path::Path, mode: AuthMode, row: &str) -> Rc<Tokens> {
    let path = place.join("people.csv");
    let head = match mode {
        AuthMode::Tokens => "tenant_id,access_token,refresh_token",
        _ => "tenant_id,username,password",
    };
    #[expect(clippy::disallowed_methods, reason = "credentials are a file")]
    std::fs::write(&path, format!("{head}\n{row}\n")).expect("written");
    let population = Population::new(&profile::Population {
        tenants: 1,
        clients: 1,
        members_per_room: 1,
        rooms_per_tenant: None,
        rooms_per_client: 1,
        ..profile::Population::default()
    });
    let identities = Identities::load(&path, mode, &population).expect("one row");
    let agent = HeaderValue::from_static("wavesoak/0 (test)");
    let source = Source::Identities(identities);
    Rc::new(Tokens::new(Clock::start(), source, agent, Duration::from_secs(60), 1))
}

fn kept(tokens: &Tokens) -> Option<Kept> {
    let Source::Identities(identities) = &tokens.source else { panic!("of a file") };
    identities.kept(0)
}

#[test]
fn who_is_interrupted_while_signing_in_keeps_the_token_that_comes() {
    let place = tempfile::tempdir().expect("a place");
    let tokens = from_file(place.path(), AuthMode::Tokens, "acme,expired,old");
    with_server(new_pair(), async |endpoint| {
        let mut signing_in = Box::pin(tokens.sign_in(0, &endpoint));
        assert!((&mut signing_in).now_or_never().is_none(), "asked, and not answered at once");
        drop(signing_in);
        tokens.finish().await;
    });
    let Some(Kept::Unused(token)) = kept(&tokens) else { panic!("it was spent for nothing") };
    assert_eq!(token.expose(), "newer");
}

#[test]
fn a_token_that_something_on_the_way_has_refused_is_not_given_up() {
    let forbidden = "HTTP/1.1 403 No\r\nContent-Length: 13\r\n\r\n<html></html>";
    let refused = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    for (answer, still) in [(forbidden, true), (refused, false)] {
        let place = tempfile::tempdir().expect("a place");
        let tokens = from_file(place.path(), AuthMode::Tokens, "acme,expired,old");
        with_server(answer, async |endpoint| tokens.sign_in(0, &endpoint).await.expect_err("refused"));
        assert_eq!(matches!(kept(&tokens), Some(Kept::UnderWay(_))), still, "{answer}");
    }
}

#[test]
fn an_access_token_that_tells_no_end_is_used_where_there_is_no_other() {
    let place = tempfile::tempdir().expect("a place");
    let tokens = from_file(place.path(), AuthMode::Tokens, "acme,opaque,");
    sign_in(&tokens);
    assert_eq!((tokens.access(0).expose(), tokens.life(0).life), ("opaque", DEFAULT_LIFE));
    assert_eq!(tokens.signed_in(), SignedIn { given: 1, ..SignedIn::default() });
}

#[test]
fn a_refused_refresh_is_told_from_an_unanswered_one() {
    for (answer, trouble) in [
        ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Refused),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 42\r\n\r\n{\"error\":{\"code\":\"SW_AUTH_INVALID_TOKEN\"}}",
            RefreshTrouble::Refused,
        ),
        // Whatever guards the way has said this, and not ScaiWave.
        ("HTTP/1.1 403 No\r\nContent-Length: 13\r\n\r\n<html></html>", RefreshTrouble::Answered(403)),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Answered(502)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", RefreshTrouble::Unanswered),
        ("", RefreshTrouble::Unanswered),
    ] {
        let tokens = tokens();
        sign_in(&tokens);
        let before = tokens.access(0);
        assert_eq!(refreshed_twice(&tokens, answer), [Err(trouble), Err(trouble)], "{answer:?}");
        assert_eq!(tokens.access(0).expose(), before.expose(), "the old one is kept");
    }
}

#[test]
fn an_expired_token_is_expired_and_nobody_is_told() {
    let tokens = tokens();
    sign_in(&tokens);
    let (life, good) = (tokens.life(0), expiry(&tokens.access(0)).expect("a JWT"));
    tokens.expire(0);
    let now = tokens.clock.epoch_unix_s();
    assert!(expiry(&tokens.access(0)).expect("a JWT") < now && good > now);
    assert_eq!(tokens.life(0), life);
}
