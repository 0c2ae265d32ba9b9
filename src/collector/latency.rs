//! Latencies: one histogram per metric and interval, folded into one per metric and run; two per tenant.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collected::{Distribution, Metric};

/// All latency series of a stripe.
#[derive(Debug, Default)]
pub struct Latency {
    interval: BTreeMap<Metric, Distribution>,
    run: BTreeMap<Metric, Distribution>,
    /// Per tenant: `arrival` and `delivery_intended`, made on first use.
    tenants: Vec<Option<Box<(Distribution, Distribution)>>>,
}

/// Significant digits of a fleet's and of a tenant's histogram; above [`MANY_TENANTS`] a tenant's coarsen.
const FLEET_DIGITS: u8 = 3;
const TENANT_DIGITS: u8 = 2;
const MANY_TENANTS: usize = 1_000;

impl Latency {
    /// Empty, for so many tenants.
    pub fn new(tenants: usize) -> Self {
        let empty =
            || Metric::ALL.into_iter().map(|metric| (metric, Distribution::new(FLEET_DIGITS))).collect();
        Self { interval: empty(), run: empty(), tenants: (0..tenants).map(|_| None).collect() }
    }

    /// Records a latency of the fleet.
    pub fn record(&mut self, metric: Metric, latency: Duration) {
        if let Some(series) = self.interval.get_mut(&metric) {
            series.record(latency);
        }
    }

    /// Something that was waited for did not come.
    pub fn record_never(&mut self, metric: Metric) {
        if let Some(series) = self.interval.get_mut(&metric) {
            series.not_delivered += 1;
        }
    }

    /// Records an arrival of one tenant, and whether it was live.
    pub fn arrived(&mut self, tenant: u32, latency: Duration, live: bool) {
        self.record(Metric::Arrival, latency);
        let (arrival, intended) = self.of_tenant(tenant);
        arrival.record(latency);
        if live {
            intended.record(latency);
            self.record(Metric::DeliveryIntended, latency);
        }
    }

    /// Something of this tenant never arrived.
    pub fn never_arrived(&mut self, tenant: u32, count: u64) {
        self.of_tenant(tenant).0.not_delivered += count;
        if let Some(series) = self.interval.get_mut(&Metric::Arrival) {
            series.not_delivered += count;
        }
    }

    /// The interval is over: its series, which now belong to the run.
    pub fn turn(&mut self) -> BTreeMap<Metric, Distribution> {
        let mut turned = BTreeMap::new();
        for (metric, series) in &mut self.interval {
            if series.count() == 0 {
                continue;
            }
            if let Some(run) = self.run.get_mut(metric) {
                run.merge(series);
            }
            turned.insert(*metric, std::mem::replace(series, Distribution::new(FLEET_DIGITS)));
        }
        turned
    }

    /// The interval so far.
    pub fn interval(&self, metric: Metric) -> Option<&Distribution> {
        self.interval.get(&metric)
    }

    /// The whole run so far, interval included.
    pub fn totals(&self) -> BTreeMap<Metric, Distribution> {
        let mut totals = self.run.clone();
        for (metric, series) in &self.interval {
            if let Some(total) = totals.get_mut(metric) {
                total.merge(series);
            }
        }
        totals
    }

    /// `arrival` and `delivery_intended` of one tenant.
    pub fn tenant(&self, tenant: u32) -> (Distribution, Distribution) {
        let digits = self.tenant_digits();
        let empty = || (Distribution::new(digits), Distribution::new(digits));
        self.tenants[tenant as usize].as_deref().cloned().unwrap_or_else(empty)
    }

    fn of_tenant(&mut self, tenant: u32) -> &mut (Distribution, Distribution) {
        let digits = self.tenant_digits();
        self.tenants[tenant as usize]
            .get_or_insert_with(|| Box::new((Distribution::new(digits), Distribution::new(digits))))
    }

    fn tenant_digits(&self) -> u8 {
        if self.tenants.len() > MANY_TENANTS { 1 } else { TENANT_DIGITS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn count(series: Option<&Distribution>) -> u64 {
        series.expect("every metric has a series").count()
    }

    #[test]
    fn an_arrival_counts_for_the_fleet_and_for_its_tenant_and_a_live_one_twice() {
        let mut latency = Latency::new(2);
        latency.arrived(1, MS, true);
        latency.arrived(1, MS, false);
        latency.never_arrived(1, 3);
        assert_eq!(count(latency.interval(Metric::Arrival)), 5);
        assert_eq!(latency.interval(Metric::Arrival).map(|series| series.not_delivered), Some(3));
        assert_eq!(count(latency.interval(Metric::DeliveryIntended)), 1);
        let (arrival, intended) = latency.tenant(1);
        assert_eq!((arrival.count(), arrival.not_delivered, intended.count()), (5, 3, 1));
        let (arrival, intended) = latency.tenant(0);
        assert_eq!((arrival.count(), intended.count()), (0, 0));
    }

    #[test]
    fn intervals_add_up_to_the_run() {
        let mut latency = Latency::new(1);
        latency.record(Metric::Hello, MS);
        latency.record(Metric::Hello, MS);
        let turned = latency.turn();
        assert_eq!((turned.len(), count(turned.get(&Metric::Hello))), (1, 2));
        assert_eq!(count(latency.interval(Metric::Hello)), 0);
        latency.record(Metric::Hello, MS);
        assert_eq!(count(latency.totals().get(&Metric::Hello)), 3);
        assert_eq!(count(latency.totals().get(&Metric::Connect)), 0);
        assert_eq!(latency.totals().len(), Metric::ALL.len());
    }

    #[test]
    fn very_many_tenants_have_coarser_histograms() {
        let size = |tenants| Latency::new(tenants).tenant(0).0.histogram.sigfig();
        assert_eq!((size(MANY_TENANTS), size(MANY_TENANTS + 1)), (2, 1));
        let mut latency = Latency::new(MANY_TENANTS + 1);
        latency.arrived(0, MS, true);
        assert_eq!(latency.tenant(0).0.histogram.sigfig(), 1);
    }
}
