//! Safety rails (pure): whether this profile may run against that host, judged before anything leaves.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use url::{Host, Url};

use crate::plan::Load;
use crate::profile::quantity::Rate;
use crate::profile::{KnownAddress, Profile, Target};

/// Why a run may not start; completes "failed to …".
#[derive(Debug, Error, PartialEq)]
pub(super) enum RailError {
    /// `target.url` is no URL with a host.
    #[error("find a host in target.url = \"{0}\": write http://HOST:PORT or https://HOST")]
    NoHost(String),
    /// Off loopback, and neither allowed nor confirmed.
    #[error(
        "run against {host}: it is not this machine, and nobody said that it may be loaded; say \
         --confirm-target {host}, or list \"{host}\" under target.allow in the profile file"
    )]
    NotConfirmed {
        /// The exact host.
        host: String,
    },
    /// Another host was confirmed.
    #[error("run against {host}: --confirm-target names {confirmed}, another host")]
    OtherConfirmed {
        /// The exact host.
        host: String,
        /// What was confirmed.
        confirmed: String,
    },
    /// Above a limit.
    #[error(
        "keep within the limits for {host}: {what} is {asked}, and limits.{key} is {limit}; ask for less, or raise \
         limits.{key} in the profile file (never by --set)"
    )]
    AboveLimit {
        /// The exact host.
        host: String,
        /// What the profile asks for.
        what: &'static str,
        /// How much.
        asked: String,
        /// The key of `[limits]`.
        key: &'static str,
        /// Its value.
        limit: String,
    },
}

/// What the rails made of a profile that may run.
#[derive(Debug, PartialEq)]
pub(super) struct Cleared {
    /// What was changed for it, for people.
    pub notes: Vec<String>,
}

/// Whether a profile's target is this machine, so that its `[limits]` are not enforced.
pub(super) fn stays_on_this_machine(profile: &Profile) -> bool {
    let Some(url) = &profile.target.url else { return true };
    let host = Url::parse(url).ok().and_then(|url| url.host().map(|host| is_loopback(&host)));
    host.unwrap_or(false) && stays_here(&profile.target)
}

/// Judges a profile. Off loopback, `auth.login_rate` is lowered to `limits.logins`: logging in is the harness's
/// own business and may take longer; everything else that is above its limit would change the run, so it refuses.
///
/// # Errors
///
/// The first rail that the run would cross.
pub(super) fn check(profile: &mut Profile, confirmed: Option<&str>) -> Result<Cleared, RailError> {
    let mut notes = Vec::new();
    let Some(url) = profile.target.url.clone() else { return Ok(Cleared { notes }) };
    let no_host = || RailError::NoHost(without_secrets(&url));
    let parsed = Url::parse(&url).map_err(|_| no_host())?;
    let host = parsed.host().ok_or_else(no_host)?;
    if stays_on_this_machine(profile) {
        return Ok(Cleared { notes });
    }
    let host = host.to_string();
    let is = |other: &str| other.eq_ignore_ascii_case(&host);
    if !profile.target.allow.iter().any(|allowed| is(allowed)) {
        match confirmed {
            Some(confirmed) if is(confirmed) => {}
            Some(confirmed) => {
                return Err(RailError::OtherConfirmed { host, confirmed: confirmed.to_owned() });
            }
            None => return Err(RailError::NotConfirmed { host }),
        }
    }
    within_limits(profile, &host)?;
    if profile.auth.login_rate.0 > profile.limits.logins.0 {
        notes.push(format!(
            "auth.login_rate is lowered from {} to limits.logins = {}",
            rate(profile.auth.login_rate),
            rate(profile.limits.logins)
        ));
        profile.auth.login_rate = profile.limits.logins;
    }
    Ok(Cleared { notes })
}

/// Neither a proxy nor a name that is not looked up leads away from this machine.
fn stays_here(target: &Target) -> bool {
    let here = |known: &String| KnownAddress::parse(known).is_some_and(|known| known.address.is_loopback());
    target.proxy.is_none() && target.resolve.iter().all(here)
}

fn within_limits(profile: &Profile, host: &str) -> Result<(), RailError> {
    let (limits, load) = (&profile.limits, Load::of(profile));
    let above = |what, asked, key, limit| {
        Err(RailError::AboveLimit { host: host.to_owned(), what, asked, key, limit })
    };
    if profile.population.clients > limits.clients {
        let (asked, limit) = (profile.population.clients.to_string(), limits.clients.to_string());
        return above("population.clients", asked, "clients", limit);
    }
    for (what, asked, key, limit) in [
        ("the steepest [[phase]]", load.connects, "connects", limits.connects),
        ("traffic.rate in its busiest phase", load.publishes, "publishes", limits.publishes),
        ("what traffic.rate causes in deliveries", load.deliveries, "deliveries", limits.deliveries),
        ("traffic.sync_rate in its busiest phase", load.sync_load, "sync_requests", limits.sync_requests),
    ] {
        // Shares and members are fractions: what is over by less than a millionth is rounding.
        if asked > limit.0 * (1.0 + 1e-6) {
            return above(what, rate(Rate(asked)), key, rate(limit));
        }
    }
    Ok(())
}

