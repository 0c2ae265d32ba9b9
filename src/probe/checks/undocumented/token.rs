//! What becomes of a live stream when its token expires, and in which form tokens are answered.

use std::rc::Rc;
use std::time::Duration;

use super::bridger;
use crate::driver::tokens::Replies;
use crate::probe::checks::sync::greeted;
use crate::probe::ear::Heard;
use crate::probe::judgement::Observation;
use crate::probe::path::{KEEPER, Path};
use crate::probe::report::secs;
use crate::probe::tape::ending_words;

/// A stream that lives so much longer than its token is not ended for it.
const BEYOND: Duration = Duration::from_secs(5);

/// And this much is the least that tells anything.
const LEAST: Duration = Duration::from_secs(1);

const EXPIRY: &str = "token-expiry";

/// Holds a stream past the end of its token, where the listening time allows it.
pub(super) async fn expiry(path: &Rc<Path>) -> Observation {
    if !path.has(KEEPER) {
        return Observation::unseen(EXPIRY, format!("it takes more than {KEEPER} identities"));
    }
    let until = path.now() + path.listen;
    let life = path.line.tokens.life(KEEPER);
    let life_left = (life.issued + life.life).since(path.now());
    if life_left + LEAST > path.listen {
        let why = format!("token life is {}, the listening time {}", secs(life.life), secs(path.listen));
        return Observation::unseen(EXPIRY, why);
    }
    let mut ear = match greeted(path, KEEPER).await {
        Ok(ear) => ear,
        Err(why) => return Observation::unseen(EXPIRY, format!("there was no stream: {why}")),
    };
    // Opening it may have taken a new token.
    let life = path.line.tokens.life(KEEPER);
    let expires = life.issued + life.life;
    let leave = (expires + BEYOND).min(until);
    let mut behind = 0_u32;
    loop {
        tokio::select! {
            biased;
            (at, heard) = ear.next() => match heard {
                Heard::End(ending) => {
                    let when = if at >= expires {
                        format!("{} after its token expired", secs(at.since(expires)))
                    } else {
                        format!("{} before its token expired", secs(expires.since(at)))
                    };
                    return Observation::new(EXPIRY, format!("a live stream ended {when}: {}", ending_words(&ending)));
                }
                Heard::Event(_) if at > expires => behind += 1,
                _ => {}
            },
            () = path.sleep_until(leave) => break,
        }
    }
    let now = path.now();
    ear.leave().await;
    if now < expires + LEAST {
        return Observation::unseen(
            EXPIRY,
            format!("token life is {}, and listening ended before", secs(life.life)),
        );
    }
    let past = now.since(expires);
    Observation::new(
        EXPIRY,
        format!("a live stream stays open: {} after its token expired it is there, and {behind} events came since", secs(past)),
    )
    .with("open_after_expiry_s", past.as_secs_f64())
}

/// Wrapped in `data` or bare; the pages disagree.
pub(super) async fn replies(path: &Rc<Path>) -> Observation {
    const TOPIC: &str = "token-reply";
    let (tokens, client) = (&path.line.tokens, bridger(path));
    if tokens.replies() == Replies::default() {
        // One refresh shows it; whether refreshes work at all, the check of tokens tells.
        let _ = tokens.refresh(client, Rc::clone(path.line.endpoint(client))).await;
    }
    let Replies { wrapped, bare } = tokens.replies();
    match (wrapped, bare) {
        (0, 0) => Observation::unseen(TOPIC, "no token was answered"),
        (_, 0) => Observation::new(TOPIC, format!("all {wrapped} had the tokens in data")),
        (0, _) => Observation::new(TOPIC, format!("all {bare} had the tokens at the top, without data")),
        _ => Observation::new(TOPIC, format!("{wrapped} had the tokens in data, {bare} at the top")),
    }
}
