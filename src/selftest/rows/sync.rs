//! Sync.

use super::super::Count::{Done, Exactly, Hit, Truth};
use super::super::Row;
use crate::target::Deed;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "sync-skip",
        defect: "next_cursor is the last position + 1, and skips events at page borders",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-skip\"\nat = \"2100ms\"\nduration = \"5s\"\nclients = [0, 3]\n",
        set: &["client.sync_limit=3"],
        expected: &[
            ("missed_in_sync", Done(Deed::RowSkipped)),
            ("recoverable", Done(Deed::RowSkipped)),
            ("disconnects.reset", Hit(0)),
        ],
    },
    Row {
        name: "sync-omit",
        defect: "sync omits what history has",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0]\n\
                 [[fault]]\nkind = \"sync-omit\"\nclient = 0\nfirst = 6\ncount = 3\n",
        set: &[],
        expected: &[
            ("missed_in_sync", Done(Deed::RowOmitted)),
            ("recoverable", Done(Deed::RowOmitted)),
            ("sync_hole", Done(Deed::RowOmitted)),
            ("disconnects.reset", Hit(0)),
        ],
    },
    Row {
        name: "lose-and-sync-omit",
        defect: "events do not come on the stream, and sync omits what history has",
        faults: "[[fault]]\nkind = \"lose\"\nclient = 0\nfirst = 6\ncount = 3\n\
                 [[fault]]\nkind = \"sync-omit\"\nclient = 0\nfirst = 6\ncount = 3\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::RowOmitted)),
            ("sync_hole", Done(Deed::RowOmitted)),
        ],
    },
    Row {
        name: "sync-repeat",
        defect: "sync returns what lies below since again",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"4100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-repeat\"\nat = \"3500ms\"\nduration = \"1s\"\nclients = [0, 3]\nback = 9\n",
        set: &[],
        expected: &[("redelivered", Done(Deed::RowRepeated)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "sync-repeat-in-bridge",
        defect: "pages of one bridge overlap",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-repeat\"\nat = \"2100ms\"\nduration = \"5s\"\nclients = [0, 3]\nback = 2\n",
        set: &["client.sync_limit=3"],
        expected: &[
            ("duplicate", Done(Deed::RowTwiceInWalk)),
            (
                "redelivered",
                Truth(|truth| truth.count(Deed::RowRepeated) - truth.count(Deed::RowTwiceInWalk)),
            ),
            ("disconnects.reset", Hit(0)),
        ],
    },
    Row {
        name: "sync-old-page",
        defect: "sync returns an old page, whose cursor lies below since",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"4100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-repeat\"\nat = \"3500ms\"\nduration = \"1s\"\nclients = [0, 3]\nback = 25\n",
        set: &["client.sync_limit=3"],
        expected: &[
            ("oddities.sync_cursor_regressed", Done(Deed::CursorBackwards)),
            ("redelivered", Done(Deed::RowRepeated)),
            ("disconnects.reset", Hit(0)),
        ],
    },
    Row {
        name: "sync-backwards",
        defect: "next_cursor goes backwards",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"4100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-backwards\"\nat = \"3500ms\"\nduration = \"1s\"\nclients = [0, 3]\nback = 9\n",
        set: &[],
        expected: &[
            ("oddities.sync_cursor_regressed", Done(Deed::CursorBackwards)),
            ("disconnects.reset", Hit(0)),
        ],
    },
    Row {
        name: "sync-503",
        defect: "sync fails",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-fail\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nstatus = 503\n",
        set: &[],
        expected: &[("oddities.sync_server_error", Done(Deed::AnswerFailed)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "sync-429",
        defect: "sync is limited",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-fail\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nstatus = 429\n",
        set: &[],
        expected: &[("oddities.sync_refused", Done(Deed::AnswerFailed)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "sync-slow",
        defect: "sync does not answer in time",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"sync-slow\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nby = \"5s\"\n",
        set: &["client.sync_deadline=1s"],
        expected: &[("oddities.sync_timeout", Done(Deed::AnswerLate)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "sync-retain",
        defect: "since lies beyond retention, and the server says so",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0]\n\
                 [[fault]]\nkind = \"sync-retain\"\nat = \"1600ms\"\nclients = [0]\nkeep = 3\n",
        set: &[],
        expected: &[
            ("missed_unplaced", Done(Deed::RowGone)),
            ("signalled_loss", Done(Deed::RowGone)),
            ("oddities.sync_beyond_retention", Exactly(1)),
            ("disconnects.reset", Hit(0)),
        ],
    },
];
