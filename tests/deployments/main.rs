//! Whole runs as against a deployment: through nginx and HAProxy, from Debian's packages, in front of the reference target's
//! pods, and with identities of a credentials file.
//!
//! Each test starts its own pods and balancer on free loopback ports and ends them. None asserts a duration or a rate.

#![expect(clippy::disallowed_methods, reason = "configurations and run directories are files")]

mod balancer;
mod certificate;
mod far;
mod gauges;
mod half_open;
mod identities;
mod lb_timeout;
mod observe;
mod pods;
mod polls;
mod probe;
mod probe_interrupted;
mod rooms;
mod runs;
mod scale;
mod served;
mod sticky;

use std::time::Duration;

use wavesoak::target::Deed;
use wavesoak::target::config::{PlantedFault, PlantedKind};

use balancer::{Balancer, Haproxy, Nginx, OnePort, Running, ShippedHaproxy, ShippedNginx};
use certificate::Certificate;
use pods::Pods;
use runs::{Run, SMALL};

fn assert_sound(run: &Run) {
    let summary = &run.summary;
    summary.books().unwrap_or_else(|imbalances| panic!("{imbalances:?}"));
    let deliveries = &summary.deliveries;
    assert!(deliveries.expected > 500, "{deliveries:?}");
    let wrong = [
        deliveries.missed_on_stream,
        deliveries.missed_in_sync,
        deliveries.missed_behind_cursor,
        deliveries.missed_unplaced,
        deliveries.lost_by_server,
        deliveries.unaudited,
        deliveries.duplicate,
        deliveries.unexpected,
        deliveries.leaked,
        deliveries.leaked_room,
        deliveries.undecided,
    ];
    assert_eq!(wrong, [0; 11], "{deliveries:?}");
    assert_eq!(summary.clients.ready_at_end, summary.clients.planned);
    assert_eq!(summary.publishes.acknowledged, summary.publishes.intended);
}

#[test]
fn a_run_over_tls_through_nginx_is_accounted_for_while_nginx_is_reloaded() {
    let (pods, certificate) = (Pods::start(3), Certificate::of("localhost"));
    let nginx = Nginx::new(&pods).with_tls(&certificate).cutting_old_workers().start();
    let url = format!("https://localhost:{}", nginx.port());
    let set = [format!("target.ca_file={}", certificate.path().display())];
    let run = Run::of(SMALL, &url, &pods, &set, |at_s| {
        if at_s == 3 {
            nginx.reload();
        }
    });
    assert_sound(&run);
    assert!(run.summary.disconnects.total >= 20, "{:?}", run.summary.disconnects);
}

#[test]
fn a_run_over_tls_through_haproxy_is_accounted_for_while_connections_are_reset() {
    let (pods, certificate) = (Pods::start(3), Certificate::of("localhost"));
    let haproxy = Haproxy::new(&pods).with_tls(&certificate).start();
    let url = format!("https://localhost:{}", haproxy.port());
    let set = [format!("target.ca_file={}", certificate.path().display())];
    let profile = format!("{SMALL}\n[[fault]]\nkind = \"reset\"\nat = \"3s\"\nshare = \"50%\"\n");
    let run = Run::of(&profile, &url, &pods, &set, |_| ());
    assert_sound(&run);
    assert_eq!(run.summary.disconnects.total, 10, "{:?}", run.summary.disconnects);
}

/// One of three pods dies in mid-run and never comes back, behind this balancer.
fn while_a_pod_dies(start: impl FnOnce(&Pods) -> Running) {
    let pods = Pods::start_with(3, |config| {
        config.ping_interval = Duration::from_secs(1);
        config.faults.push(PlantedFault {
            index: 0,
            name: "pod-kill".to_owned(),
            at: Duration::from_secs(3),
            duration: None,
            kind: PlantedKind::PodKill { pod: Some(1) },
        });
    });
    let balancer = start(&pods);
    let run = Run::of(SMALL, &format!("http://127.0.0.1:{}", balancer.port()), &pods, &[], |at_s| {
        if at_s == 3 {
            pods.begin(0);
        }
    });
    let (summary, truth) = (&run.summary, pods.truth());
    summary.books().unwrap_or_else(|imbalances| panic!("{imbalances:?}"));
    let killed = truth.faults[0].count(Deed::ConnectionReset);
    assert!(killed > 0, "streams were on it: {truth:?}");
    // Whoever was connecting in that moment was not yet there to be lost.
    assert!(summary.disconnects.total >= killed, "{:?}", summary.disconnects);
    assert_eq!(summary.clients.ready_at_end, summary.clients.planned);
    // What a publish came to that was under way is the balancer's to tell; what was acknowledged has reached everybody.
    let deliveries = &summary.deliveries;
    let wrong = [deliveries.missed_after_bridging, deliveries.lost_by_server, deliveries.undecided];
    assert_eq!(wrong, [0; 3], "{deliveries:?}");
}

#[test]
fn a_run_through_nginx_is_accounted_for_when_a_pod_dies() {
    while_a_pod_dies(|pods| Nginx::new(pods).start());
}

#[test]
fn a_run_through_haproxy_is_accounted_for_when_a_pod_dies() {
    // A server that refuses is left for another, also without health checks.
    while_a_pod_dies(|pods| {
        Haproxy::new(pods).choosing("balance roundrobin\n  option redispatch\n  retries 2").start()
    });
}

