//! The advice as lines of configuration, by product (pure).
//!
//! Directives and units are those of each product's own reference; what a product has one timeout for gets the larger.

use std::time::Duration;

use serde::Serialize;

/// What to write where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Its name.
    pub name: &'static str,
    /// Lines, as they stand in its configuration.
    pub lines: Vec<String>,
    /// What they mean there, and what else has to be thought of.
    pub note: &'static str,
}

/// For this stream timeout and this long-poll timeout.
pub fn products(stream: Duration, poll: Duration) -> Vec<Product> {
    let (s, p, both) = (stream.as_secs(), poll.as_secs(), stream.max(poll).as_secs());
    vec![
        Product {
            name: "nginx",
            lines: vec![
                format!("location /v1/stream {{ proxy_read_timeout {s}s; proxy_send_timeout {s}s; }}"),
                format!("location /v1/sync {{ proxy_read_timeout {p}s; }}"),
            ],
            note: "beside proxy_http_version 1.1 and the Upgrade headers; each is the time between two reads (writes), and \
                   after the upgrade whatever passes either way starts it anew; the default is 60s",
        },
        Product {
            name: "HAProxy",
            lines: vec![
                format!("timeout tunnel {s}s"),
                format!("timeout server {p}s"),
                format!("timeout client {p}s"),
            ],
            note: "tunnel takes the place of client and server once a stream is upgraded; a number without its unit is \
                   milliseconds",
        },
        Product {
            name: "AWS ALB",
            lines: vec![
                format!(
                    "aws elbv2 modify-load-balancer-attributes --load-balancer-arn ARN --attributes \
                     Key=idle_timeout.timeout_seconds,Value={both}"
                ),
                format!(
                    "alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={both}"
                ),
            ],
            note: "one idle timeout for streams and polls alike, in seconds, 60 unless it is set; the second line is for the \
                   AWS Load Balancer Controller",
        },
        Product {
            name: "Envoy",
            lines: vec![
                format!("route of /v1/stream: {{ timeout: 0s, idle_timeout: {s}s }}"),
                format!("route of /v1/sync: {{ timeout: {p}s, idle_timeout: {p}s }}"),
            ],
            note: "timeout is for the whole answer, 15s unless it is set, and must not end a stream; idle_timeout takes the \
                   place of the connection manager's stream_idle_timeout (5m); the upgrade itself needs upgrade_configs \
                   with websocket; max_connection_duration and max_stream_duration end streams at an age",
        },
        Product {
            name: "Gateway API",
            lines: vec![
                "rule of /v1/stream: timeouts: { request: 0s, backendRequest: 0s }".to_owned(),
                format!("rule of /v1/sync: timeouts: {{ request: {p}s, backendRequest: {p}s }}"),
            ],
            note: "HTTPRoute has timeouts for whole requests alone, and 0s turns them off; the stream's idle timeout is \
                   the implementation's own setting, and goes to the value of Envoy's idle_timeout",
        },
        Product {
            name: "nginx ingress",
            lines: vec![
                format!("nginx.ingress.kubernetes.io/proxy-read-timeout: \"{both}\""),
                format!("nginx.ingress.kubernetes.io/proxy-send-timeout: \"{both}\""),
            ],
            note: "whole seconds without a unit, in quotes; they hold for every path of the Ingress: two Ingresses, if sync \
                   is to have its own",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_product_has_its_own_words_and_units() {
        let products = products(Duration::from_secs(90), Duration::from_secs(40));
        let of = |name: &str| {
            let product = products.iter().find(|product| product.name == name).expect(name);
            product.lines.join("\n")
        };
        assert!(of("nginx").contains("proxy_read_timeout 90s; proxy_send_timeout 90s;"));
        assert!(of("nginx").contains("/v1/sync { proxy_read_timeout 40s; }"));
        assert_eq!(of("HAProxy"), "timeout tunnel 90s\ntimeout server 40s\ntimeout client 40s");
        assert!(of("AWS ALB").contains("Key=idle_timeout.timeout_seconds,Value=90"));
        assert!(of("Envoy").contains("{ timeout: 0s, idle_timeout: 90s }"));
        assert!(of("Gateway API").contains("{ request: 40s, backendRequest: 40s }"));
        assert!(of("nginx ingress").contains("proxy-read-timeout: \"90\""));
    }

    #[test]
    fn one_timeout_for_both_is_the_larger() {
        let products = products(Duration::from_secs(30), Duration::from_secs(40));
        assert!(products[2].lines[0].ends_with("Value=40"));
        assert!(products[5].lines[0].ends_with("\"40\""));
        assert!(products[0].lines[0].contains("30s"), "nginx has two");
    }
}
