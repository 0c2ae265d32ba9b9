//! `tenants.csv`: one row per tenant.

use serde::Serialize;

use crate::collector::collected::Tenant;
use crate::report::summary::Latency;

/// All tenants as CSV with a head; unknown is empty.
pub(super) fn render(tenants: &[Tenant]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for tenant in tenants {
        writer.serialize(Row::of(tenant))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The columns.
#[derive(Serialize)]
struct Row<'a> {
    tenant: u32,
    tenant_id: Option<&'a str>,
    clients: u64,
    disconnects: u64,
    publishes_intended: u64,
    publishes_unsent: u64,
    publishes_acknowledged: u64,
    publishes_rejected: u64,
    publishes_unknown: u64,
    double_stored: u64,
    expected: u64,
    live: u64,
    bridged: u64,
    missed_after_bridging: u64,
    undecided: u64,
    missed_on_stream: u64,
    missed_in_sync: u64,
    missed_in_seam: u64,
    missed_behind_cursor: u64,
    missed_unplaced: u64,
    recoverable: u64,
    lost_by_server: u64,
    signalled_loss: u64,
    unaudited: u64,
    stream_omitted: u64,
    duplicate: u64,
    redelivered: u64,
    replayed: u64,
    out_of_order: u64,
    unexpected: u64,
    leaked: u64,
    leaked_room: u64,
    unowed: u64,
    arrival_us_p50: Option<u64>,
    arrival_us_p99: Option<u64>,
    arrival_us_max: Option<u64>,
    arrival_not_delivered: u64,
    delivery_intended_us_p50: Option<u64>,
    delivery_intended_us_p99: Option<u64>,
    delivery_intended_us_max: Option<u64>,
}

impl<'a> Row<'a> {
    fn of(tenant: &'a Tenant) -> Self {
        let (publishes, deliveries) = (&tenant.publishes, &tenant.deliveries);
        let arrival = Latency::of(&tenant.arrival);
        let delivery = Latency::of(&tenant.delivery_intended);
        Self {
            tenant: tenant.tenant,
            tenant_id: tenant.tenant_id.as_deref(),
            clients: tenant.clients,
            disconnects: tenant.disconnects,
            publishes_intended: publishes.intended,
            publishes_unsent: publishes.unsent,
            publishes_acknowledged: publishes.acknowledged,
            publishes_rejected: publishes.rejected,
            publishes_unknown: publishes.unknown,
            double_stored: publishes.double_stored,
            expected: deliveries.expected,
            live: deliveries.live,
            bridged: deliveries.bridged,
            missed_after_bridging: deliveries.missed_after_bridging,
            undecided: deliveries.undecided,
            missed_on_stream: deliveries.missed_on_stream,
            missed_in_sync: deliveries.missed_in_sync,
            missed_in_seam: deliveries.missed_in_seam,
            missed_behind_cursor: deliveries.missed_behind_cursor,
            missed_unplaced: deliveries.missed_unplaced,
            recoverable: deliveries.recoverable,
            lost_by_server: deliveries.lost_by_server,
            signalled_loss: deliveries.signalled_loss,
            unaudited: deliveries.unaudited,
            stream_omitted: deliveries.stream_omitted,
            duplicate: deliveries.duplicate,
            redelivered: deliveries.redelivered,
            replayed: deliveries.replayed,
            out_of_order: deliveries.out_of_order,
            unexpected: deliveries.unexpected,
            leaked: deliveries.leaked,
            leaked_room: deliveries.leaked_room,
            unowed: deliveries.unowed,
            arrival_us_p50: arrival.p50,
            arrival_us_p99: arrival.p99,
            arrival_us_max: arrival.max,
            arrival_not_delivered: arrival.not_delivered,
            delivery_intended_us_p50: delivery.p50,
            delivery_intended_us_p99: delivery.p99,
            delivery_intended_us_max: delivery.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_tenant_has_a_row_under_the_head() {
        let text = String::from_utf8(render(&sample::collected().tenants).expect("CSV")).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].starts_with("tenant,tenant_id,clients,disconnects,publishes_intended,"),
            "{}",
            lines[0]
        );
        assert!(lines[2].starts_with("1,tenant-0001,50,16,500,0,500,0,0,0,25000,24997,0,3,"), "{}", lines[2]);
    }
}
