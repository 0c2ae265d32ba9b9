//! Which pod served whom: a load generator that reaches one pod of several says so.

use crate::balancer::{Balancer as _, Haproxy};
use crate::pods::Pods;
use crate::runs::{Run, SMALL};

const SHORT: &str = "client.lateness_bound=1s";

#[test]
fn a_generator_that_reaches_one_pod_of_three_is_told_so() {
    let pods = Pods::start(3);
    let url = format!("http://{}", pods.addresses[1]);
    let run = Run::of(SMALL, &url, &pods, &[SHORT.to_owned()], |_| ());
    let served = &run.summary.served_by;
    assert_eq!((served.pods.len(), served.known), (1, 3), "{served:?}");
    let pod = &served.pods[0];
    assert_eq!((pod.connections, pod.live_peak, pod.live), (20, 20, 20));
    assert!(pod.server_name.is_some());
    let address = &served.local_addresses[0];
    assert_eq!((address.address.as_str(), address.connections, address.pods), ("127.0.0.1", 20, 1));
    assert_eq!(address.only, pod.server_name);
    let said = run.summary.remarks.iter().any(|remark| remark.contains("One pod for one address"));
    assert!(said, "{:?}", run.summary.remarks);
}

#[test]
fn a_balancer_that_spreads_one_address_over_all_pods_is_not_blamed() {
    let pods = Pods::start(3);
    let haproxy = Haproxy::new(&pods).start();
    let url = format!("http://127.0.0.1:{}", haproxy.port());
    let addresses = "target.local_addresses=[\"127.0.0.2\",\"127.0.0.3\"]";
    let set = [SHORT, addresses, "target.pod_header=X-Served-By"].map(str::to_owned);
    let run = Run::of(SMALL, &url, &pods, &set, |_| ());
    let served = &run.summary.served_by;
    let mut names: Vec<&str> = served.pods.iter().filter_map(|pod| pod.server_name.as_deref()).collect();
    names.sort_unstable();
    assert_eq!(names, ["pod-1", "pod-2", "pod-3"], "as the balancer calls them");
    assert_eq!(served.pods.iter().map(|pod| pod.live).sum::<u64>(), 20);
    assert_eq!(served.local_addresses.len(), 2);
    assert!(served.local_addresses.iter().all(|address| address.only.is_none()), "{served:?}");
    assert!(!run.summary.remarks.iter().any(|remark| remark.contains("One pod")));
}

#[test]
fn a_balancer_that_sticks_by_source_address_is_found_out() {
    let pods = Pods::start(3);
    let haproxy = Haproxy::new(&pods).choosing("balance source").start();
    let url = format!("http://127.0.0.1:{}", haproxy.port());
    let run = Run::of(SMALL, &url, &pods, &[SHORT.to_owned()], |_| ());
    let served = &run.summary.served_by;
    assert_eq!((served.pods.len(), served.pods[0].connections), (1, 20), "{served:?}");
    assert_eq!(served.local_addresses[0].only, served.pods[0].server_name);
    assert!(run.summary.remarks.iter().any(|remark| remark.contains("sticks by source address")));
}
