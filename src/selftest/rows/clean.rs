//! Runs without a defect.

use super::super::Row;

/// The rows.
pub(super) const ROWS: &[Row] = &[
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
];
