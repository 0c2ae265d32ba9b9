//! Every rule with a profile that breaks it, and what is said about it.

use super::super::{Override, parse};

/// What is wrong with a good little profile after these changes, without what every message begins with.
fn wrong(changes: &[&str]) -> Vec<String> {
    const GOOD: &str = "[[phase]]\nduration = '5s'\nclients = '100%'\n[[phase]]\nduration = '20s'\n\
                        [[fault]]\nkind = 'pod-kill'\nat = '8s'\nduration = '2s'";
    let changes: Vec<Override> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
    match parse(GOOD, "mine.toml", &changes) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("accept the profile mine.toml: "), "{text}");
            error
                .problems()
                .iter()
                .map(|problem| {
                    problem.to_string().replace(" (not from the file, but from the command line)", "")
                })
                .collect()
        }
    }
}

fn refused(changes: &[&str], message: &str) {
    assert_eq!(wrong(changes), [message], "{changes:?}");
}

fn warned(changes: &[&str]) -> Vec<String> {
    const GOOD: &str = "[[phase]]\nduration = '5s'\nclients = '100%'\n[[phase]]\nduration = '20s'";
    let changes: Vec<Override> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
    parse(GOOD, "mine.toml", &changes).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_profile_breaks_no_rule_and_is_not_warned_about() {
    assert_eq!(wrong(&[]), [""; 0]);
    assert_eq!(warned(&[]), [""; 0]);
}

#[test]
fn a_payload_smaller_than_the_stamp_is_refused() {
    refused(
        &["traffic.payload=150B"],
        "`traffic.payload` = \"150B\": is 150 bytes, smaller than the stamp that every message carries: write at least \"200B\"",
    );
    refused(
        &["traffic.payload=199B..2KiB"],
        "`traffic.payload` = \"199B..2KiB\": is 199 bytes, smaller than the stamp that every message carries: write at least \"200B\"",
    );
    assert_eq!(wrong(&["traffic.payload=200B..64KiB"]), [""; 0]);
}

#[test]
fn a_payload_above_64_kib_is_refused() {
    refused(
        &["traffic.payload=65537B"],
        "`traffic.payload` = \"65537B\": is 65537 bytes, more than ScaiWave accepts: write at most \"64KiB\"",
    );
}

#[test]
fn a_payload_range_that_ends_below_its_beginning_is_refused() {
    refused(
        &["traffic.payload=2KiB..300B"],
        "`traffic.payload` = \"2KiB..300B\": ends below its beginning: write the smaller size first",
    );
}

#[test]
fn an_absurd_spread_of_payloads_or_tenants_is_refused() {
    refused(
        &["traffic.payload=lognormal(600B, 9)"],
        "`traffic.payload` = \"lognormal(600B, 9)\": must be lognormal(…, 5) or less",
    );
    refused(
        &["traffic.tenant_shares=zipf(11)"],
        "`traffic.tenant_shares` = \"zipf(11)\": must be zipf(10) or less",
    );
}

#[test]
fn a_run_without_phases_is_refused() {
    let error = parse("seed = 1", "mine.toml", &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "accept the profile mine.toml: `phase`: is missing: a run needs at least one [[phase]], as in duration = \"30s\", clients = \"100%\""
    );
    assert!(parse("phase = []", "mine.toml", &[]).is_err());
}

#[test]
fn a_phase_that_changes_the_clients_in_no_time_is_refused() {
    refused(
        &["phase.0.duration=0s"],
        "`phase.0.duration` = \"0s\": is no time in which to go from 0 to 300 clients: write a duration above \"0s\"",
    );
}

#[test]
fn a_phase_of_no_time_is_refused() {
    refused(
        &["phase.1.duration=0s", "fault.0.at=3s"],
        "`phase.1.duration` = \"0s\": is no time: write a duration above \"0s\", or leave the phase out",
    );
}

#[test]
fn a_phase_with_more_clients_than_the_population_is_refused() {
    refused(
        &["phase.0.clients=301", "phase.1.clients=300"],
        "`phase.0.clients` = 301: are more than the 300 of population.clients: lower it or raise population.clients",
    );
    refused(&["phase.0.clients=101%"], "`phase.0.clients` = \"101%\": is above the largest share, 100%");
}

#[test]
fn a_run_in_which_nobody_ever_takes_part_is_refused() {
    refused(
        &["phase.0.clients=0"],
        "`phase.0.clients` = 0: no phase has a client: write clients = \"100%\" in the first one",
    );
}

#[test]
fn phases_longer_than_30_days_are_refused_one_by_one_and_together() {
    refused(
        &["phase.1.duration=721h"],
        "`phase.1.duration` = \"721h\": is above the largest duration, 720h (30 days)",
    );
    refused(
        &["phase.1.duration=720h", "traffic.rate=1/s"],
        "`phase` = 720h5s: all phases together last longer than 720h: shorten them",
    );
}

#[test]
fn names_are_unique() {
    refused(
        &["phase.0.name=one", "phase.1.name=one"],
        "`phase.1.name` = \"one\": another phase has this name: names are unique",
    );
    let twice = "fault=[{kind='pod-kill',at='1s',name='x'},{kind='pod-kill',at='2s',name='x'}]";
    refused(&[twice], "`fault.1.name` = \"x\": another fault has this name: names are unique");
}

#[test]
fn unnamed_faults_and_phases_get_names_of_their_own() {
    let twice = "fault=[{kind='pod-kill',at='1s'},{kind='pod-kill',at='2s'}]";
    assert_eq!(wrong(&[twice]), [""; 0]);
}

#[test]
fn zeros_where_something_must_be_are_refused() {
    for key in [
        "target.embedded.pods",
        "target.embedded.ping_misses",
        "target.embedded.send_queue",
        "target.embedded.retention",
        "population.tenants",
        "population.members_per_room",
        "population.rooms_per_tenant",
        "population.rooms_per_client",
        "traffic.send_attempts",
        "traffic.max_in_flight",
        "client.sync_limit",
        "audit.queue",
        "audit.window",
        "report.findings_per_kind",
    ] {
        let found = wrong(&[&format!("{key}=0")]);
        match key {
            // No lines in findings.jsonl is a choice.
            "report.findings_per_kind" => assert_eq!(found, [""; 0]),
            _ => assert_eq!(found[0], format!("`{key}` = 0: must be above zero: write at least 1")),
        }
    }
    assert_eq!(
        wrong(&["population.clients=0"])[0],
        "`population.clients` = 0: must be above zero: write at least 1"
    );
}

#[test]
fn times_and_rates_of_zero_are_refused() {
    for key in [
        "traffic.max_send_lateness",
        "traffic.send_timeout",
        "client.sync_deadline",
        "client.watchdog",
        "client.hello_deadline",
        "client.connect_deadline",
        "client.lateness_bound",
        "target.embedded.client_watchdog",
        "fault.0.duration",
    ] {
        refused(
            &[&format!("{key}=0s")],
            &format!("`{key}` = \"0s\": must be above zero: write at least \"1ms\""),
        );
    }
    for key in [
        "auth.login_rate",
        "target.embedded.send_limit",
        "target.embedded.capacity.deliveries",
        "target.embedded.capacity.handshakes",
        "target.embedded.capacity.sync_pages",
        "audit.rate",
    ] {
        refused(
            &[&format!("{key}=0/s")],
            &format!("`{key}` = \"0/s\": must be above zero: write at least \"1/h\""),
        );
    }
    assert_eq!(wrong(&["traffic.rate=0/s"]), [""; 0], "publishing nothing is a choice");
}

#[test]
fn what_repeats_all_the_time_is_refused() {
    for key in [
        "client.flush_interval",
        "target.scrape_interval",
        "target.embedded.ping_interval",
        "target.embedded.balancer.idle_timeout",
        "target.embedded.balancer.health_interval",
        "report.interval",
    ] {
        for interval in ["0s", "99ms"] {
            refused(
                &[&format!("{key}={interval}")],
                &format!("`{key}` = \"{interval}\": must be \"100ms\" or more"),
            );
        }
    }
}

#[test]
fn a_token_that_lives_less_than_the_second_it_is_written_in_is_refused() {
    refused(
        &["target.embedded.token_lifetime=999ms"],
        "`target.embedded.token_lifetime` = \"999ms\": must be \"1s\" or more",
    );
}

#[test]
fn absurd_numbers_are_refused() {
    refused(&["target.embedded.pods=1001"], "`target.embedded.pods` = 1001: must be 1000 or less");
    refused(&["traffic.send_attempts=1001"], "`traffic.send_attempts` = 1001: must be 1000 or less");
}

#[test]
fn a_sync_limit_above_500_is_refused() {
    refused(
        &["client.sync_limit=501"],
        "`client.sync_limit` = 501: is more than ScaiWave accepts: write at most 500",
    );
}

#[test]
fn jitter_outside_0_and_1_is_refused() {
    for jitter in ["1.5", "-0.5"] {
        refused(
            &[&format!("client.jitter={jitter}")],
            &format!(
                "`client.jitter` = {jitter}: is not between 0.0 and 1.0: write 0.0 for the documented schedule"
            ),
        );
    }
}

#[test]
fn fewer_clients_than_tenants_are_refused() {
    refused(
        &["population.clients=5"],
        "`population.clients` = 5: are fewer than the 6 tenants, and no tenant may be empty: raise clients or lower population.tenants",
    );
}

#[test]
fn more_rooms_per_client_than_rooms_are_refused() {
    refused(
        &["population.rooms_per_tenant=2", "population.rooms_per_client=3"],
        "`population.rooms_per_client` = 3: is more than the 2 rooms of a tenant: lower it or raise population.rooms_per_tenant",
    );
}

#[test]
fn rooms_without_members_are_refused() {
    refused(
        &["population.rooms_per_tenant=101"],
        "`population.rooms_per_tenant` = 101: leaves rooms without members, in which nobody could publish: write fewer",
    );
    refused(
        &["population.members_per_room=1", "population.clients=301", "population.rooms_per_client=1"],
        "`population.members_per_room` = 1: leaves rooms without members, in which nobody could publish: write 2 or more",
    );
    assert_eq!(wrong(&["population.rooms_per_tenant=100"]), [""; 0]);
}

#[test]
fn a_population_beyond_what_can_be_counted_is_refused() {
    for clients in ["1073741824", "4294967295"] {
        refused(
            &[&format!("population.clients={clients}")],
            &format!(
                "`population.rooms_per_client` = 2: times {clients} clients is more than 2147483647 memberships: lower one of them"
            ),
        );
    }
    assert_eq!(wrong(&["population.clients=1073741823"]), [""; 0]);
}

#[test]
fn more_events_than_can_be_numbered_are_refused() {
    refused(
        &["traffic.rate=100000000/s"],
        "`traffic.rate` = \"100000000/s\": over all phases publishes about 2500000000 events, more than 2147483647: lower the rate or shorten the phases",
    );
}

#[test]
fn a_fault_after_the_end_is_refused() {
    for at in ["25s", "1h"] {
        let at_shown = at;
        refused(
            &[&format!("fault.0.at={at}")],
            &format!(
                "`fault.0.at` = \"{at_shown}\": begins after the end of the phases, at 25s: begin earlier or make a phase longer"
            ),
        );
    }
}

#[test]
fn coordinates_of_a_fault_that_nothing_has_are_refused() {
    refused(&["fault.0.pod=3"], "`fault.0.pod` = 3: there are 3 pods, counted from 0: write at most 2");
    let lose = |rest: &str| format!("fault=[{{kind='lose',client=0,first=0,count=1,{rest}}}]");
    assert_eq!(wrong(&[&lose("room=1")]), [""; 0]);
    let lose = |client: u32, room: u32, first: u32, count: u32| {
        format!("fault=[{{kind='lose',client={client},room={room},first={first},count={count}}}]")
    };
    refused(
        &[&lose(300, 0, 0, 1)],
        "`fault.0.client` = 300: there are 300 clients, counted from 0: write at most 299",
    );
    refused(
        &[&lose(0, 2, 0, 1)],
        "`fault.0.room` = 2: there are 2 rooms of a client, counted from 0: write at most 1",
    );
    refused(&[&lose(0, 0, 0, 0)], "`fault.0.count` = 0: must be above zero: write at least 1");
    refused(
        &[&lose(0, 0, u32::MAX, 1)],
        "`fault.0.first` = 4294967295: and count go beyond the largest sequence number, 4294967295: lower one of them",
    );
}

#[test]
fn a_fault_that_hits_nobody_is_refused() {
    refused(
        &["fault=[{kind='reset',at='1s',share='0%'}]"],
        "`fault.0.share` = \"0%\": must be above zero: write at least \"0.01%\"",
    );
}

#[test]
fn a_fault_that_hits_whom_there_is_not_is_refused() {
    let fault = |rest: &str| format!("fault=[{{at='1s',{rest}}}]");
    refused(
        &[&fault("kind='cut',tenant=6")],
        "`fault.0.tenant` = 6: there are 6 tenants, counted from 0: write at most 5",
    );
    refused(
        &[&fault("kind='cut',clients=[0, 300]")],
        "`fault.0.clients` = 300: there are 300 clients, counted from 0: write at most 299",
    );
    refused(
        &[&fault("kind='deaf',clients=[]")],
        "`fault.0.clients` = []: names nobody: write at least one number",
    );
    refused(
        &[&fault("kind='lose',share='0%'")],
        "`fault.0.share` = \"0%\": must be above zero: write at least \"0.01%\"",
    );
}

#[test]
fn nothing_leaks_to_a_member() {
    let leak = |to: u32| format!("fault=[{{kind='leak',client=0,first=0,count=1,to={to}}}]");
    refused(
        &[&leak(0)],
        "`fault.0.to` = 0: is a member of that room, to whom nothing can leak: write another one's number",
    );
    refused(&[&leak(300)], "`fault.0.to` = 300: there are 300 clients, counted from 0: write at most 299");
    assert_eq!(wrong(&[&leak(1)]), [""; 0], "of another tenant");
}

#[test]
fn what_no_server_could_answer_or_close_with_is_refused() {
    let fault = |rest: &str| format!("fault=[{{at='1s',share='1%',{rest}}}]");
    for code in [999, 1004, 1006, 1015, 5000, 70_000] {
        let shown = code.min(65_535);
        refused(
            &[&fault(&format!("kind='close',code={code}"))],
            &format!(
                "`fault.0.code` = {shown}: is no code that a server may close with: write one of 1000 to 4999, but not 1004 to 1006 or 1015"
            ),
        );
    }
    refused(
        &[&fault("kind='sync-fail',status=200")],
        "`fault.0.status` = 200: is no status of a failure: write one of 400 to 599",
    );
    let long = "x".repeat(124);
    assert_eq!(wrong(&[&fault(&format!("kind='close',code=4003,reason='{long}'"))]).len(), 1);
    for nothing in [
        "kind='slow-reader',by='0s'",
        "kind='sync-slow',by='0s'",
        "kind='sync-repeat',back=0",
        "kind='sync-retain',keep=0",
        "kind='commit-late',by='0s'",
        "kind='metrics',show='wrong',more=0",
    ] {
        let at = if nothing.contains("metrics") {
            format!("fault=[{{at='1s',{nothing}}}]")
        } else {
            fault(nothing)
        };
        assert_eq!(wrong(&[&at]).len(), 1, "{nothing}");
    }
}

#[test]
fn a_fault_of_a_balancer_that_is_not_there_is_refused() {
    refused(
        &["fault=[{kind='idle-timeout',at='1s',timeout='20s'}]", "target.embedded.balancer.mode=direct"],
        "`fault.0.timeout` = \"20s\": sets the balancer's idle timeout, and there is no balancer: write mode = \"proxy\" in target.embedded.balancer",
    );
}

#[test]
fn a_drain_shorter_than_twice_the_lateness_bound_is_refused() {
    refused(
        &["drain.deadline=9s"],
        "`drain.deadline` = \"9s\": is shorter than twice client.lateness_bound, which every drain waits: write at least \"10s\"",
    );
}

#[test]
fn an_objective_about_nothing_is_refused_with_what_is_near() {
    refused(
        &["objectives.lost_by_sever== 0"],
        "`objectives.lost_by_sever` = \"= 0\": names nothing that is judged; did you mean `lost_by_server`?",
    );
    refused(
        &["objectives.rejected== 0"],
        "`objectives.rejected` = \"= 0\": names nothing that is judged; write `publishes.rejected` or `tokens.rejected`",
    );
}

#[test]
fn two_objectives_about_the_same_are_refused() {
    refused(
        &["objectives.leaked== 0", "objectives.deliveries.leaked=<= 3"],
        "`objectives.\"deliveries.leaked\"` = \"<= 3\": judges the same as `leaked`: leave one of them out",
    );
}

#[test]
fn a_latency_limit_without_a_unit_is_refused() {
    refused(
        &["objectives.delivery_intended.p99=<= 500"],
        "`objectives.\"delivery_intended.p99\"` = \"<= 500\": is a latency, and a latency's limit has a unit of time: write a duration, as in \"<= 500ms\"",
    );
}

#[test]
fn a_limit_in_the_wrong_unit_is_refused() {
    refused(
        &["objectives.duplicate=<= 1%"],
        "`objectives.duplicate` = \"<= 1%\": is a count: write a whole number, as in \"= 0\"",
    );
    refused(
        &["objectives.live=>= 99"],
        "`objectives.live` = \">= 99\": is a share of what was planned: write a percentage, as in \">= 99%\"",
    );
}

#[test]
fn if_exposed_is_refused_for_what_is_always_known() {
    refused(
        &["objectives.duplicate== 0 if exposed"],
        "`objectives.duplicate` = \"= 0 if exposed\": is always known: leave out `if exposed`",
    );
    for name in ["fanout_failed", "connections_leaked", "upgrades_lost"] {
        assert_eq!(wrong(&[&format!("objectives.{name}== 0 if exposed")]), [""; 0]);
    }
}

#[test]
fn an_address_that_is_none_is_refused_and_a_secret_in_it_not_repeated() {
    for url in ["wss://chat.example.com", "chat.example.com", "https://", "https://a b", "https://a/?x=1"] {
        refused(
            &[&format!("target.url={url}")],
            &format!(
                "`target.url` = \"{url}\": is not the address of a target: write https://HOST or http://HOST:PORT, without a path's query"
            ),
        );
    }
    refused(
        &["target.metrics=['http://me:hunter2@pod-1/metrics']"],
        "`target.metrics` = \"***\": holds a user name or a password, and secrets stay out of profiles: write the address alone",
    );
}

#[test]
fn an_allowed_host_is_a_name_alone() {
    let text = "target.allow = ['https://chat.example.com']\n[[phase]]\nduration = '5s'\nclients = '100%'";
    let error = parse(text, "mine.toml", &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "accept the profile mine.toml: `target.allow` = \"https://chat.example.com\": is not a host: write its name alone, as in \"chat.example.com\""
    );
}

#[test]
fn a_name_that_is_no_directory_is_refused() {
    for name in ["../up", "", ".hidden", "a b", &"x".repeat(65)] {
        let found = wrong(&[&format!("name='{name}'")]);
        assert!(found[0].contains("names the run directory: write letters, digits"), "{found:?}");
    }
    assert!(wrong(&["about='''\na\nb'''"])[0].ends_with("must be one line of at most 200 characters"));
}

#[test]
fn a_key_that_is_not_shortened_because_it_does_not_exist_is_refused() {
    refused(
        &["shortens=['client.watchdog','watchdog']"],
        "`shortens` = \"watchdog\": names no key of a profile: write its full path, as in `target.embedded.ping_interval`",
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let found =
        wrong(&["population.tenants=0", "drain.deadline=1s", "client.jitter=2.0", "traffic.payload=1B"]);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_watchdog_below_the_ping_interval_is_warned_about_with_the_setting_to_change() {
    assert_eq!(
        warned(&["client.watchdog=30s"]),
        [
            "`client.watchdog` (30s) is not longer than the ping interval (30s): quiet connections will count as dead; 2.5 intervals are advised"
        ]
    );
    let shortened = warned(&["target.embedded.client_watchdog=5s"]);
    assert!(shortened[0].starts_with("`target.embedded.client_watchdog` (5s)"), "{shortened:?}");
    let deployed = warned(&[
        "client.watchdog=20s",
        "target.url=https://chat.example.com",
        "auth.key_file=key",
        "target.embedded.ping_interval=2s",
    ]);
    assert!(
        deployed[0].starts_with("`client.watchdog` (20s) is not longer than the ping interval (30s)"),
        "{deployed:?}"
    );
}

#[test]
fn a_balancer_that_cuts_before_the_next_ping_is_warned_about() {
    let found = warned(&["target.embedded.balancer.idle_timeout=20s"]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("`target.embedded.balancer.idle_timeout` (20s) is not longer than"),
        "{found:?}"
    );
    assert_eq!(
        warned(&["target.embedded.balancer.idle_timeout=20s", "target.embedded.balancer.mode=direct"]),
        [""; 0]
    );
}

#[test]
fn what_a_deployment_changes_is_warned_about() {
    assert_eq!(
        warned(&["target.url=https://chat.example.com", "fault=[{kind='pod-kill',at='1s',name='dies'}]"]),
        [
            "`auth.key_file` is missing: with dev-jwt on a target that is not embedded, tokens are signed with the key in this file",
            "`fault.0` (dies) is not planted on a deployment: it is listed with `affected` null",
        ]
    );
}

#[test]
fn a_fault_that_outlasts_the_phases_is_warned_about() {
    assert_eq!(
        warned(&["fault=[{kind='pod-kill',at='20s',duration='10s'}]"]),
        ["`fault.0.duration` (pod-kill) lasts beyond the phases, which end at 25s: it ends with them"]
    );
}

#[test]
fn a_silence_that_nobody_can_notice_in_time_is_warned_about() {
    assert_eq!(
        warned(&["fault=[{kind='silent',at='20s',share='10%'}]", "drain.deadline=60s"]),
        ["`drain.deadline` (1m) ends the run before the watchdog (75s) can notice the fault silent"]
    );
    assert_eq!(warned(&["fault=[{kind='silent',at='20s',share='10%'}]"]), [""; 0]);
}

#[test]
fn a_wrong_way_to_the_target_is_told_with_its_form() {
    for (set, words) in [
        ("target.resolve=[\"chat.example.com:192.0.2.7\"]", "host:port:address"),
        ("target.resolve=[\"chat.example.com:0:192.0.2.7\"]", "host:port:address"),
        ("target.local_addresses=[\"eth0\"]", "in numbers"),
        ("target.proxy=https://proxy:3128", "http://HOST:PORT"),
        ("target.proxy=http://me:secret@proxy:3128", "secrets stay out"),
        ("target.headers=[\"no colon\"]", "Name: value"),
        ("target.headers=[\"Authorization: Bearer x\"]", "leave it out"),
        ("target.headers=[\"Sec-WebSocket-Protocol: x\"]", "leave it out"),
        ("target.family=ipv5", "`ipv4`"),
        ("target.pod_header=X Served By", "name of a header or a cookie"),
        ("target.pod_cookie=\"\"", "name of a header or a cookie"),
    ] {
        let found = wrong(&[set]).join("\n");
        assert!(found.contains(words) && !found.contains("secret@"), "{set}: {found}");
        assert!(!found.contains("Bearer"), "{found}");
    }
    let good = [
        "target.resolve=[\"chat.example.com:443:192.0.2.7\", \"x:1:[::1]\"]",
        "target.local_addresses=[\"127.0.0.2\", \"::1\"]",
        "target.proxy=http://proxy.example.com:3128/",
        "target.headers=[\"X-Env: staging\"]",
        "target.pod_header=X-Served-By",
        "target.pod_cookie=scaiwave_pod",
    ];
    assert_eq!(wrong(&good), [""; 0]);
}

#[test]
fn a_command_that_cannot_be_run_is_refused() {
    for (keys, words) in [
        ("command=[],undo=[]", "is no command"),
        ("command=[' '],undo=[]", "is no command"),
        ("command=['true'],undo=['']", "is no command"),
        ("command=['echo a','b'],undo=[],shell=true", "is for the shell"),
        ("command=['true'],undo=['a','b'],shell=true", "is for the shell"),
        ("command=['true'],undo=[],timeout='1ms'", "timeout"),
        ("command=['true']", "undo = []"),
        ("undo=[]", "command = ["),
        ("command=['true'],undo=[],share='10%'", "is not used by the kind `exec`"),
    ] {
        let found = wrong(&[&format!("fault=[{{kind='exec',at='1s',{keys}}}]")]).join("\n");
        assert!(found.contains(words), "{keys}: {found}");
    }
    assert_eq!(wrong(&["fault=[{kind='exec',at='1s',command=['a','b c'],undo=[]}]"]), [""; 0]);
}

#[test]
fn a_way_to_sign_in_that_cannot_work_is_refused() {
    let deployed = "target.url=https://chat.example.com";
    let password = ["auth.mode=password", "auth.credentials=people.csv"];
    for (sets, words) in [
        (&[deployed, "auth.mode=password"][..], "is missing: it names the CSV"),
        (&["auth.mode=tokens", "auth.credentials=people.csv"], "is for a deployment"),
        (&[deployed, "auth.credentials=people.csv"], "is not read when auth.mode is \"dev-jwt\""),
        (
            &[deployed, password[0], password[1], "auth.key_file=key"],
            "is not read when auth.mode is \"password\"",
        ),
        (&[deployed, "auth.mode=mock"], "every token is the same user"),
        (&[deployed, "auth.mode=pasword"], "`password`"),
    ] {
        let found = wrong(sets).join("\n");
        assert!(found.contains(words), "{sets:?}: {found}");
    }
    assert_eq!(wrong(&[deployed, password[0], password[1]]), [""; 0]);
    assert_eq!(wrong(&[deployed, "auth.mode=mock", "population.clients=1", "population.tenants=1"]), [""; 0]);
}

#[test]
fn given_rooms_are_for_deployments_and_nothing_is_made_there() {
    const GIVEN: &str = "population.rooms=rooms.csv";
    const TARGET: &str = "target.url=http://localhost:1";
    refused(
        &[GIVEN],
        "`population.rooms` = \"rooms.csv\": is for a deployment: name it in target.url, or leave it out",
    );
    refused(
        &[GIVEN, TARGET, "population.room_type=incognito"],
        "`population.room_type` = \"incognito\": is for rooms that are made, and population.rooms names existing ones: leave it \
         out",
    );
    refused(
        &[GIVEN, TARGET, "population.kept_rooms=x"],
        "`population.kept_rooms` = \"x\": is for rooms that are made, and population.rooms names existing ones: leave it out",
    );
    assert_eq!(wrong(&[GIVEN, TARGET]), [""; 0]);
}

#[test]
fn who_only_listens_is_told_what_cannot_be_done_or_known() {
    const OBSERVE: [&str; 4] =
        ["traffic.mode=observe", "population.rooms=rooms.csv", "target.url=http://localhost:1", "fault=[]"];
    let with = |more: &[&'static str]| wrong(&[&OBSERVE, more].concat());
    assert_eq!(with(&[]), [""; 0]);
    assert_eq!(
        wrong(&["traffic.mode=observe", "fault=[]"]),
        ["`traffic.mode` = \"observe\": needs rooms in which others publish: name them in population.rooms"]
    );
    assert_eq!(
        with(&["traffic.rate=5/s"]),
        ["`traffic.rate` = \"5/s\": publishes something, and traffic.mode is \"observe\": leave it out"]
    );
    assert_eq!(
        wrong(&OBSERVE[..3]),
        [
            "`fault.0.kind` = \"pod-kill\": is done to what is published, and traffic.mode is \"observe\": leave it out"
        ]
    );
    for (objective, why) in [
        ("objectives.missed_in_seam== 0", "nobody knows which side lost what was missed"),
        ("objectives.arrival.p99=<= 1s", "nobody knows when an event was published"),
        ("objectives.acknowledged=>= 99%", "nothing is published"),
        ("objectives.unexpected== 0", "whatever comes may have been published by others"),
    ] {
        let told = with(&[objective]);
        assert!(told.len() == 1 && told[0].contains(why), "{objective}: {told:?}");
    }
    for objective in
        ["objectives.missed_after_bridging== 0", "objectives.duplicate== 0", "objectives.hello.p99=<= 1s"]
    {
        assert_eq!(with(&[objective]), [""; 0], "{objective}");
    }
}

#[test]
fn a_profile_that_only_listens_reads_as_itself() {
    let text = "[target]\nurl = 'http://localhost:1'\n[population]\nrooms = 'rooms.csv'\n[traffic]\nmode = 'observe'\n\
                [[phase]]\nduration = '5s'\nclients = '100%'";
    let profile = parse(text, "mine.toml", &[]).unwrap().profile;
    assert_eq!(profile.traffic.rate.0, 0.0);
    assert!(profile.objectives.iter().all(|objective| objective.name != "acknowledged"));
    assert_eq!(parse(&profile.to_toml(), "mine.toml", &[]).unwrap().profile, profile);
}
