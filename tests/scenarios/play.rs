//! Playing a profile in virtual time.

use wavesoak::profile::{self, Profile};
use wavesoak::simulator::{Simulated, simulate};

/// A small run: 40 clients in 2 tenants, 3 pods, about 20 events a second for 20 s.
pub(crate) const SMALL: &str = r#"
name = "small"
seed = 1
[target]
scrape_interval = "1s"
[target.embedded]
pods = 3
ping_interval = "2s"
client_watchdog = "5s"
[population]
tenants = 2
clients = 40
members_per_room = 10
rooms_per_client = 2
[[phase]]
name = "ramp"
duration = "4s"
clients = "100%"
[[phase]]
name = "hold"
duration = "16s"
[traffic]
rate = "20/s"
arrivals = "poisson"
[client]
lateness_bound = "2s"
[drain]
deadline = "60s"
"#;

/// [`SMALL`] with more behind it and another seed.
pub(crate) fn small(seed: u64, more: &str) -> Profile {
    let mut profile = parse(&format!("{SMALL}\n{more}"));
    profile.seed = seed;
    profile
}

/// A resolved profile from text.
pub(crate) fn parse(text: &str) -> Profile {
    profile::parse(text, "scenario.toml", &[]).unwrap_or_else(|error| panic!("{error:?}")).profile
}

/// Plays it, and holds its books to the equations.
pub(crate) fn play(profile: &Profile) -> Simulated {
    let run = simulate(profile).unwrap_or_else(|error| panic!("seed {}: {error}", profile.seed));
    balance(profile, &run);
    run
}

/// The five equations, for the fleet and for each tenant.
pub(crate) fn balance(profile: &Profile, run: &Simulated) {
    let parts = run.collected.tenants.iter().map(|tenant| (tenant.publishes, tenant.deliveries));
    for (publishes, deliveries) in parts.chain([(run.collected.publishes, run.collected.deliveries)]) {
        let told = format!("seed {}: {publishes:#?} {deliveries:#?}", profile.seed);
        assert_eq!(publishes.intended, publishes.sent + publishes.unsent, "{told}");
        assert_eq!(publishes.sent, publishes.acknowledged + publishes.rejected + publishes.unknown, "{told}");
        let d = deliveries;
        assert_eq!(d.expected, d.live + d.bridged + d.missed_after_bridging + d.undecided, "{told}");
        let places = d.missed_on_stream + d.missed_in_sync + d.missed_in_seam + d.missed_behind_cursor;
        assert_eq!(d.missed_after_bridging, places + d.missed_unplaced, "{told}");
        let stores = d.recoverable + d.lost_by_server + d.signalled_loss + d.unaudited;
        assert_eq!(d.missed_after_bridging, stores, "{told}");
    }
}
