//! What the pods' gauges say of the connections, tenant by tenant.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::pods::Pods;
use crate::runs::{Run, SMALL};

/// The `/metrics` of a pod, with so many connections of the first tenant counted for the second, once there are that many. It
/// serves until the test's process ends.
fn shifted(pod: &str, by: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/metrics", listener.local_addr().expect("bound"));
    let pod = pod.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let mut request = [0; 4096];
            if socket.read(&mut request).is_ok_and(|read| read > 0) {
                let body = shift(&page(&pod), by);
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = socket.write_all(format!("{head}{body}").as_bytes());
                let _ = socket.shutdown(Shutdown::Write);
            }
        }
    });
    url
}

fn page(pod: &str) -> String {
    let mut socket = TcpStream::connect(pod).expect("it serves");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {pod}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

fn shift(page: &str, by: u64) -> String {
    let is_gauge = |line: &&str| line.starts_with("scaiwave_ws_connections{");
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let gauges: Vec<&str> = page.lines().filter(is_gauge).collect();
    let &[from, to] = &gauges[..] else { return page.to_owned() };
    if value(from) < by {
        return page.to_owned();
    }
    let changed = |line: &str, value: u64| format!("{} {value}", line.rsplit_once(' ').expect("a value").0);
    page.replace(from, &changed(from, value(from) - by)).replace(to, &changed(to, value(to) + by))
}

#[test]
fn tenants_that_drift_apart_are_told_although_their_sum_is_right() {
    let pods = Pods::start_with(1, |config| config.ping_interval = std::time::Duration::from_secs(1));
    let url = format!("http://{}", pods.addresses[0]);
    for by in [0, 3] {
        let set = [
            format!("target.metrics=[\"{}\"]", shifted(&pods.metrics[0], by)),
            "target.scrape_interval=500ms".to_owned(),
        ];
        let run = Run::of(SMALL, &url, &pods, &set, |_| ());
        let server = &run.summary.server;
        assert_eq!(server.connections_unstable, Some(0), "{server:?}");
        let looks = server.tenant_connections_unstable.expect("the labels are ids that register answers");
        let told: Vec<(u64, u64)> =
            server.unstable_tenants.iter().map(|tenant| (tenant.gauge, tenant.live)).collect();
        if by == 0 {
            assert_eq!((looks, told), (0, Vec::new()), "{server:?}");
        } else {
            assert!(looks > 0, "{server:?}");
            let mut told = told;
            told.sort_unstable();
            assert_eq!(told, [(7, 10), (13, 10)], "{server:?}");
            let said =
                run.summary.remarks.iter().any(|remark| remark.contains("tenant_connections_unstable"));
            assert!(said, "{:?}", run.summary.remarks);
        }
    }
}
