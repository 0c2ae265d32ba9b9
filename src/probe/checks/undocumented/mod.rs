//! What the documentation leaves open (protocol.md, section 11): each is told as it is here, and none is right or wrong.

mod since;
mod stream;
mod token;
mod uuid;

use std::rc::Rc;

use super::sync::{anchor, bridger, publishers};
use crate::probe::judgement::{Judgement, Observation};
use crate::probe::path::Path;

/// A room number that no check publishes in: events of it are of no concern to the others.
const SIDE: u32 = 2;

/// Looks at all of it.
pub(super) async fn examine(path: &Rc<Path>) -> Judgement {
    let speaking = async {
        let _floor = path.floor.lock().await;
        let mut judgement = Judgement::default();
        stream::observe(path, &mut judgement).await;
        uuid::observe(path, &mut judgement).await;
        match anchor(path).await {
            Ok(base) => since::observe(path, base.position, &mut judgement).await,
            Err(why) => judgement.observed(Observation::unseen("since", why)),
        }
        judgement.observed(token::replies(path).await);
        judgement
    };
    let (expiry, mut judgement) = futures::join!(token::expiry(path), speaking);
    judgement.observed(expiry);
    for (topic, why) in [
        ("slow-consumers", "a probe does not overload: a run with the fault slow-reader shows it"),
        ("pod-shutdown", "a probe ends no pods: a run with a restart in it shows it"),
        ("capacity", "a probe loads nothing: a run with a load of its own shows whether that is carried"),
    ] {
        judgement.observed(Observation::unseen(topic, why));
    }
    judgement.saw(format!(
        "{} of {} questions could be answered: see the section at the end",
        judgement.observed.iter().filter(|own| own.seen).count(),
        judgement.observed.len()
    ));
    judgement
}
