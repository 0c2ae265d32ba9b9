//! Publishes.

use super::super::Count::{Done, Exactly, Hit};
use super::super::Row;
use crate::target::Deed;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "deliver-rejected",
        defect: "a publish is refused and comes all the same",
        faults: "[[fault]]\nkind = \"deliver-rejected\"\nclient = 0\nfirst = 8\ncount = 3\n",
        set: &[],
        expected: &[("unexpected", Done(Deed::FrameUnexpected)), ("rejected", Done(Deed::PublishUnexpected))],
    },
    Row {
        name: "store-rejected",
        defect: "a publish is refused and comes all the same, to one client by sync",
        faults: "[[fault]]\nkind = \"deliver-rejected\"\nclient = 0\nfirst = 8\ncount = 3\nstore = true\n\
                 [[fault]]\nkind = \"outage\"\nat = \"2500ms\"\nduration = \"1500ms\"\nclients = [2]\n",
        set: &[],
        expected: &[
            // Four members, three events.
            ("unexpected", Exactly(12)),
            ("rejected", Done(Deed::PublishUnexpected)),
            ("disconnects.reset", Hit(1)),
        ],
    },
    Row {
        name: "accept-unstored",
        defect: "a publish is answered with 2xx and forgotten",
        faults: "[[fault]]\nkind = \"accept-unstored\"\nclient = 0\nfirst = 8\ncount = 3\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("lost_by_server", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
        ],
    },
    Row {
        name: "store-unanswered",
        defect: "a publish is stored and delivered, and never answered",
        faults: "[[fault]]\nkind = \"store-unanswered\"\nclient = 0\nfirst = 8\ncount = 3\n",
        set: &["traffic.send_timeout=500ms", "traffic.send_attempts=2"],
        expected: &[("unknown", Done(Deed::PublishUnanswered))],
    },
    Row {
        name: "store-twice",
        defect: "one event_uuid is stored under two ids and positions",
        faults: "[[fault]]\nkind = \"store-twice\"\nclient = 0\nfirst = 8\ncount = 3\n",
        set: &[],
        expected: &[("double_stored", Done(Deed::PublishTwice))],
    },
    Row {
        name: "refuse-publishes",
        defect: "every publish is refused",
        faults: "[[fault]]\nkind = \"refuse-publishes\"\nat = \"3100ms\"\nduration = \"1s\"\n",
        set: &[],
        expected: &[("rejected", Done(Deed::PublishRefused))],
    },
    Row {
        name: "commit-late",
        defect: "events become visible below a cursor already passed",
        faults: "[[fault]]\nkind = \"commit-late\"\nclient = 0\nfirst = 8\ncount = 1\nby = \"1200ms\"\n\
                 [[fault]]\nkind = \"reset\"\nat = \"3600ms\"\nclients = [0, 2, 6, 8]\n",
        set: &["client.lateness_bound=2s"],
        expected: &[
            ("below_cursor", Done(Deed::FrameBelowCursor)),
            ("out_of_order", Done(Deed::FrameBehindRoom)),
            ("disconnects.reset", Hit(1)),
        ],
    },
    Row {
        name: "behind-cursor",
        defect: "an event becomes visible while its reader is away, below the position it comes back with",
        faults: "[[fault]]\nkind = \"commit-late\"\nclient = 0\nfirst = 8\ncount = 1\nby = \"1200ms\"\n\
                 [[fault]]\nkind = \"outage\"\nat = \"3600ms\"\nduration = \"900ms\"\nclients = [0]\n",
        set: &["client.lateness_bound=2s"],
        expected: &[
            ("missed_behind_cursor", Done(Deed::EventBehindCursor)),
            ("recoverable", Done(Deed::EventBehindCursor)),
            ("out_of_order", Done(Deed::FrameBehindRoom)),
            ("disconnects.reset", Hit(1)),
        ],
    },
    Row {
        name: "renumber",
        defect: "positions go backwards",
        faults: "[[fault]]\nkind = \"renumber\"\nclient = 0\nfirst = 12\ncount = 2\nback = 30\n",
        set: &[],
        expected: &[("out_of_order", Done(Deed::FrameBehindRoom))],
    },
];
