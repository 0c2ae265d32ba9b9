//! Keeps the positions of the fleet durable, and starts dead processes again with what the store has of them.

use std::error::Error as _;
use std::rc::Rc;

use tokio::select;
use tokio::time::sleep_until;

use super::Fleet;
use super::mailbox::Mail;
use crate::driver::store::StoreError;
use crate::positions::image::Image;
use crate::worker::conductor::{FlushCost, FlushTrouble};

/// Flushes when it is due, and once more when everybody has left.
pub(super) async fn keep(fleet: Rc<Fleet>) {
    let mut skipped = 0;
    loop {
        let due = fleet.positions.borrow().due();
        let over = select! {
            () = sleep_until(fleet.line.clock.instant(due)) => false,
            () = fleet.over.notified() => true,
        };
        flush(&fleet).await;
        let so_far = fleet.positions.borrow().skipped();
        if so_far > skipped {
            let times = so_far - skipped;
            let told = format!("{times} flushes were skipped: the one before took longer than the interval");
            fleet.watcher.unflushed(FlushTrouble::Skipped, times, told);
            skipped = so_far;
        }
        if over {
            break;
        }
    }
    fleet.kept.notify_one();
}

/// Starts these clients again. What they get is what the file has when every flush begun before is through.
pub(super) async fn revive(fleet: Rc<Fleet>, clients: Vec<u32>) {
    let image = match fleet.store.load().await {
        Ok(image) => image,
        Err(error) => {
            let told = format!("restarted clients begin as new ones: failed to {}", explained(&error));
            fleet.watcher.unflushed(FlushTrouble::Unread, 1, told);
            Image::default()
        }
    };
    if image.broken > 0 {
        let told =
            "restarted clients begin at the state before the last: a part of the file is torn".to_owned();
        fleet.watcher.unflushed(FlushTrouble::Torn, u64::from(image.broken), told);
    }
    for client in clients {
        if let Some(mailbox) = &fleet.clients.borrow()[client as usize] {
            mailbox.post(Mail::Revive(image.position(client)));
        }
    }
}

async fn flush(fleet: &Fleet) {
    let Some(flush) = fleet.positions.borrow_mut().take(fleet.line.clock.now()) else { return };
    match fleet.store.flush(flush).await {
        (flush, Ok(written)) => {
            fleet.positions.borrow_mut().written(&flush);
            let cost = FlushCost { bytes: written.bytes, took: Some(written.took) };
            fleet.watcher.flushed(&flush, cost);
        }
        (flush, Err(error)) => {
            fleet.positions.borrow_mut().failed(&flush);
            let told = format!("positions lag behind: failed to {}", explained(&error));
            fleet.watcher.unflushed(FlushTrouble::Unwritten, 1, told);
        }
    }
}

fn explained(error: &StoreError) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
