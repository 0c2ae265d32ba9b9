//! Which pod served whom, as a header or a cookie of the upgrade names it where the profile says which, else as the pods say
//! of themselves (`hello.server_name`); and from which address of this machine it was reached: a balancer that sticks by source address sends all clients of one load generator to one pod, and what a run
//! then measures is that pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::collected::{LocalAddress, Pod, ServedBy};
use crate::session::Observation;

/// Streams by pod. A few bytes a client.
#[derive(Debug)]
pub(super) struct Pods {
    clients: Vec<Client>,
    /// In the order in which they were first met; the first one stands for all that do not say who they are.
    pods: Vec<Counts>,
    addresses: Vec<IpAddr>,
    /// Hellos by address and pod, both by index.
    met: BTreeMap<(u16, u16), u64>,
    /// Hellos of pods beyond [`PODS_MAX`], or from addresses beyond [`ADDRESSES_MAX`].
    pub(super) refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// The pod of the connection that is open.
    pod: Option<u16>,
    /// The address of the connection that is open, or is being opened.
    from: Option<u16>,
    /// What the answer to the upgrade said, until hello comes.
    said: Option<u16>,
}

#[derive(Debug, Default)]
struct Counts {
    name: Option<Box<str>>,
    connections: u64,
    live: u64,
    live_peak: u64,
}

/// Pods that are told apart (ours).
const PODS_MAX: usize = 1_000;
/// Addresses of this machine that are told apart (ours).
const ADDRESSES_MAX: usize = 1_000;
/// With fewer connections, one pod for all of them is chance (ours).
const CONNECTIONS_MIN: u64 = 10;

impl Pods {
    pub(super) fn new(clients: u32) -> Self {
        Self {
            clients: vec![Client::default(); clients as usize],
            pods: vec![Counts::default()],
            addresses: Vec::new(),
            met: BTreeMap::new(),
            refused: 0,
        }
    }

    /// A fact about a client.
    pub(super) fn observe(&mut self, client: u32, fact: &Observation) {
        match fact {
            Observation::ConnectedFrom { address } => {
                self.clients[client as usize].from = self.address(*address);
            }
            Observation::ServedBy { stream: true, pod } => {
                let said = pod.as_deref().and_then(|name| self.pod(Some(name)));
                self.clients[client as usize].said = said;
            }
            Observation::Hello { info, .. } => {
                self.leave(client);
                let said = self.clients[client as usize].said.take();
                let pod = said.or_else(|| self.pod(info.server_name.as_deref()));
                self.enter(client, pod);
            }
            Observation::Disconnected { .. } => self.leave(client),
            _ => {}
        }
    }

    fn enter(&mut self, client: u32, pod: Option<u16>) {
        let state = &mut self.clients[client as usize];
        state.pod = pod;
        let Some(pod) = pod else { return };
        let counts = &mut self.pods[pod as usize];
        counts.connections += 1;
        counts.live += 1;
        counts.live_peak = counts.live_peak.max(counts.live);
        if let Some(from) = state.from {
            *self.met.entry((from, pod)).or_default() += 1;
        }
    }

    fn leave(&mut self, client: u32) {
        if let Some(pod) = self.clients[client as usize].pod.take() {
            self.pods[pod as usize].live -= 1;
        }
    }

    fn pod(&mut self, name: Option<&str>) -> Option<u16> {
        let known = self.pods.iter().position(|pod| pod.name.as_deref() == name);
        let index = match known {
            Some(index) => index,
            None if self.pods.len() < PODS_MAX => {
                self.pods.push(Counts { name: name.map(Box::from), ..Counts::default() });
                self.pods.len() - 1
            }
            None => {
                self.refused += 1;
                return None;
            }
        };
        u16::try_from(index).ok()
    }

    fn address(&mut self, address: IpAddr) -> Option<u16> {
        let known = self.addresses.iter().position(|known| *known == address);
        let index = match known {
            Some(index) => index,
            None if self.addresses.len() < ADDRESSES_MAX => {
                self.addresses.push(address);
                self.addresses.len() - 1
            }
            None => {
                self.refused += 1;
                return None;
            }
        };
        u16::try_from(index).ok()
    }

