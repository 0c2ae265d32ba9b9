//! The checks, each in a file of its own. Those that read tapes are pure; the others are told a [`Path`].

mod metrics;
mod pings;
mod sync;
mod tenant;
mod undocumented;

use std::rc::Rc;

use super::check::Check;
use super::judgement::Judgement;
use super::path::Path;
use super::vigil::Vigil;

/// What a check says. `vigil` waits for the end of the vigil; what provokes something by itself does so meanwhile.
pub(super) async fn examine(
    check: Check,
    path: &Rc<Path>,
    vigil: impl Future<Output = Rc<Vigil>>,
) -> Judgement {
    match check {
        Check::Tenant => tenant::judge(&*vigil.await, path.tenant()),
        Check::Pings => pings::judge(&*vigil.await),
        Check::Metrics => metrics::examine(path).await,
        Check::Bridge => sync::bridge::examine(path).await,
        Check::Pages => sync::pages::examine(path).await,
        Check::Poll => sync::poll::examine(path).await,
        Check::Positions => sync::positions::examine(path).await,
        Check::Seam => sync::seam::examine(path).await,
        Check::Undocumented => undocumented::examine(path).await,
        _ => Judgement::default(),
    }
}
