//! Everything at once.

use super::super::Count::{Done, Exactly, Truth};
use super::super::Row;
use crate::target::{self, Deed};

/// The rows.
pub(super) const ROWS: &[Row] = &[Row {
    name: "all-places",
    defect: "six defects in one run: all five places, and every store that can be proved",
    faults: "[[fault]]\nkind = \"lose\"\nclient = 4\nroom = 1\nfirst = 8\ncount = 2\n\
                 [[fault]]\nkind = \"lose\"\nclient = 10\nroom = 1\nfirst = 9\ncount = 3\nstore = true\n\
                 [[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [1, 5]\n\
                 [[fault]]\nkind = \"sync-omit\"\nclient = 1\nfirst = 6\ncount = 3\n\
                 [[fault]]\nkind = \"sync-retain\"\nat = \"1600ms\"\nclients = [5]\nkeep = 3\n\
                 [[fault]]\nkind = \"reset\"\nat = \"4100ms\"\nclients = [3]\n\
                 [[fault]]\nkind = \"late-hello\"\nat = \"3500ms\"\nduration = \"1s\"\nclients = [3]\nby = \"750ms\"\n\
                 [[fault]]\nkind = \"commit-late\"\nclient = 0\nfirst = 8\ncount = 1\nby = \"1200ms\"\n\
                 [[fault]]\nkind = \"outage\"\nat = \"3600ms\"\nduration = \"900ms\"\nclients = [0]\n",
    set: &["client.lateness_bound=2s"],
    expected: &[
        (
            "missed_on_stream",
            Truth(|truth| of(truth, 0, Deed::FrameOmitted) + of(truth, 1, Deed::FrameOmitted)),
        ),
        ("missed_in_sync", Done(Deed::RowOmitted)),
        ("missed_in_seam", Truth(|truth| truth.in_seam)),
        ("missed_behind_cursor", Done(Deed::EventBehindCursor)),
        ("missed_unplaced", Done(Deed::RowGone)),
        (
            "recoverable",
            Truth(|truth| {
                let behind = truth.count(Deed::RowOmitted) + truth.count(Deed::EventBehindCursor);
                of(truth, 0, Deed::FrameOmitted) + behind
            }),
        ),
        ("lost_by_server", Done(Deed::EventHidden)),
        ("signalled_loss", Done(Deed::RowGone)),
        (
            "stream_omitted",
            Truth(|truth| of(truth, 0, Deed::FrameOmitted) + of(truth, 1, Deed::FrameOmitted)),
        ),
        ("sync_hole", Done(Deed::RowOmitted)),
        ("out_of_order", Done(Deed::FrameBehindRoom)),
        ("oddities.sync_beyond_retention", Exactly(1)),
        ("disconnects.reset", Exactly(4)),
    ],
}];

/// What one fault did.
fn of(truth: &target::Truth, fault: u32, deed: Deed) -> u64 {
    let fault = truth.faults.iter().find(|told| told.index == fault);
    fault.map_or(0, |fault| fault.count(deed))
}
