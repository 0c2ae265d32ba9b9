//! What the pods say of themselves: `/metrics`, scraped before, during and after; counter resets handled.

use super::collected::{Server, WsConnections};
use super::exposition::sum;
use super::gauges::{Gauges, Share, Stability};

/// A counter of the seed page: non-zero is bad.
const DROPPED: &str = "scaiwave_ws_messages_dropped_total";
/// A gauge of the seed page: stable in normal operation.
const CONNECTIONS: &str = "scaiwave_ws_connections";

/// All endpoints that are scraped.
#[derive(Debug)]
pub struct Servers {
    endpoints: Vec<Endpoint>,
    /// One endpoint answers for several pods: its numbers jump between them.
    partial: bool,
    before: Option<u64>,
    /// The first round is over: `before` is settled, known or not.
    settled: bool,
    peak: Option<u64>,
    failures: u64,
    stability: Stability,
    /// `None`: nobody has said what the tenants are called.
    tenants: Option<Gauges>,
    /// All clients have left, and the pods had time to notice.
    deserted: bool,
}

#[derive(Clone, Debug, Default)]
struct Endpoint {
    seen: bool,
    /// Its address came to the name while the run went on: what it had dropped before its first look nobody knows.
    late: bool,
    /// The name that it came from has no such address any more.
    gone: bool,
    up: bool,
    dropped: Option<Counter>,
    connections: Option<u64>,
    /// The same by tenant.
    share: Share,
    lacks: [bool; 2],
}

impl Endpoint {
    fn show(&mut self, page: &str, tenants: Option<&Gauges>) {
        let first = !self.seen;
        (self.seen, self.up) = (true, true);
        let dropped = sum(page, DROPPED);
        let (connections, share) = match tenants {
            Some(tenants) => tenants.read(page, CONNECTIONS),
            None => (sum(page, CONNECTIONS), Share::default()),
        };
        self.lacks = [dropped.is_none(), connections.is_none()];
        match (&mut self.dropped, dropped) {
            (Some(counter), Some(value)) => counter.show(value),
            // A counter that appears after the first look began at zero.
            (none, Some(value)) => *none = Some(Counter::starting_at(value, !first)),
            (_, None) => {}
        }
        // An answer that was under way when its address was taken from the name still tells what was dropped; its
        // connections are another moment's, and nobody will ever correct them.
        (self.connections, self.share) =
            if self.gone { (None, Share::default()) } else { (connections, share) };
    }
}

/// A counter that survives resets.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    first: u64,
    last: u64,
    /// Growth before the last reset.
    carried: u64,
    reset: bool,
}

impl Counter {
    fn starting_at(value: u64, from_zero: bool) -> Self {
        Self { first: if from_zero { 0 } else { value }, last: value, ..Self::default() }
    }

    fn show(&mut self, value: u64) {
        if value < self.last {
            self.carried = self.growth();
            self.first = 0;
            self.reset = true;
        }
        self.last = value;
    }

    fn growth(&self) -> u64 {
        self.carried.saturating_add(self.last - self.first)
    }

    /// What is proved where pods take turns to answer: once it has gone back, it is the counters of several that were seen,
    /// and of none of them anything grew for sure.
    fn growth_of_several(&self) -> u64 {
        if self.reset { 0 } else { self.growth() }
    }
}

impl Servers {
    /// Nothing scraped yet.
    pub fn new(endpoints: usize, partial: bool) -> Self {
        let endpoints = vec![Endpoint::default(); endpoints];
        Self {
            endpoints,
            partial,
            before: None,
            settled: false,
            peak: None,
            failures: 0,
            stability: Stability::default(),
            tenants: None,
            deserted: false,
        }
    }

    /// What each tenant may be called in the label `tenant`, by its index in the plan.
    #[must_use]
    pub fn with_tenants(self, names: &[Vec<Box<str>>]) -> Self {
        Self { tenants: Some(Gauges::new(names)), ..self }
    }

