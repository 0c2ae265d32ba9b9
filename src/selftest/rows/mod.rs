//! The table.
//!
//! Clients 0, 2, 4 … are in tenant 0, the others in tenant 1. Of tenant 0, room 0 has the members 0, 2, 6, 8, room 1
//! has 0, 4, 6, 10, and room 2 has 2, 4, 8, 10; a client's own rooms are counted in this order from its `room = 0`,
//! but for client 2, whose first is room 2, and 8, whose first is room 2 as well.
//!
//! A room has an event every 250 ms; with this seed all of them lie between 0 and 70 ms after a quarter of a second.
//! Faults that cut connections come 100 ms after one, and so do the retries, whole seconds later: the documented order
//! has a seam between sync and hello, and nothing should fall into it by chance; what does on a busy machine, the target
//! counts (`Truth::in_seam`).
//! Where the time of a reconnect is not ours to choose (a watchdog, a missed pong), the client bridges stream-first.

mod clean;
mod clients;
mod deliveries;
mod hello;
mod metrics;
mod pods;
mod publishes;
mod streams;
mod sync;
mod together;

use std::sync::LazyLock;

use super::Row;

/// Every defect, and some runs without any.
pub fn rows() -> &'static [Row] {
    static ALL: LazyLock<Vec<Row>> = LazyLock::new(|| {
        [
            clean::ROWS,
            deliveries::ROWS,
            publishes::ROWS,
            sync::ROWS,
            hello::ROWS,
            streams::ROWS,
            pods::ROWS,
            metrics::ROWS,
            clients::ROWS,
            together::ROWS,
        ]
        .concat()
    });
    &ALL
}
