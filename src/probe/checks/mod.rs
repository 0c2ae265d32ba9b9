//! The checks, each in a file of its own. Those that read tapes are pure; the others are told a [`Path`].

mod abort;
mod deaf;
pub(crate) mod drops;
mod metrics;
mod pings;
mod rate_limit;
mod silence;
mod sync;
mod tenant;
mod token;
mod undocumented;

use std::rc::Rc;

use super::check::Check;
use super::judgement::Judgement;
use super::path::Path;
use super::vigil::Vigil;

/// What a check says. `vigil` waits for the end of the vigil, and is nothing when nobody who was asked needs one; what
/// provokes something by itself does so meanwhile.
pub(super) async fn examine(
    check: Check,
    path: &Rc<Path>,
    vigil: impl Future<Output = Option<Rc<Vigil>>>,
) -> Judgement {
    match check {
        Check::Drops => over(vigil.await, drops::judge),
        Check::Silence => over(vigil.await, silence::judge),
        Check::Token => {
            let mut judgement = token::examine(path).await;
            if let Some(vigil) = vigil.await {
                token::judge_unprovoked(&vigil, &mut judgement);
                token::again(path, &mut judgement).await;
            }
            judgement
        }
        Check::PingTimeout => {
            let muted = abort::mute(path).await;
            abort::ping_timeout(path, vigil.await.as_deref(), &muted)
        }
        Check::Duplicate => {
            let mut judgement = abort::duplicate(path).await;
            if let Some(vigil) = vigil.await {
                abort::judge_unprovoked(&vigil, true, &mut judgement);
            }
            judgement
        }
        Check::Tenant => over(vigil.await, |vigil| tenant::judge(vigil, path.tenant())),
        Check::RateLimit => rate_limit::examine(path, vigil.await.as_deref()).await,
        Check::Deaf => match vigil.await {
            Some(vigil) => deaf::examine(path, &vigil).await,
            None => nobody_listened(),
        },
        Check::Pings => over(vigil.await, pings::judge),
        Check::Metrics => {
            // What was dropped while we listened counts.
            let _ = vigil.await;
            metrics::examine(path).await
        }
        Check::Bridge => sync::bridge::examine(path).await,
        Check::Pages => sync::pages::examine(path).await,
        Check::Poll => sync::poll::examine(path).await,
        Check::Positions => sync::positions::examine(path).await,
        Check::Seam => sync::seam::examine(path).await,
        Check::Undocumented => undocumented::examine(path).await,
    }
}

fn over(vigil: Option<Rc<Vigil>>, judge: impl FnOnce(&Vigil) -> Judgement) -> Judgement {
    vigil.map_or_else(nobody_listened, |vigil| judge(&vigil))
}

fn nobody_listened() -> Judgement {
    let mut judgement = Judgement::default();
    judgement.unclear("no stream was held");
    judgement
}