/// Through a configuration of `deploy`, by the name that it serves.
fn through_shipped(balancer: &Running, pods: &Pods, certificate: &Certificate) -> Run {
    let port = balancer.port();
    let set = [
        format!("target.ca_file={}", certificate.path().display()),
        format!("target.resolve=[\"chat.example.com:{port}:127.0.0.1\"]"),
        "target.local_addresses=[\"127.0.0.2\", \"127.0.0.3\", \"127.0.0.4\", \"127.0.0.5\"]".to_owned(),
    ];
    let profile = format!("{SMALL}\n[[fault]]\nkind = \"reset\"\nat = \"3s\"\nshare = \"50%\"\n");
    Run::of(&profile, &format!("https://chat.example.com:{port}"), pods, &set, |_| ())
}

#[test]
fn the_shipped_configuration_of_nginx_carries_a_run() {
    let (pods, certificate) = (Pods::start(3), Certificate::of("chat.example.com"));
    let nginx = ShippedNginx::new(&pods, &certificate).start();
    assert_sound(&through_shipped(&nginx, &pods, &certificate));
}

#[test]
fn the_shipped_configuration_of_haproxy_carries_a_run() {
    let (pods, certificate) = (Pods::start(3), Certificate::of("chat.example.com"));
    let haproxy = ShippedHaproxy::new(&pods, &certificate).start();
    assert_sound(&through_shipped(&haproxy, &pods, &certificate));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_unless_anyone_is_trusted() {
    let (pods, certificate) = (Pods::start(1), Certificate::of("localhost"));
    let nginx = Nginx::new(&pods).with_tls(&certificate).start();
    let url = format!("https://localhost:{}", nginx.port());
    let refusal = Run::refusal(SMALL, &url, &pods, &[]);
    assert!(refusal.contains("certificate") && refusal.contains("target.ca_file"), "{refusal}");
    let other = format!("https://127.0.0.1:{}", nginx.port());
    let trusting = format!("target.ca_file={}", certificate.path().display());
    let refusal = Run::refusal(SMALL, &other, &pods, std::slice::from_ref(&trusting));
    assert!(refusal.contains("it is for other names"), "another name: {refusal}");
    let authority = Certificate::of_authority("localhost");
    let nginx_of_authority = Nginx::new(&pods).with_tls(&authority).start();
    let url = format!("https://localhost:{}", nginx_of_authority.port());
    let trusted = format!("target.ca_file={}", authority.path().display());
    let refusal = Run::refusal(SMALL, &url, &pods, &[trusted]);
    assert!(refusal.contains("CA:FALSE"), "as openssl makes them: {refusal}");
    let insecure = ["target.insecure=true".to_owned(), "phase.1.duration=1s".to_owned()];
    let run = Run::of(SMALL, &other, &pods, &insecure, |_| ());
    assert_eq!(run.summary.clients.ready_at_end, 20);
}

#[test]
fn a_name_that_is_not_looked_up_keeps_its_name_on_the_way() {
    let (pods, certificate) = (Pods::start(2), Certificate::of("chat.example.com"));
    let nginx = Nginx::new(&pods).with_tls(&certificate).named("chat.example.com").start();
    let port = nginx.port();
    let set = [
        format!("target.ca_file={}", certificate.path().display()),
        format!("target.resolve=[\"chat.example.com:{port}:127.0.0.1\"]"),
        "target.local_addresses=[\"127.0.0.2\", \"127.0.0.3\"]".to_owned(),
        "target.headers=[\"X-Test-Run: yes\"]".to_owned(),
        "phase.1.duration=2s".to_owned(),
    ];
    let run = Run::of(SMALL, &format!("https://chat.example.com:{port}"), &pods, &set, |_| ());
    assert_eq!((run.summary.clients.ready_at_end, run.summary.deliveries.lost_by_server), (20, 0));
    let log = nginx.access_log();
    assert!(log.lines().count() > 40, "{log}");
    assert!(
        log.lines().all(|line| line.contains("host=chat.example.com") && line.contains("test=yes")),
        "{log}"
    );
    for own in ["from=127.0.0.2 ", "from=127.0.0.3 "] {
        assert!(log.lines().filter(|line| line.contains(own)).count() > 10, "{own}: {log}");
    }
}

#[test]
fn a_provisioning_that_takes_longer_than_a_token_lives_goes_on_with_new_ones() {
    let pods = Pods::start_with(2, |config| {
        config.ping_interval = Duration::from_secs(1);
        config.token_lifetime = Duration::from_secs(3);
    });
    let set = ["auth.login_rate=5/s", "target.embedded.token_lifetime=2s", "phase.1.duration=2s"];
    let run =
        Run::of(SMALL, &format!("http://{}", pods.addresses[0]), &pods, &set.map(str::to_owned), |_| ());
    assert_eq!(run.summary.clients.ready_at_end, 20);
    assert_eq!(run.summary.publishes.acknowledged, run.summary.publishes.intended);
}

#[test]
fn every_address_of_a_name_is_scraped_as_a_pod_of_its_own() {
    let pods = Pods::start(3);
    let nginx = OnePort::new(&pods).start();
    let port = nginx.port();
    let addresses = (0..3).map(|pod| format!("\"pods.example.com:{port}:{}\"", OnePort::address(pod)));
    let set = [
        format!("target.metrics=[\"http://pods.example.com:{port}/metrics\"]"),
        format!("target.resolve=[{}]", addresses.collect::<Vec<_>>().join(",")),
        "target.scrape_interval=500ms".to_owned(),
    ];
    let run = Run::of(SMALL, &format!("http://127.0.0.1:{port}"), &pods, &set, |_| ());
    let server = &run.summary.server;
    assert_eq!((server.endpoints, server.partial, server.scrape_failures), (3, false, 0));
    assert_eq!((server.ws_connections.before, server.ws_connections.peak), (Some(0), Some(20)), "{server:?}");
    assert_eq!((server.connections_unstable, server.connections_leaked), (Some(0), Some(0)), "{server:?}");
    assert!(server.not_exposed.is_empty(), "{server:?}");
}
