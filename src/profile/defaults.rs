//! Every default, once. `profiles/annotated.toml` says the same with reasons, and a test compares the two.

use std::time::Duration;

use super::quantity::{Rate, Share};
use super::{
    Arrivals, Audit, Auth, AuthMode, Balancer, BalancerMode, BridgeOrder, Capacity, Client, ClientStart,
    Comparison, Drain, Embedded, Family, Limit, LimitUnit, Limits, Objective, Payload, Population, Reporting,
    RoomType, Sessions, Sizing, Sticky, Stop, StopCondition, Target, TenantShares, Traffic, TrafficMode,
    TrafficStart,
};

/// `seed`
pub(super) const SEED: u64 = 1;

impl Default for Target {
    fn default() -> Self {
        Self {
            url: None,
            allow: Vec::new(),
            metrics: Vec::new(),
            ca_file: None,
            insecure: false,
            family: Family::Any,
            resolve: Vec::new(),
            local_addresses: Vec::new(),
            proxy: None,
            headers: Vec::new(),
            pod_header: None,
            pod_cookie: None,
            log_file: None,
            scrape_interval: Duration::from_secs(5),
            embedded: Embedded::default(),
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            pods: 3,
            ping_interval: Duration::from_secs(30),
            ping_misses: 2,
            client_watchdog: None,
            token_lifetime: Duration::from_secs(3_600),
            password_grant: false,
            send_queue: 1_024,
            send_limit: None,
            retention: 1_000_000,
            sessions: Sessions::None,
            session_drop_after: Duration::from_secs(2),
            capacity: Capacity::default(),
            balancer: Balancer::default(),
        }
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            mode: BalancerMode::Proxy,
            sticky: Sticky::Cookie,
            idle_timeout: Duration::from_secs(90),
            health_interval: Duration::from_secs(1),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self { mode: AuthMode::DevJwt, key_file: None, credentials: None, login_rate: Rate(50.0) }
    }
}

impl Default for Population {
    fn default() -> Self {
        Self {
            tenants: 6,
            clients: 300,
            members_per_room: 50,
            rooms_per_tenant: None,
            rooms_per_client: 2,
            room_type: RoomType::Public,
            rooms: None,
            kept_rooms: None,
        }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            mode: TrafficMode::Publish,
            rate: Rate(60.0),
            start: TrafficStart::Phase,
            arrivals: Arrivals::Poisson,
            tenant_shares: TenantShares::Zipf(1.1),
            payload: Payload::Fixed(300),
            max_send_lateness: Duration::from_secs(10),
            send_timeout: Duration::from_secs(10),
            send_attempts: 3,
            max_in_flight: 512,
            sync_rate: Rate(0.0),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            start: ClientStart::Marker,
            bridge: BridgeOrder::SyncFirst,
            bridge_timeout: Duration::ZERO,
            poll_timeout: Duration::from_secs(30),
            sync_limit: 100,
            sync_deadline: Duration::from_secs(10),
            first_retry_spread: Duration::ZERO,
            jitter: 0.0,
            backoff_reset_after: Duration::from_secs(10),
            watchdog: Duration::from_secs(75),
            hello_deadline: Duration::from_secs(5),
            connect_deadline: Duration::from_secs(10),
            offline_after: Duration::from_secs(60),
            lateness_bound: Duration::from_secs(5),
            flush_interval: Duration::from_secs(1),
        }
    }
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            scale: Vec::new(),
            undo: Vec::new(),
            shell: false,
            timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(180),
            settle: Duration::from_secs(5),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(140) }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { rate: Rate(200.0), queue: 10_000, window: 65_536 }
    }
}

impl Default for Reporting {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), findings_per_kind: 1_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 500,
            connects: Rate(50.0),
            logins: Rate(5.0),
            publishes: Rate(50.0),
            deliveries: Rate(5_000.0),
            sync_requests: Rate(50.0),
        }
    }
}

/// The `[[stop]]`s of a profile that has none.
pub(super) fn stops() -> Vec<Stop> {
    let lasting = Duration::from_secs(60);
    vec![
        Stop { condition: StopCondition::HealthFailing, lasting },
        Stop { condition: StopCondition::ConnectFailures(Share(0.5)), lasting },
    ]
}

/// Objectives of every profile, unless it names them itself: without the first three, a run in which nothing was
/// owed would pass; the others are never right above 0.
pub(super) fn objectives() -> Vec<Objective> {
    let limit = |comparison, bound, unit| Limit { comparison, bound, unit, if_exposed: false };
    let most = limit(Comparison::AtLeast, 0.99, LimitUnit::Share);
    let none = limit(Comparison::Equal, 0.0, LimitUnit::Count);
    [
        ("live", most),
        ("acknowledged", most),
        ("never_ready", none),
        ("auth_failed", none),
        ("evicted", none),
        ("undecided", none),
        ("leaked", none),
        ("leaked_room", none),
    ]
    .map(|(name, limit)| Objective { name: name.to_owned(), limit })
    .into()
}