/// By address, or by the one name that is reserved for it. A name that happens to resolve to loopback may resolve
/// to something else tomorrow.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => {
            Ipv6Addr::is_loopback(address) || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

fn rate(rate: Rate) -> String {
    format!("{}/s", (rate.0 * 100.0).round() / 100.0)
}

/// What cannot be read as a URL may still hold a token.
fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let shown = &url[..end];
    match shown.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::quantity::Share;
    use crate::report::sample;

    fn profile_for(url: &str) -> Profile {
        let mut profile = sample::profile();
        profile.target.url = Some(url.to_owned());
        profile
    }

    #[test]
    fn this_machine_needs_no_confirmation() {
        for url in [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://localhost:1",
            "http://pod.localhost",
            "http://[::1]:9",
            "http://[::ffff:127.0.0.1]:9",
        ] {
            let mut profile = profile_for(url);
            profile.population.clients = 100_000;
            assert_eq!(check(&mut profile, None), Ok(Cleared { notes: Vec::new() }), "{url}");
        }
        assert!(check(&mut sample::profile(), None).is_ok(), "the embedded target");
    }

    #[test]
    fn another_machine_does_even_when_its_name_looks_like_ours() {
        for url in [
            "https://chat.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0:80",
        ] {
            let refused = check(&mut profile_for(url), None);
            assert!(matches!(refused, Err(RailError::NotConfirmed { .. })), "{url}: {refused:?}");
        }
        let refused = check(&mut profile_for("https://chat.example.com"), Some("chat.example.org"));
        assert!(matches!(refused, Err(RailError::OtherConfirmed { .. })), "{refused:?}");
    }

    #[test]
    fn a_name_of_this_machine_that_leads_elsewhere_is_another_machine() {
        let refused = |change: fn(&mut Target)| {
            let mut profile = profile_for("http://localhost:8080");
            change(&mut profile.target);
            matches!(check(&mut profile, None), Err(RailError::NotConfirmed { .. }))
        };
        assert!(refused(|target| target.resolve = vec!["localhost:8080:192.0.2.7".to_owned()]));
        assert!(refused(|target| target.proxy = Some("http://127.0.0.1:3128".to_owned())));
        assert!(!refused(|target| target.resolve = vec!["localhost:8080:[::1]".to_owned()]));
    }

    #[test]
    fn a_confirmed_or_listed_host_runs_with_its_logins_slowed() {
        let expected = Ok(Cleared {
            notes: vec!["auth.login_rate is lowered from 200/s to limits.logins = 5/s".into()],
        });
        let quiet = |url| {
            let mut profile = profile_for(url);
            profile.traffic.rate = Rate(10.0);
            profile
        };
        let mut confirmed = quiet("https://chat.example.com");
        assert_eq!(check(&mut confirmed, Some("Chat.Example.com")), expected);
        assert_eq!(confirmed.auth.login_rate, Rate(5.0));
        let mut listed = quiet("https://chat.example.com:8443");
        listed.target.allow = vec!["chat.example.com".to_owned()];
        assert_eq!(check(&mut listed, None), expected);
    }

    #[test]
    fn each_limit_names_its_key_and_its_value() {
        type Spoil = fn(&mut Profile);
        let spoils: [(Spoil, &str); 4] = [
            (|p| p.population.clients = 501, "population.clients is 501, and limits.clients is 500"),
            (|p| p.phases[0].duration = std::time::Duration::from_secs(1), "limits.connects is 50/s"),
            (|p| p.traffic.rate = Rate(51.0), "limits.publishes is 50/s"),
            (|p| p.limits.deliveries = Rate(200.0), "limits.deliveries is 200/s"),
        ];
        for (spoil, expected) in spoils {
            let mut profile = profile_for("https://chat.example.com");
            profile.traffic.rate = Rate(10.0);
            profile.phases[1].rate = Share::ALL;
            spoil(&mut profile);
            let told = check(&mut profile, Some("chat.example.com")).expect_err("above").to_string();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn an_error_shows_no_token() {
        let told =
            check(&mut profile_for("user:secret@host?token=secret"), None).expect_err("no host").to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}
