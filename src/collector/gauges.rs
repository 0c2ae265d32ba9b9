//! How `scaiwave_ws_connections` compares with the clients that are live, all together and tenant by tenant: what one
//! tenant's gauge has too many and another's too few cancels in the sum.
//!
//! Seed: the gauge "should be stable in normal operation". Stable is within 1 % of our own count, two looks running, for one
//! look may fall into a change (issue 4). Of fewer than a hundred clients 1 % is less than one connection, and a gauge and a
//! count are never of the very same moment: **a tenant is allowed 1 % of its live clients, or one connection, whichever is
//! more** (ours). The sum is not.
//!
//! What a tenant is called in the label is documented nowhere: the id that `register` answers, or the name that the credentials
//! have, whichever is there (ours). A label that is none of ours is somebody else's and stands in the sum alone; as long as no
//! label is one of ours nothing is known of any tenant, and nothing is compared. From then on a tenant without a label has
//! no connections.

use std::collections::BTreeMap;

use super::collected::UnstableTenant;
use super::exposition::each;

/// The label of the gauge (seed).
const LABEL: &str = "tenant";

/// Tenants that are named in the summary; how many there are is counted all the same (ours).
const NAMED: usize = 20;

/// Looks at one number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stability {
    compared: u64,
    /// Looks that were off, one after the other, up to the last.
    running: u64,
    /// Of all looks: those that were off, as the one before them was.
    unstable: u64,
}

impl Stability {
    /// Whether the number is unstable now: off by more than 1 % and by more than `allowed`, and for the second time running.
    pub(super) fn look(&mut self, gauge: u64, live: u64, allowed: u64) -> bool {
        self.compared += 1;
        let off = gauge.abs_diff(live);
        self.running = if off.saturating_mul(100) > live && off > allowed { self.running + 1 } else { 0 };
        self.unstable += u64::from(self.running >= 2);
        self.running >= 2
    }

    /// The next look is the first one again.
    pub(super) fn interrupt(&mut self) {
        self.running = 0;
    }

    /// How often; `None`: one look cannot be two running.
    pub(super) fn unstable(&self) -> Option<u64> {
        (self.compared > 1).then_some(self.unstable)
    }
}

/// What one pod says of each tenant; empty: nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Share(Box<[Option<u64>]>);

/// The gauge by tenant.
#[derive(Debug)]
pub(super) struct Gauges {
    /// Ids of the tenants, by index in the plan.
    ids: Vec<Box<str>>,
    /// Their indices by all that they may be called; what two of them are called is no name.
    labels: BTreeMap<Box<str>, Option<usize>>,
    tenants: Vec<Tenant>,
    compared: u64,
    /// Looks at which at least one tenant was unstable.
    unstable: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tenant {
    stability: Stability,
    /// Gauge and live clients at the last look that counted.
    last: (u64, u64),
}

impl Gauges {
    /// With all that each tenant may be called, its id first.
    pub(super) fn new(names: &[Vec<Box<str>>]) -> Self {
        let mut labels = BTreeMap::new();
        for (tenant, names) in names.iter().enumerate() {
            for name in names.iter().filter(|name| !name.is_empty()) {
                let owner = labels.entry(name.clone()).or_insert(Some(tenant));
                *owner = owner.filter(|owner| *owner == tenant);
            }
        }
        Self {
            ids: names.iter().map(|names| names.first().cloned().unwrap_or_default()).collect(),
            labels,
            tenants: vec![Tenant::default(); names.len()],
            compared: 0,
            unstable: 0,
        }
    }

    /// The gauge of a page: the sum over all label sets, and what of it is whose.
    pub(super) fn read(&self, page: &str, name: &str) -> (Option<u64>, Share) {
        let mut own: Box<[Option<u64>]> = Box::default();
        let sum = each(page, name, |labels, value| {
            let label = labels.value(LABEL);
            let tenant = label.and_then(|label| self.labels.get(&*label).copied().flatten());
            if let Some(tenant) = tenant {
                if own.is_empty() {
                    own = vec![None; self.tenants.len()].into();
                }
                *own[tenant].get_or_insert(0) += value as u64;
            }
        });
        (sum, Share(if sum.is_some() { own } else { Box::default() }))
    }

