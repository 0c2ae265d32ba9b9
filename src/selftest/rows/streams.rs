//! Live streams.

use super::super::Count::{Any, Done, Exactly, Hit, Truth};
use super::super::Row;
use crate::target::{self, Deed};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "deaf",
        defect: "hello, and then no events (ws.fanout_failed)",
        faults: "[[fault]]\nkind = \"deaf\"\nat = \"3100ms\"\nduration = \"2s\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("fanout_failed", Exactly(2)),
        ],
    },
    Row {
        name: "deaf-for-good",
        defect: "hello, and then no events until the end",
        faults: "[[fault]]\nkind = \"deaf\"\nat = \"3100ms\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Truth(owed_and_omitted)),
            ("recoverable", Truth(owed_and_omitted)),
            ("stream_omitted", Truth(owed_and_omitted)),
            ("fanout_failed", Exactly(2)),
        ],
    },
    Row {
        name: "deaf-then-bridged",
        defect: "no events on the stream; a reconnect brings them by sync, and does not make it green",
        faults: "[[fault]]\nkind = \"deaf\"\nat = \"5100ms\"\nduration = \"4s\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"reset\"\nat = \"10100ms\"\nclients = [0, 3]\n",
        set: &["phase.quiet.duration=4s"],
        expected: &[
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("fanout_failed", Exactly(2)),
            ("disconnects.reset", Hit(1)),
        ],
    },
    Row {
        name: "overflow",
        defect: "a full send queue drops frames",
        faults: "[[fault]]\nkind = \"stall\"\nat = \"3100ms\"\nduration = \"1s\"\nclients = [0, 3]\n",
        set: &["target.embedded.send_queue=4"],
        expected: &[
            ("messages_dropped_total", Truth(|truth| truth.messages_dropped)),
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("fanout_failed", Exactly(2)),
        ],
    },
    Row {
        name: "close-4001",
        defect: "4001 on live streams",
        faults: "[[fault]]\nkind = \"close\"\nat = \"3100ms\"\nclients = [0, 3]\ncode = 4001\nreason = \"SW_AUTH_INVALID_TOKEN\"\n",
        set: &[],
        expected: &[
            ("disconnects.invalid_token", Done(Deed::ConnectionClosed)),
            ("close_code.4001", Done(Deed::ConnectionClosed)),
            ("tokens.rejected", Done(Deed::ConnectionClosed)),
        ],
    },
    Row {
        name: "close-4003-ping-timeout",
        defect: "4003 that says ping_timeout",
        faults: "[[fault]]\nkind = \"close\"\nat = \"3100ms\"\nclients = [0, 3]\ncode = 4003\nreason = \"ping_timeout\"\n",
        set: &[],
        expected: &[
            ("disconnects.ping_timeout", Done(Deed::ConnectionClosed)),
            ("close_code.4003", Done(Deed::ConnectionClosed)),
        ],
    },
    Row {
        name: "close-4003-duplicate",
        defect: "4003 that says duplicate_connection",
        faults: "[[fault]]\nkind = \"close\"\nat = \"7500ms\"\nclients = [0, 3]\ncode = 4003\nreason = \"duplicate_connection\"\n",
        set: &[],
        expected: &[
            ("disconnects.duplicate_connection", Done(Deed::ConnectionClosed)),
            ("close_code.4003", Done(Deed::ConnectionClosed)),
            ("evicted", Done(Deed::ConnectionClosed)),
            ("not_ready_at_end", Done(Deed::ConnectionClosed)),
        ],
    },
    Row {
        name: "close-4003-bare",
        defect: "4003 that says nothing",
        faults: "[[fault]]\nkind = \"close\"\nat = \"3100ms\"\nclients = [0, 3]\ncode = 4003\n",
        set: &[],
        expected: &[
            ("disconnects.aborted", Done(Deed::ConnectionClosed)),
            ("close_code.4003", Done(Deed::ConnectionClosed)),
        ],
    },
    Row {
        name: "close-4003-bare-late",
        defect: "4003 that says nothing, to clients that answer pings late",
        faults: "[[fault]]\nkind = \"slow-reader\"\nat = \"1600ms\"\nduration = \"5s\"\nclients = [0, 3]\nby = \"1500ms\"\n\
                 [[fault]]\nkind = \"close\"\nat = \"4100ms\"\nclients = [0, 3]\ncode = 4003\n",
        set: &["client.bridge=stream-first"],
        expected: &[
            ("disconnects.ping_timeout", Done(Deed::ConnectionClosed)),
            ("close_code.4003", Done(Deed::ConnectionClosed)),
            ("late_live", Any),
        ],
    },
    Row {
        name: "close-1011",
        defect: "a close code that is not documented",
        faults: "[[fault]]\nkind = \"close\"\nat = \"3100ms\"\nclients = [0, 3]\ncode = 1011\n",
        set: &[],
        expected: &[
            ("disconnects.other_close", Done(Deed::ConnectionClosed)),
            ("close_code.1011", Done(Deed::ConnectionClosed)),
        ],
    },
    Row {
        name: "drop-silent",
        defect: "streams that the server forgets",
        faults: "[[fault]]\nkind = \"drop\"\nat = \"2100ms\"\nclients = [0, 3]\nhow = \"silent\"\n",
        set: &["client.bridge=stream-first"],
        expected: &[("disconnects.silent", Done(Deed::ConnectionDropped))],
    },
    Row {
        name: "drop-reset",
        defect: "streams that the server resets",
        faults: "[[fault]]\nkind = \"drop\"\nat = \"3100ms\"\nclients = [0, 3]\nhow = \"reset\"\n",
        set: &[],
        expected: &[("disconnects.reset", Done(Deed::ConnectionDropped))],
    },
    Row {
        name: "drop-fin",
        defect: "streams that end without a close frame",
        faults: "[[fault]]\nkind = \"drop\"\nat = \"3100ms\"\nclients = [0, 3]\nhow = \"fin\"\n",
        set: &[],
        expected: &[("disconnects.eof", Done(Deed::ConnectionDropped))],
    },
    Row {
        name: "frame-malformed",
        defect: "a frame that is no JSON",
        faults: "[[fault]]\nkind = \"strange-frame\"\nat = \"3100ms\"\nclients = [0, 3]\nframe = \"malformed\"\n",
        set: &[],
        expected: &[("oddities.frame_malformed", Done(Deed::FrameStrange))],
    },
    Row {
        name: "frame-unknown",
        defect: "a frame of an unknown type",
        faults: "[[fault]]\nkind = \"strange-frame\"\nat = \"3100ms\"\nclients = [0, 3]\nframe = \"unknown\"\n",
        set: &[],
        expected: &[("oddities.frame_unknown_type", Done(Deed::FrameStrange))],
    },
    Row {
        name: "frame-binary",
        defect: "a binary frame",
        faults: "[[fault]]\nkind = \"strange-frame\"\nat = \"3100ms\"\nclients = [0, 3]\nframe = \"binary\"\n",
        set: &[],
        expected: &[("oddities.frame_binary", Done(Deed::FrameStrange))],
    },
    Row {
        name: "frame-oversized",
        defect: "a frame of 300 KiB",
        faults: "[[fault]]\nkind = \"strange-frame\"\nat = \"3100ms\"\nclients = [0, 3]\nframe = \"oversized\"\n",
        set: &[],
        expected: &[("oddities.frame_oversized", Done(Deed::FrameStrange))],
    },
    Row {
        name: "no-pings",
        defect: "pings stop, and quiet streams look dead",
        faults: "[[fault]]\nkind = \"no-pings\"\nat = \"1600ms\"\nduration = \"4s\"\nclients = [0, 3]\n",
        set: &["traffic.rate=0/s"],
        // The watchdog of 3 s; the next connection is pinged again in time.
        expected: &[("disconnects.silent", Exactly(2))],
    },
];

/// A deaf stream does not bring the fences either, one for each of a client's two rooms, and nobody is owed those.
fn owed_and_omitted(truth: &target::Truth) -> u64 {
    truth.count(Deed::FrameOmitted).saturating_sub(2 * 2)
}