    /// Who was met so far. `scraped`: pods whose `/metrics` answer, each for itself.
    pub(super) fn collected(&self, scraped: u64) -> ServedBy {
        let named = self.pods.iter().filter(|pod| pod.name.is_some()).count() as u64;
        let pods = self.pods.iter().filter(|pod| pod.connections > 0).map(|pod| Pod {
            server_name: pod.name.as_deref().map(str::to_owned),
            connections: pod.connections,
            live_peak: pod.live_peak,
            live: pod.live,
        });
        let known = named.max(scraped);
        let addresses = self.addresses.iter().zip(0_u16..).map(|(address, index)| {
            let met: Vec<(u16, u64)> = self
                .met
                .range((index, 0)..=(index, u16::MAX))
                .map(|(&(_, pod), &count)| (pod, count))
                .collect();
            let connections = met.iter().map(|(_, count)| count).sum();
            let only = match met[..] {
                [(pod, _)] => self.pods[pod as usize].name.as_deref(),
                _ => None,
            };
            let stuck = known > 1 && connections >= CONNECTIONS_MIN;
            LocalAddress {
                address: address.to_string(),
                connections,
                pods: met.len() as u64,
                only: only.filter(|_| stuck).map(str::to_owned),
            }
        });
        ServedBy { pods: pods.collect(), known, local_addresses: addresses.collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::{Cause, ConnectionInfo};

    struct Bench(Pods);

    impl Bench {
        fn new() -> Self {
            Self(Pods::new(100))
        }

        fn connects(&mut self, client: u32, from: u8, server_name: Option<&str>) {
            let address = IpAddr::from([127, 0, 0, from]);
            self.0.observe(client, &Observation::ConnectedFrom { address });
            let info =
                ConnectionInfo { server_name: server_name.map(Box::from), ..ConnectionInfo::default() };
            let hello = Observation::Hello { took: Duration::ZERO, position: 0, info: Box::new(info) };
            self.0.observe(client, &hello);
        }

        fn leaves(&mut self, client: u32) {
            let end = Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true };
            self.0.observe(client, &end);
        }

        fn stuck(&self, scraped: u64) -> Vec<Option<String>> {
            self.0.collected(scraped).local_addresses.into_iter().map(|address| address.only).collect()
        }
    }

    #[test]
    fn pods_are_counted_by_their_names_and_those_without_one_together() {
        let mut bench = Bench::new();
        for client in 0..3 {
            bench.connects(client, 1, Some("pod-1"));
        }
        bench.connects(3, 1, None);
        bench.leaves(0);
        bench.leaves(0);
        bench.connects(0, 1, Some("pod-2"));
        let pod = |name: Option<&str>, connections, live_peak, live| Pod {
            server_name: name.map(str::to_owned),
            connections,
            live_peak,
            live,
        };
        let served = bench.0.collected(0);
        let expected = [pod(None, 1, 1, 1), pod(Some("pod-1"), 3, 3, 2), pod(Some("pod-2"), 1, 1, 1)];
        assert_eq!((served.pods.as_slice(), served.known), (&expected[..], 2));
        assert_eq!((served.local_addresses[0].connections, served.local_addresses[0].pods), (5, 3));
    }

    #[test]
    fn what_the_answer_to_the_upgrade_says_goes_before_what_hello_says() {
        let mut bench = Bench::new();
        for (client, said) in [(0, Some("10.0.0.7:8000")), (1, None)] {
            let fact = Observation::ServedBy { stream: true, pod: said.map(Box::from) };
            bench.0.observe(client, &fact);
            bench.connects(client, 1, Some("chat"));
        }
        bench.0.observe(2, &Observation::ServedBy { stream: false, pod: Some("another".into()) });
        bench.connects(2, 1, Some("chat"));
        let served = bench.0.collected(0).pods;
        let names: Vec<_> = served.iter().map(|pod| (pod.server_name.as_deref(), pod.connections)).collect();
        assert_eq!(names, [(Some("10.0.0.7:8000"), 1), (Some("chat"), 2)]);
    }

    #[test]
    fn an_address_that_meets_one_pod_of_several_is_stuck_to_it() {
        let mut bench = Bench::new();
        for client in 0..9 {
            bench.connects(client, 1, Some("pod-1"));
        }
        assert_eq!(bench.stuck(3), [None], "nine may be chance");
        bench.connects(9, 1, Some("pod-1"));
        assert_eq!(bench.stuck(0), [None], "there may be no other pod");
        assert_eq!(bench.stuck(3), [Some("pod-1".to_owned())], "three answer for themselves");
        for client in 10..20 {
            bench.connects(client, 2, Some(if client == 19 { "pod-3" } else { "pod-2" }));
        }
        assert_eq!(
            bench.stuck(0),
            [Some("pod-1".to_owned()), None],
            "the other address shows that there are more"
        );
    }
}
