//! What the server says of itself.

use super::super::Count::{Done, Exactly, Truth};
use super::super::Row;
use crate::target::Deed;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "metrics-missing",
        defect: "the counter of dropped frames is not exposed",
        faults: "[[fault]]\nkind = \"metrics\"\nat = \"3100ms\"\nshow = \"missing\"\n",
        set: &[],
        expected: &[("not_exposed", Exactly(1)), ("dropped_is_lower_bound", Exactly(1))],
    },
    Row {
        name: "metrics-reset",
        defect: "the counter of dropped frames begins again at zero",
        faults: "[[fault]]\nkind = \"stall\"\nat = \"2100ms\"\nduration = \"1s\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"metrics\"\nat = \"5100ms\"\nshow = \"reset\"\n",
        set: &["target.embedded.send_queue=4"],
        expected: &[
            ("messages_dropped_total", Truth(|truth| truth.messages_dropped)),
            ("dropped_is_lower_bound", Exactly(1)),
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("fanout_failed", Exactly(2)),
        ],
    },
    Row {
        name: "metrics-wrong",
        defect: "the counter of dropped frames counts what did not happen",
        faults: "[[fault]]\nkind = \"metrics\"\nat = \"3100ms\"\npod = 0\nshow = \"wrong\"\nmore = 5\n",
        set: &[],
        expected: &[("messages_dropped_total", Exactly(5))],
    },
    Row {
        name: "metrics-leak",
        defect: "connections that have ended stay in the gauge",
        faults: "[[fault]]\nkind = \"metrics\"\nat = \"3100ms\"\nshow = \"leak\"\n",
        set: &[],
        // Everybody leaves in the end.
        expected: &[("connections_leaked", Exactly(12))],
    },
    Row {
        name: "metrics-absent",
        defect: "there is no /metrics for a while",
        faults: "[[fault]]\nkind = \"metrics\"\nat = \"3100ms\"\nduration = \"1200ms\"\npod = 0\nshow = \"absent\"\n",
        set: &[],
        expected: &[("scrape_failures", Done(Deed::ScrapeAltered)), ("dropped_is_lower_bound", Exactly(1))],
    },
];
