//! Facts into numbers: ledger, latency, connections, timeline, server metrics, strain.

pub mod collected;
pub mod ledger;