    /// The name of an endpoint has this address, or has it no more. A new one counts from its first look.
    pub fn there(&mut self, endpoint: usize, there: bool) {
        if endpoint == self.endpoints.len() && there {
            self.endpoints.push(Endpoint { late: true, ..Endpoint::default() });
        }
        if let Some(place) = self.endpoints.get_mut(endpoint) {
            place.gone = !there;
            if !there {
                (place.connections, place.share) = (None, Share::default());
            }
        }
    }

    /// The gauge against the clients that are live, all together and `live_of` each tenant, after a round in quiet times; else
    /// a round that proves nothing. Other people's connections come and go as they like: where there are any, nothing is
    /// compared.
    pub fn compare(&mut self, live: u64, live_of: &[u64], quiet: bool) {
        let all_tell = self.endpoints.iter().all(|place| place.gone || place.connections.is_some());
        let known = self.connections().filter(|_| all_tell && !self.partial && self.before == Some(0));
        let Some(gauge) = known.filter(|_| quiet) else {
            self.stability.interrupt();
            self.tenants.iter_mut().for_each(Gauges::interrupt);
            return;
        };
        self.stability.look(gauge, live, 0);
        if let Some(tenants) = &mut self.tenants {
            tenants.look(self.endpoints.iter().map(|place| &place.share), live_of);
        }
    }

    /// All clients have left: what was seen while they were there is not what is there now, and a pod that is not seen again
    /// is one of which nothing is known.
    pub fn everybody_leaves(&mut self) {
        for place in &mut self.endpoints {
            (place.connections, place.share) = (None, Share::default());
        }
    }

    /// The pods had time to notice: what the gauge shows beyond those before is leaked.
    pub fn everybody_has_left(&mut self) {
        self.deserted = true;
    }

    /// Whether a look at this endpoint ends a round.
    pub fn ends_round(&self, endpoint: u32) -> bool {
        self.endpoints.iter().rposition(|place| !place.gone) == Some(endpoint as usize)
    }

    /// What an endpoint said; `None`: it did not answer. Looks come in rounds, the endpoints in order.
    pub fn scraped(&mut self, endpoint: u32, text: Option<&str>) {
        let ends_round = self.ends_round(endpoint);
        let Some(place) = self.endpoints.get_mut(endpoint as usize) else { return };
        match text {
            Some(page) => place.show(page, self.tenants.as_ref()),
            None => {
                place.up = false;
                (place.connections, place.share) = (None, Share::default());
                self.failures += 1;
            }
        }
        // Before the last of a round, the sum would be of two moments.
        if !ends_round {
            return;
        }
        let total = self.connections();
        if !self.settled {
            self.settled = true;
            self.before = total.filter(|_| self.endpoints.iter().all(|place| place.seen));
        }
        self.peak = self.peak.max(total);
    }

    /// Sum of the connections over the endpoints that answered last time.
    pub fn connections(&self) -> Option<u64> {
        self.endpoints.iter().filter_map(|place| place.connections).reduce(u64::saturating_add)
    }

    /// Growth of the dropped counter; `None`: no endpoint exposes it.
    pub fn dropped(&self) -> Option<u64> {
        let growth = if self.partial { Counter::growth_of_several } else { Counter::growth };
        let counters = self.endpoints.iter().filter_map(|place| place.dropped.as_ref());
        counters.map(growth).reduce(u64::saturating_add)
    }

    fn leaked(&self) -> Option<u64> {
        let known = self.deserted && !self.partial && self.before == Some(0);
        let all_tell = self.endpoints.iter().all(|place| place.gone || place.connections.is_some());
        self.connections().filter(|_| known && all_tell)
    }

