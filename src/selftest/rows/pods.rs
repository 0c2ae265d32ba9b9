//! Pods and balancer.

use super::super::Count::{Any, AtLeast, Done, Exactly};
use super::super::Row;
use crate::target::Deed;

/// The rows.
pub(super) const ROWS: &[Row] = &[
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
        name: "max-age",
        defect: "a balancer ends streams at an age, busy or not",
        faults: "[[fault]]\nkind = \"max-age\"\nat = \"2100ms\"\nduration = \"3s\"\ntimeout = \"1s\"\n",
        set: &["traffic.rate=0/s"],
        expected: &[("disconnects.eof", Done(Deed::StreamCut))],
    },
    Row {
        name: "reject-tokens",
        defect: "tokens are refused",
        // They come late in the ramp: whoever came as the fault began would have its sync answered, and its stream refused.
        faults: "[[fault]]\nkind = \"reject-tokens\"\nat = \"0s\"\nclients = [8, 11]\n",
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
];
