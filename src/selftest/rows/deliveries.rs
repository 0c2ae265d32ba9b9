//! Events on their way.

use super::super::Count::{Done, Truth};
use super::super::Row;
use crate::target::{self, Deed};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "lose-on-stream",
        defect: "events do not come on one client's stream",
        faults: "[[fault]]\nkind = \"lose\"\nclient = 4\nroom = 1\nfirst = 8\ncount = 7\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
        ],
    },
    Row {
        name: "lose-in-store",
        defect: "events come neither on one client's stream nor in its sync and history",
        faults: "[[fault]]\nkind = \"lose\"\nclient = 4\nroom = 1\nfirst = 8\ncount = 7\nstore = true\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("lost_by_server", Done(Deed::EventHidden)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
        ],
    },
    Row {
        name: "lose-share",
        defect: "a share of all deliveries is lost on the stream",
        faults: "[[fault]]\nkind = \"lose\"\nat = \"2100ms\"\nduration = \"3s\"\nshare = \"3%\"\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
        ],
    },
    Row {
        name: "duplicate",
        defect: "events come twice on one connection",
        faults: "[[fault]]\nkind = \"duplicate\"\nclient = 4\nfirst = 8\ncount = 7\n",
        set: &[],
        expected: &[("duplicate", Done(Deed::FrameTwice))],
    },
    Row {
        name: "reorder",
        defect: "events of a room come behind a later one of the same room",
        faults: "[[fault]]\nkind = \"reorder\"\nclient = 4\nfirst = 8\ncount = 3\n",
        set: &[],
        expected: &[("out_of_order", Done(Deed::FrameBehindRoom))],
    },
    Row {
        name: "reorder-rooms",
        defect: "events of a room come behind a later one of another room",
        faults: "[[fault]]\nkind = \"reorder-rooms\"\nclient = 4\nfirst = 8\ncount = 3\n",
        set: &[],
        expected: &[("interleaved", Done(Deed::FrameBehindOthers))],
    },
    Row {
        name: "delay",
        defect: "a stream stands still for a while",
        faults: "[[fault]]\nkind = \"delay\"\nclient = 4\nfirst = 8\ncount = 1\nby = \"1400ms\"\n",
        set: &[],
        expected: &[("late_live", Truth(|truth| late(truth, 1000)))],
    },
    Row {
        name: "leak-tenant",
        defect: "events come to a client of another tenant",
        faults: "[[fault]]\nkind = \"leak\"\nclient = 4\nfirst = 8\ncount = 5\nto = 1\n",
        set: &[],
        expected: &[("leaked", Done(Deed::FrameLeaked))],
    },
    Row {
        name: "leak-room",
        defect: "events come to a client of the same tenant who is not in the room",
        faults: "[[fault]]\nkind = \"leak\"\nclient = 0\nfirst = 8\ncount = 5\nto = 4\n",
        set: &[],
        expected: &[("leaked_room", Done(Deed::FrameLeaked))],
    },
];

/// Frames that were held back for longer than this.
fn late(truth: &target::Truth, bound_ms: u128) -> u64 {
    let delays = truth.faults.iter().flat_map(|fault| &fault.delays);
    delays.filter(|delay| delay.as_millis() > bound_ms).count() as u64
}