    /// `server` of the summary.
    pub fn collected(&self) -> Server {
        let lacking = |which: usize| self.endpoints.iter().any(|place| place.seen && place.lacks[which]);
        let never = self.endpoints.is_empty() || self.endpoints.iter().any(|place| !place.seen);
        let not_exposed = [(DROPPED, lacking(0) || never), (CONNECTIONS, lacking(1) || never)];
        let reset = self.endpoints.iter().any(|place| place.dropped.is_some_and(|counter| counter.reset));
        // Of a pod that came or went, nobody has seen the beginning or the end.
        let moved = self.endpoints.iter().any(|place| place.gone || place.late);
        let dropped = self.dropped();
        Server {
            messages_dropped_total: dropped,
            dropped_is_lower_bound: dropped.is_some()
                && (reset || moved || self.failures > 0 || self.partial || not_exposed[0].1),
            ws_connections: WsConnections { before: self.before, peak: self.peak, after: self.connections() },
            connections_unstable: self.stability.unstable(),
            tenant_connections_unstable: self.tenants.as_ref().and_then(Gauges::unstable),
            unstable_tenants: self.tenants.as_ref().map_or_else(Vec::new, Gauges::unstable_tenants),
            connections_leaked: self.leaked(),
            fanout_failed: None,
            log: None,
            not_exposed: not_exposed
                .iter()
                .filter(|(_, lacks)| *lacks)
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            scrape_failures: self.failures,
            endpoints: self.endpoints.len() as u64,
            partial: self.partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dropped: u64, connections: &[u64]) -> String {
        let mut text = format!("# TYPE {DROPPED} counter\n{DROPPED} {dropped}\n# TYPE {CONNECTIONS} gauge\n");
        for (tenant, count) in connections.iter().enumerate() {
            text += &format!("{CONNECTIONS}{{tenant=\"t{tenant}\"}} {count}\n");
        }
        text
    }

    #[test]
    fn growth_survives_a_reset_as_a_lower_bound() {
        let mut servers = Servers::new(2, false);
        servers.scraped(0, Some(&text(5, &[1, 2])));
        servers.scraped(1, Some(&text(7, &[0])));
        servers.scraped(0, Some(&text(9, &[10, 20])));
        servers.scraped(1, Some(&text(7, &[0])));
        let before = servers.collected();
        assert_eq!((before.messages_dropped_total, before.dropped_is_lower_bound), (Some(4), false));
        assert_eq!(before.ws_connections, WsConnections { before: Some(3), peak: Some(30), after: Some(30) });
        servers.scraped(0, None);
        servers.scraped(0, Some(&text(2, &[1])));
        let after = servers.collected();
        assert_eq!((after.messages_dropped_total, after.dropped_is_lower_bound), (Some(6), true));
    }

    #[test]
    fn what_was_there_before_is_what_the_first_look_at_all_pods_showed() {
        let mut servers = Servers::new(2, false);
        servers.scraped(0, Some(&text(0, &[])));
        servers.scraped(1, Some(&text(0, &[3])));
        servers.scraped(1, Some(&text(0, &[9])));
        assert_eq!(servers.collected().ws_connections.before, Some(3), "declared without a tenant is none");
        let mut servers = Servers::new(1, false);
        servers.scraped(0, Some("up 1\n"));
        servers.scraped(0, Some(&text(0, &[9])));
        assert_eq!(servers.collected().ws_connections.before, None, "later looks are not before");
    }

    #[test]
    fn a_number_that_cannot_be_right_is_not_known() {
        let mut servers = Servers::new(2, false);
        let page = format!("# TYPE {DROPPED} counter\n{DROPPED} NaN\n{CONNECTIONS} 1e300\n");
        servers.scraped(0, Some(&page));
        servers.scraped(1, Some(&page));
        let server = servers.collected();
        assert_eq!((server.messages_dropped_total, server.ws_connections.peak), (None, None));
        assert_eq!(server.not_exposed, [DROPPED, CONNECTIONS]);
        servers.scraped(0, Some(&text(3, &[1])));
        servers.scraped(1, Some(&page));
        let server = servers.collected();
        assert_eq!((server.messages_dropped_total, server.dropped_is_lower_bound), (Some(3), true));
    }

    #[test]
    fn a_gauge_that_is_off_for_the_second_time_running_is_unstable() {
        let mut servers = Servers::new(2, false);
        let mut look = |first: u64, second: u64, live: u64, quiet: bool| {
            servers.scraped(0, Some(&text(0, &[first])));
            servers.scraped(1, Some(&text(0, &[second])));
            servers.compare(live, &[], quiet);
            servers.collected().connections_unstable
        };
        assert_eq!(look(0, 0, 0, false), None, "not compared");
        assert_eq!(look(100, 100, 200, true), None, "one look cannot be two running");
        assert_eq!(look(101, 101, 200, true), Some(0), "1 % is as it should be");
        assert_eq!(look(101, 102, 200, true), Some(0), "a look may fall into a change");
        assert_eq!(look(97, 100, 200, true), Some(1));
        assert_eq!(look(97, 100, 200, false), Some(1), "not in a fault");
        assert_eq!(look(97, 100, 200, true), Some(1), "which interrupts");
        assert_eq!(look(97, 100, 200, true), Some(2));
    }

    #[test]
    fn nothing_is_compared_that_is_not_all_there_is_or_not_all_ours() {
        for (before, partial, page) in [(3, false, 100), (0, true, 100)] {
            let mut servers = Servers::new(1, partial);
            servers.scraped(0, Some(&text(0, &[before])));
            for _ in 0..5 {
                servers.scraped(0, Some(&text(0, &[page])));
                servers.compare(50, &[], true);
            }
            servers.everybody_has_left();
            let server = servers.collected();
            assert_eq!((server.connections_unstable, server.connections_leaked), (None, None));
        }
    }

    #[test]
    fn what_the_gauge_still_shows_when_everybody_has_left_is_leaked() {
        let mut servers = Servers::new(1, false);
        servers.scraped(0, Some(&text(0, &[])));
        servers.scraped(0, Some(&text(0, &[30, 2])));
        assert_eq!(servers.collected().connections_leaked, None, "they are still there");
        servers.everybody_leaves();
        servers.everybody_has_left();
        let server = servers.collected();
        assert_eq!(
            (server.connections_leaked, server.ws_connections.after),
            (None, None),
            "nobody has looked"
        );
        servers.scraped(0, Some(&text(0, &[0, 2])));
        servers.everybody_has_left();
        assert_eq!(servers.collected().connections_leaked, Some(2));
        servers.scraped(0, None);
        assert_eq!(servers.collected().connections_leaked, None, "nobody has looked");
    }

    #[test]
    fn pods_come_and_go_and_their_drops_stay() {
        let mut servers = Servers::new(1, false);
        servers.scraped(0, Some(&text(1, &[0])));
        servers.there(1, true);
        servers.scraped(0, Some(&text(3, &[5])));
        servers.scraped(1, Some(&text(10, &[5])));
        servers.scraped(1, Some(&text(14, &[5])));
        servers.there(1, false);
        servers.scraped(0, Some(&text(3, &[10])));
        servers.there(7, false);
        let server = servers.collected();
        assert_eq!((server.messages_dropped_total, server.endpoints), (Some(6), 2));
        assert!(server.dropped_is_lower_bound, "what it dropped before its first look and after its last");
        assert_eq!(server.ws_connections, WsConnections { before: Some(0), peak: Some(10), after: Some(10) });
    }

    #[test]
    fn an_answer_of_a_pod_that_has_just_gone_adds_no_connections_to_those_of_the_others() {
        let mut servers = Servers::new(2, false);
        servers.scraped(0, Some(&text(0, &[0])));
        servers.scraped(1, Some(&text(0, &[0])));
        servers.there(1, false);
        servers.scraped(1, Some(&text(3, &[7])));
        servers.scraped(0, Some(&text(0, &[10])));
        let server = servers.collected();
        assert_eq!((server.ws_connections.peak, server.ws_connections.after), (Some(10), Some(10)));
        assert_eq!(server.messages_dropped_total, Some(3), "that much it did drop");
    }

    #[test]
    fn tenants_that_drift_apart_are_told_although_their_sum_is_right() {
        let names = [vec!["t0".into(), "acme".into()], vec!["t1".into()]];
        let mut servers = Servers::new(2, false).with_tenants(&names);
        let mut look = |first: &[u64], second: &[u64], quiet: bool| {
            servers.scraped(0, Some(&text(0, first)));
            servers.scraped(1, Some(&text(0, second)));
            servers.compare(400, &[200, 200], quiet);
            let server = servers.collected();
            assert_ne!(server.connections_unstable, Some(1), "the sum is right");
            (server.tenant_connections_unstable, server.unstable_tenants)
        };
        assert_eq!(look(&[0, 0], &[0, 0], false), (None, Vec::new()));
        assert_eq!(look(&[100, 101], &[100, 99], true).0, None, "one look cannot be two running");
        assert_eq!(look(&[102, 98], &[100, 100], true).0, Some(0), "1 % is as it should be");
        assert_eq!(look(&[105, 95], &[100, 100], true).0, Some(0), "a look may fall into a change");
        let (looks, tenants) = look(&[105, 95], &[100, 100], true);
        assert_eq!(looks, Some(1));
        let told: Vec<_> =
            tenants.iter().map(|one| (&*one.tenant_id, one.looks, one.gauge, one.live)).collect();
        assert_eq!(told, [("t0", 1, 205, 200), ("t1", 1, 195, 200)]);
        assert_eq!(look(&[105, 95], &[100, 100], false).0, Some(1), "not in a fault");
        assert_eq!(look(&[105, 95], &[100, 100], true).0, Some(1), "which interrupts");
    }

    #[test]
    fn what_a_pod_does_not_expose_is_not_zero() {
        let mut servers = Servers::new(1, false);
        servers.scraped(0, Some("up 1\n"));
        let server = servers.collected();
        assert_eq!(server.messages_dropped_total, None);
        assert_eq!(server.not_exposed, [DROPPED, CONNECTIONS]);
    }

    #[test]
    fn a_pod_that_was_never_seen_exposes_nothing_and_so_does_none_at_all() {
        let mut servers = Servers::new(2, false);
        servers.scraped(0, Some(&text(4, &[3])));
        servers.scraped(0, Some(&text(6, &[3])));
        servers.scraped(1, None);
        let server = servers.collected();
        assert_eq!(server.not_exposed, [DROPPED, CONNECTIONS]);
        assert_eq!((server.messages_dropped_total, server.dropped_is_lower_bound), (Some(2), true));
        assert_eq!((server.scrape_failures, server.endpoints, server.partial), (1, 2, false));
        assert_eq!(Servers::new(0, true).collected().not_exposed, [DROPPED, CONNECTIONS]);
    }

    #[test]
    fn pods_that_take_turns_behind_a_balancer_have_dropped_nothing_by_that() {
        let mut servers = Servers::new(1, true);
        for dropped in [3, 0, 3, 0, 3] {
            servers.scraped(0, Some(&text(dropped, &[1])));
        }
        let server = servers.collected();
        assert_eq!((server.messages_dropped_total, server.dropped_is_lower_bound), (Some(0), true));
    }

    #[test]
    fn what_one_pod_says_for_all_is_a_lower_bound() {
        for (partial, endpoint) in [(true, 0), (false, 0), (false, 7)] {
            let mut servers = Servers::new(1, partial);
            servers.scraped(endpoint, Some(&text(4, &[3])));
            let server = servers.collected();
            assert_eq!(server.dropped_is_lower_bound, partial);
            assert_eq!(server.messages_dropped_total.is_some(), endpoint == 0, "there is no such endpoint");
        }
    }
}
