//! Hello and subscription.

use super::super::Count::{Done, Hit, Truth};
use super::super::Row;
use crate::target::Deed;

/// The rows.
pub(super) const ROWS: &[Row] = &[
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
];
