//! Clients and their network.

use super::super::Count::{AtLeast, Exactly, Hit};
use super::super::Row;

/// The rows.
pub(super) const ROWS: &[Row] = &[
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
];
