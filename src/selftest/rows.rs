//! The table.

use super::Count::{Any, AtLeast, Done, Exactly, Hit, Truth};
use super::Row;
use crate::target::{self, Deed};

/// Every defect, and one run without any.
pub fn rows() -> &'static [Row] {
    ROWS
}

/// Clients 0, 2, 4 … are in tenant 0, the others in tenant 1. Of tenant 0, room 0 has the members 0, 2, 6, 8, room 1
/// has 0, 4, 6, 10, and room 2 has 2, 4, 8, 10; a client's own rooms are counted in this order from its `room = 0`,
/// but for client 2, whose first is room 2, and 8, whose first is room 2 as well.
///
/// A room has an event every 250 ms; with this seed all of them lie between 0 and 70 ms after a quarter of a second.
/// Faults that cut connections come 100 ms after one, and so do the retries, whole seconds later: the documented order
/// has a seam between sync and hello, and nothing falls into it by chance, neither in virtual time nor over sockets.
/// Where the time of a reconnect is not ours to choose (a watchdog, a missed pong), the client bridges stream-first.
const ROWS: &[Row] = &[
    Row { name: "clean", defect: "none", faults: "", set: &[], expected: &[] },
    Row {
        name: "clean-stream-first",
        defect: "none; the client bridges in the other order",
        faults: "",
        set: &["client.bridge=stream-first"],
        expected: &[],
    },
    Row {
        name: "clean-direct",
        defect: "none; clients reach the pods without a balancer",
        faults: "",
        set: &["target.embedded.balancer.mode=direct"],
        expected: &[],
    },
    Row {
        name: "clean-busy",
        defect: "none; ten times the traffic, in bursts, over unequal tenants",
        faults: "",
        set: &["traffic.rate=240/s", "traffic.arrivals=poisson", "traffic.tenant_shares=zipf(1.1)"],
        expected: &[],
    },
    // ---- Events on their way.
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
    // ---- Publishes.
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
    // ---- Sync.
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
    // ---- Hello and subscription.
    Row {
        name: "wrong-tenant",
        defect: "hello names another tenant",
        faults: "[[fault]]\nkind = \"wrong-tenant\"\nat = \"0s\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[("oddities.hello_wrong_tenant", Done(Deed::HelloWrong))],
    },
    Row {
        name: "no-hello",
        defect: "no hello comes",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"no-hello\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\n",
        set: &["client.hello_deadline=1s"],
        expected: &[("disconnects.no_hello", Done(Deed::HelloWithheld)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "late-hello",
        defect: "hello comes late",
        faults: "[[fault]]\nkind = \"late-hello\"\nat = \"0s\"\nclients = [0, 3]\nby = \"2500ms\"\n",
        set: &[],
        expected: &[("oddities.hello_slow", Done(Deed::HelloLate))],
    },
    Row {
        name: "seam",
        defect: "hello and subscription come late behind the bridge: the documented order has a hole",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"late-hello\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nby = \"750ms\"\n",
        set: &[],
        expected: &[("missed_in_seam", Truth(|truth| truth.in_seam)), ("disconnects.reset", Hit(0))],
    },
    Row {
        name: "seam-stream-first",
        defect: "the same, and the client bridges in the other order: nothing is missed",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"late-hello\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nby = \"750ms\"\n",
        set: &["client.bridge=stream-first"],
        expected: &[("disconnects.reset", Hit(0))],
    },
    Row {
        name: "early-hello",
        defect: "hello comes before the subscription is in force",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nclients = [0, 3]\n\
                 [[fault]]\nkind = \"early-hello\"\nat = \"2500ms\"\nduration = \"1s\"\nclients = [0, 3]\nby = \"750ms\"\n",
        set: &[],
        expected: &[
            ("missed_on_stream", Done(Deed::FrameOmitted)),
            ("recoverable", Done(Deed::FrameOmitted)),
            ("stream_omitted", Done(Deed::FrameOmitted)),
            ("disconnects.reset", Hit(0)),
        ],
    },
    // ---- Live streams.
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
    // ---- Pods and balancer.
    Row {
        name: "pod-kill",
        defect: "a pod dies and comes back",
        faults: "[[fault]]\nkind = \"pod-kill\"\nat = \"3100ms\"\nduration = \"1s\"\npod = 0\n",
        set: &[],
        expected: &[
            ("disconnects.reset", Done(Deed::ConnectionReset)),
            ("scrape_failures", AtLeast(1)),
            ("dropped_is_lower_bound", Exactly(1)),
            // The balancer's, for who comes before it has learned that the pod is down.
            ("oddities.sync_server_error", Any),
        ],
    },
    Row {
        name: "idle-timeout",
        defect: "a balancer cuts quiet streams before the next ping",
        faults: "[[fault]]\nkind = \"idle-timeout\"\nat = \"2100ms\"\nduration = \"3s\"\ntimeout = \"1s\"\n",
        set: &[
            "traffic.rate=0/s",
            "target.embedded.ping_interval=30s",
            "target.embedded.client_watchdog=75s",
        ],
        expected: &[("disconnects.eof", Done(Deed::StreamCut))],
    },
    Row {
        name: "reject-tokens",
        defect: "tokens are refused",
        faults: "[[fault]]\nkind = \"reject-tokens\"\nat = \"0s\"\nclients = [0, 3]\n",
        set: &["traffic.rate=0/s"],
        expected: &[
            ("auth_failed", Exactly(2)),
            ("never_ready", Exactly(2)),
            ("not_ready_at_end", Exactly(2)),
            ("tokens.rejected", Exactly(2)),
            ("oddities.sync_unauthorized", Exactly(2)),
            ("oddities.refresh_refused", Exactly(2)),
        ],
    },
    // ---- What the server says of itself.
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
        name: "metrics-absent",
        defect: "there is no /metrics for a while",
        faults: "[[fault]]\nkind = \"metrics\"\nat = \"3100ms\"\nduration = \"1200ms\"\npod = 0\nshow = \"absent\"\n",
        set: &[],
        expected: &[("scrape_failures", Done(Deed::ScrapeAltered)), ("dropped_is_lower_bound", Exactly(1))],
    },
    // ---- Clients and their network.
    Row {
        name: "reset",
        defect: "a network resets connections",
        faults: "[[fault]]\nkind = \"reset\"\nat = \"3100ms\"\nshare = \"50%\"\n",
        set: &[],
        expected: &[("disconnects.reset", Hit(0))],
    },
    Row {
        name: "cut",
        defect: "a network ends connections of one tenant in order",
        faults: "[[fault]]\nkind = \"cut\"\nat = \"3100ms\"\ntenant = 1\n",
        set: &[],
        expected: &[("disconnects.eof", Hit(0))],
    },
    Row {
        name: "silent",
        defect: "a black hole: sockets stay open and nothing passes",
        faults: "[[fault]]\nkind = \"silent\"\nat = \"2100ms\"\nduration = \"5s\"\nclients = [0, 3]\n",
        set: &["client.bridge=stream-first"],
        expected: &[("disconnects.silent", Hit(0))],
    },
    Row {
        name: "slow-reader",
        defect: "clients read late",
        faults: "[[fault]]\nkind = \"slow-reader\"\nat = \"3100ms\"\nduration = \"3s\"\nclients = [0, 3]\nby = \"1400ms\"\n",
        set: &[],
        expected: &[("late_live", AtLeast(1))],
    },
    Row {
        name: "no-pongs",
        defect: "pongs do not leave",
        faults: "[[fault]]\nkind = \"no-pongs\"\nat = \"1600ms\"\nduration = \"5s\"\nclients = [0, 3]\n",
        set: &["client.bridge=stream-first"],
        expected: &[("disconnects.ping_timeout", Hit(0)), ("close_code.4003", Hit(0))],
    },
    Row {
        name: "same-token",
        defect: "somebody else signs in with the same token",
        faults: "[[fault]]\nkind = \"same-token\"\nat = \"7500ms\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[
            ("disconnects.duplicate_connection", Hit(0)),
            ("close_code.4003", Hit(0)),
            ("evicted", Hit(0)),
            ("not_ready_at_end", Hit(0)),
        ],
    },
    Row {
        name: "expire-token",
        defect: "tokens expire on the way",
        faults: "[[fault]]\nkind = \"expire-token\"\nat = \"3100ms\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[
            ("disconnects.reset", Hit(0)),
            ("tokens.rejected", Hit(0)),
            ("oddities.sync_unauthorized", Hit(0)),
        ],
    },
    Row {
        name: "outage",
        defect: "the network of some clients is down for a while",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0, 3]\n",
        set: &[],
        expected: &[("disconnects.reset", Hit(0)), ("reconnects.backed_off", AtLeast(4))],
    },
    Row {
        name: "outage-sync",
        defect: "streams cannot be had for a while, and sync can: offline polling",
        faults: "[[fault]]\nkind = \"outage\"\nat = \"1600ms\"\nduration = \"5s\"\nclients = [0, 3]\nsync = true\n",
        set: &["client.offline_after=1s", "client.poll_timeout=2s"],
        expected: &[("disconnects.reset", Hit(0)), ("poll_delivery", AtLeast(1))],
    },
    // Nothing is stored before they die: what came until then, 9 events in each of 2 rooms, comes again to each of 2.
    Row {
        name: "restart",
        defect: "processes die and are started again at once, from older positions",
        faults: "[[fault]]\nkind = \"restart\"\nat = \"3100ms\"\nclients = [0, 3]\n",
        set: &["client.flush_interval=10m"],
        expected: &[("disconnects.killed", Hit(0)), ("replayed", Exactly(36))],
    },
    // And here 5 in each, with 6 published while they are down, which are bridged and no defect either.
    Row {
        name: "restart-down",
        defect: "processes die, and are started again later, from older positions",
        faults: "[[fault]]\nkind = \"restart\"\nat = \"2100ms\"\nduration = \"1500ms\"\nclients = [0, 3]\n",
        set: &["client.flush_interval=10m", "client.bridge=stream-first"],
        expected: &[("disconnects.killed", Hit(0)), ("replayed", Exactly(20))],
    },
    // By now all is quiet, and everything that came is stored.
    Row {
        name: "restart-stored",
        defect: "processes die when all that came is stored",
        faults: "[[fault]]\nkind = \"restart\"\nat = \"8s\"\nclients = [0, 3]\n",
        set: &["client.flush_interval=100ms"],
        expected: &[("disconnects.killed", Hit(0)), ("replayed", Exactly(0))],
    },
    // ---- Everything at once.
    Row {
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
    },
];

/// What one fault did.
fn of(truth: &target::Truth, fault: u32, deed: Deed) -> u64 {
    let fault = truth.faults.iter().find(|told| told.index == fault);
    fault.map_or(0, |fault| fault.count(deed))
}

/// Frames that were held back for longer than this.
fn late(truth: &target::Truth, bound_ms: u128) -> u64 {
    let delays = truth.faults.iter().flat_map(|fault| &fault.delays);
    delays.filter(|delay| delay.as_millis() > bound_ms).count() as u64
}

/// A deaf stream does not bring the fences either, one for each of a client's two rooms, and nobody is owed those.
fn owed_and_omitted(truth: &target::Truth) -> u64 {
    truth.count(Deed::FrameOmitted).saturating_sub(2 * 2)
}