    /// All pods have told what they have, in quiet times; `live` by tenant.
    pub(super) fn look<'s>(&mut self, shares: impl Iterator<Item = &'s Share>, live: &[u64]) {
        let mut gauges: Vec<u64> = vec![0; self.tenants.len()];
        let mut known = false;
        for Share(own) in shares {
            for (gauge, own) in gauges.iter_mut().zip(own) {
                known |= own.is_some();
                *gauge = gauge.saturating_add(own.unwrap_or(0));
            }
        }
        if !known {
            return self.interrupt();
        }
        self.compared += 1;
        let mut any = false;
        for ((tenant, gauge), &live) in self.tenants.iter_mut().zip(gauges).zip(live) {
            if tenant.stability.look(gauge, live, 1) {
                (tenant.last, any) = ((gauge, live), true);
            }
        }
        self.unstable += u64::from(any);
    }

    /// The next look is the first one again.
    pub(super) fn interrupt(&mut self) {
        self.tenants.iter_mut().for_each(|tenant| tenant.stability.interrupt());
    }

    /// Looks at which some tenant was unstable; `None`: it was never compared twice.
    pub(super) fn unstable(&self) -> Option<u64> {
        (self.compared > 1).then_some(self.unstable)
    }

    /// Those that were, the most often first.
    pub(super) fn unstable_tenants(&self) -> Vec<UnstableTenant> {
        let own = self.ids.iter().zip(&self.tenants).filter_map(|(id, tenant)| {
            let looks = tenant.stability.unstable().filter(|&looks| looks > 0)?;
            let (gauge, live) = tenant.last;
            Some(UnstableTenant { tenant_id: id.to_string(), looks, gauge, live })
        });
        let mut own: Vec<UnstableTenant> = own.collect();
        own.sort_by_key(|tenant| std::cmp::Reverse(tenant.looks));
        own.truncate(NAMED);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "ws";

    fn gauges() -> Gauges {
        Gauges::new(&[vec!["id-0".into(), "acme".into(), "both".into()], vec!["id-1".into(), "both".into()]])
    }

    /// Looks at this page so often; the looks that were unstable.
    fn looks(gauges: &mut Gauges, page: &str, live: [u64; 2], times: u32) -> Option<u64> {
        for _ in 0..times {
            let (_, share) = gauges.read(page, NAME);
            gauges.look([&share, &Share::default()].into_iter(), &live);
        }
        gauges.unstable()
    }

    #[test]
    fn a_tenant_goes_by_any_of_its_names_and_what_two_are_called_is_nobodys() {
        let page = "ws{tenant=\"acme\"} 150\nws{pod=\"x\",tenant=\"id-0\"} 50\nws{tenant=\"id-1\"} 200\n\
                    ws{tenant=\"both\"} 900\nws{tenant=\"stranger\"} 7\n";
        let mut gauges = gauges();
        assert_eq!(gauges.read(page, NAME).0, Some(150 + 50 + 200 + 900 + 7), "all of it is in the sum");
        assert_eq!(looks(&mut gauges, page, [200, 200], 3), Some(0));
    }

    #[test]
    fn of_a_small_tenant_one_connection_proves_nothing_and_two_do() {
        let page = |first: u64| format!("ws{{tenant=\"id-0\"}} {first}\nws{{tenant=\"id-1\"}} 20\n");
        for (first, unstable) in [(19, 0), (20, 0), (21, 0), (18, 2), (22, 2)] {
            assert_eq!(looks(&mut gauges(), &page(first), [20, 20], 3), Some(unstable), "{first}");
        }
        // Nobody is live, and the gauge still shows some.
        assert_eq!(looks(&mut gauges(), &page(3), [0, 20], 2), Some(1));
    }

    #[test]
    fn where_no_label_is_ours_nothing_is_known_and_where_one_is_a_missing_one_is_none() {
        for page in ["ws 40", "ws{tenant=\"x\"} 40", "# TYPE ws gauge\n", "up 1", "ws{tenant=\"id-0\"} NaN"] {
            assert_eq!(looks(&mut gauges(), page, [20, 20], 3), None, "{page}");
        }
        let mut gauges = gauges();
        assert_eq!(looks(&mut gauges, "ws{tenant=\"id-0\"} 40", [20, 20], 3), Some(2));
        let told: Vec<_> =
            gauges.unstable_tenants().into_iter().map(|one| (one.tenant_id, one.gauge)).collect();
        assert_eq!(told, [("id-0".to_owned(), 40), ("id-1".to_owned(), 0)]);
    }
}
