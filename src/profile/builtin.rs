//! The profiles in the binary.

/// A profile in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What `wavesoak run` calls it.
    pub name: &'static str,
    /// Its `about`.
    pub about: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

/// All of them, the quickest first; the annotated reference is not among them.
pub fn builtins() -> &'static [Builtin] {
    &BUILTINS
}

/// The one of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// The profile that explains every key: its unit, its default, why it is so, and whether the documentation says so.
pub fn reference() -> &'static str {
    include_str!("../../profiles/annotated.toml")
}

macro_rules! builtins {
    ($($name:literal: $about:literal),+ $(,)?) => {
        const BUILTINS: [Builtin; [$($name),+].len()] = [
            $(Builtin {
                name: $name,
                about: $about,
                text: include_str!(concat!("../../profiles/", $name, ".toml")),
            }),+
        ];
    };
}

builtins! {
    "smoke": "300 clients lose a pod and come back: the whole harness in under 30 s",
    "ci": "resets, expired tokens and silent connections, with pings and watchdog shortened: under 60 s",
    "lb-timeout": "a balancer that cuts idle streams before the next ping: drops every few seconds",
    "steady": "5,000 clients, nothing planted: what a quiet fleet costs",
    "reconnect-storm": "5,000 clients, one of three pods dies and comes back",
    "soak": "12 hours of steady traffic with a fault of each kind now and then",
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use toml::Table;

    use super::super::quantity::{Share, Written as _};
    use super::super::{Override, Profile, StopCondition, Subject, defaults, keys, parse, shape};
    use super::*;
    use crate::wire::RawStamp;

    fn profile(builtin: &Builtin) -> Profile {
        parse(builtin.text, builtin.name, &[]).unwrap_or_else(|error| panic!("{error}")).profile
    }

    #[test]
    fn every_built_in_profile_is_good_and_says_what_the_list_says() {
        for builtin in builtins() {
            let profile = profile(builtin);
            assert_eq!((profile.name.as_str(), profile.about.as_str()), (builtin.name, builtin.about));
        }
        assert_eq!(builtin("ci").map(|builtin| builtin.name), Some("ci"));
        assert_eq!(builtin("annotated"), None);
    }

    #[test]
    fn only_the_profile_that_shows_a_mistake_is_warned_about() {
        for builtin in builtins() {
            let warnings = parse(builtin.text, builtin.name, &[]).unwrap().warnings;
            let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
            match builtin.name {
                "lb-timeout" => assert_eq!(keys, ["target.embedded.balancer.idle_timeout"]),
                name => assert_eq!(keys, [""; 0], "{name}"),
            }
        }
    }

    #[test]
    fn built_in_profiles_hold_at_0_what_the_server_answers_for_and_allow_for_the_seam() {
        for builtin in builtins() {
            let profile = profile(builtin);
            let limit = |name: &str| {
                let found = profile.objectives.iter().find(|objective| objective.name == name);
                found.map(|objective| objective.limit.to_string())
            };
            for name in [
                "missed_on_stream",
                "missed_in_sync",
                "missed_unplaced",
                "lost_by_server",
                "stream_omitted",
                "duplicate",
                "unexpected",
                "leaked",
                "leaked_room",
                "schedule_violations",
            ] {
                assert_eq!(limit(name).as_deref(), Some("= 0"), "{name} in {}", builtin.name);
            }
            assert!(limit("missed_in_seam").is_some(), "{}", builtin.name);
            assert_eq!(
                limit("messages_dropped_total").as_deref(),
                Some("= 0 if exposed"),
                "{}",
                builtin.name
            );
        }
    }

    #[test]
    fn the_quick_profiles_leave_time_for_their_drain() {
        let course = |name| -> Duration {
            profile(builtin(name).unwrap()).phases.iter().map(|phase| phase.duration).sum()
        };
        assert!(course("smoke") <= Duration::from_secs(18));
        assert!(course("ci") <= Duration::from_secs(45));
        assert_eq!(course("soak"), Duration::from_secs(12 * 3_600));
    }

    /// A duration below its default is a shortened one, and is said to be.
    #[test]
    fn a_built_in_profile_names_the_keys_that_it_shortens() {
        let minimal = "[[phase]]\nduration = '1s'\nclients = '100%'";
        let default: Table = parse(minimal, "x", &[]).unwrap().profile.to_toml().parse().unwrap();
        for builtin in builtins() {
            let profile = profile(builtin);
            let table: Table = profile.to_toml().parse().unwrap();
            let seconds = |table: &Table, path: &str| {
                let mut parts = path.split('.');
                let value = parts
                    .try_fold(&toml::Value::Table(table.clone()), |value, part| value.get(part))
                    .cloned();
                value.and_then(|value| Duration::parse(value.as_str()?).ok())
            };
            let paths = keys::paths(&shape::keys());
            let shortened: Vec<String> = paths
                .into_iter()
                .filter(|path| ["client.", "target.", "drain."].iter().any(|table| path.starts_with(table)))
                .filter(|path| {
                    let before = match path.as_str() {
                        "target.embedded.client_watchdog" => Some(profile.deployed_watchdog),
                        path => seconds(&default, path),
                    };
                    seconds(&table, path).is_some_and(|now| Some(now) < before)
                })
                .collect();
            let (mut said, mut found) = (profile.shortens.clone(), shortened);
            said.sort();
            found.sort();
            assert_eq!(said, found, "{}", builtin.name);
        }
    }

    #[test]
    fn the_silence_of_ci_is_noticed_by_the_watchdog_in_time() {
        let ci = builtin("ci").unwrap();
        let embedded = profile(ci);
        let silence = embedded.faults.iter().find(|fault| fault.name == "silence").unwrap();
        assert_eq!(embedded.client.watchdog, embedded.target.embedded.ping_interval.mul_f64(2.5));
        assert!(silence.duration.unwrap() > embedded.client.watchdog);
        let changes = [
            Override::Target("https://chat.example.com".to_owned()),
            Override::parse("auth.key_file=key").unwrap(),
        ];
        let deployed = parse(ci.text, ci.name, &changes).unwrap();
        assert_eq!(deployed.profile.client.watchdog, Duration::from_secs(75));
        assert_eq!(deployed.warnings, []);
    }

    #[test]
    fn the_reference_names_every_key_there_is() {
        let written: Table = uncommented().parse().unwrap();
        let mut seen = Vec::new();
        names(&written, "", &mut seen);
        for path in keys::paths(&shape::keys()) {
            assert!(seen.contains(&path), "{path} is missing in annotated.toml");
        }
        parse(&uncommented(), "annotated.toml", &[]).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn the_reference_says_the_defaults_of_the_code() {
        let minimal = "name = 'annotated'\n[[phase]]\nname = 'ramp'\nduration = '5s'\nclients = '100%'\n\
                       [[phase]]\nname = 'hold'\nduration = '20s'";
        let code = parse(minimal, "x", &[]).unwrap();
        let said = parse(reference(), "x", &[]).unwrap();
        assert_eq!(said, code);
        assert_eq!(said.profile.stops[1].condition, StopCondition::ConnectFailures(Share(0.5)));
    }

    /// Every default is written, not only left to the code: without each line the table would lack its key.
    #[test]
    fn the_reference_leaves_no_default_unwritten() {
        let written: Table = reference().parse().unwrap();
        let mut seen = Vec::new();
        names(&written, "", &mut seen);
        let unwritten: Vec<String> =
            keys::paths(&shape::keys()).into_iter().filter(|path| !seen.contains(path)).collect();
        assert!(unwritten.iter().all(|path| path.starts_with("fault[].")), "{unwritten:?}");
        let objectives = written["objectives"].as_table().unwrap();
        let always = defaults::objectives();
        assert_eq!(objectives.len(), always.len());
        for objective in always {
            assert_eq!(objectives[&objective.name].as_str(), Some(objective.limit.to_string().as_str()));
            assert!(Subject::parse(&objective.name).is_ok());
        }
    }

    #[test]
    fn the_reference_shows_every_kind_of_fault() {
        for kind in super::super::fault::NAMES {
            assert!(reference().contains(&format!("#kind = \"{kind}\"")), "{kind}");
        }
    }

    #[test]
    fn the_smallest_payload_holds_the_largest_stamp() {
        #[derive(serde::Serialize)]
        struct Content<'a> {
            msgtype: &'a str,
            body: &'a str,
            wavesoak: RawStamp<'a>,
        }
        let run = uuid::Uuid::max().to_string();
        let wavesoak =
            RawStamp { run: &run, room: u32::MAX, n: Some(u32::MAX), due_ns: u64::MAX, sent_ns: u64::MAX };
        let largest = serde_json::to_string(&Content { msgtype: "m.text", body: "", wavesoak }).unwrap();
        assert!(largest.len() <= super::super::PAYLOAD_MIN as usize, "{}: {largest}", largest.len());
    }

    /// The reference with its examples: a line that begins with # and no space is TOML.
    fn uncommented() -> String {
        let line = |line: &'static str| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c != ' ' && c != '-'))
                .unwrap_or(line)
        };
        reference().lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn names(table: &Table, above: &str, seen: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{above}{key}");
            match value {
                toml::Value::Table(inner) if key != "objectives" => names(inner, &format!("{path}."), seen),
                toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                    for item in items.iter().filter_map(toml::Value::as_table) {
                        names(item, &format!("{path}[]."), seen);
                    }
                }
                _ => seen.push(path),
            }
        }
    }
}
