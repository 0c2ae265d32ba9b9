//! What a probe hands back, for people and for scripts.

use std::time::Duration;

use serde::Serialize;

use super::check::Check;
use super::judgement::{Finding, Judgement, Observation, Outcome};

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of this form.
    pub schema: &'static str,
    /// wavesoak's.
    pub version: &'static str,
    /// In the User-Agent of every request.
    pub run_id: String,
    /// The URL that was probed.
    pub target: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Of the checks; signing in and putting rooms away are left out.
    pub duration_s: f64,
    /// How long streams were held.
    pub listened_s: f64,
    /// What this probe does not do, and browsers do.
    pub measured_without: &'static str,
    /// Finding before inconclusive before healthy.
    pub outcome: Outcome,
    /// What the probe did to the target.
    pub sent: Sent,
    /// Every check, in the order of the page.
    pub checks: Vec<CheckReport>,
    /// What this deployment does where the documentation leaves it open.
    pub observed: Vec<Observation>,
}

/// What the probe did to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Users that were signed in.
    pub identities: u32,
    /// HTTP requests after provisioning.
    pub requests: u64,
    /// Publishes among them.
    pub publishes: u64,
    /// Upgrades that were asked for.
    pub streams: u64,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// The line of the page that it answers.
    pub page: &'static str,
    /// In one word.
    pub outcome: Outcome,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be told.
    pub unclear: Vec<String>,
    /// What is as it should be.
    pub seen: Vec<String>,
}

impl CheckReport {
    /// `None`: it was not asked.
    pub(super) fn new(check: Check, judgement: Option<Judgement>) -> Self {
        let outcome = judgement.as_ref().map_or(Outcome::NotAsked, Judgement::outcome);
        let Judgement { findings, unclear, seen, .. } = judgement.unwrap_or_default();
        Self { check, page: check.page(), outcome, findings, unclear, seen }
    }
}

impl Report {
    /// `schema`
    pub const SCHEMA: &'static str = "wavesoak.probe/1";
    /// `measured_without`: browsers offer it, and a path may treat compressed frames in another way.
    pub const WITHOUT: &'static str = "permessage-deflate";

    /// Of all checks together: what was not asked says nothing.
    pub fn outcome_of(checks: &[CheckReport]) -> Outcome {
        let any = |outcome| checks.iter().any(|check| check.outcome == outcome);
        if any(Outcome::Finding) {
            Outcome::Finding
        } else if any(Outcome::Inconclusive) {
            Outcome::Inconclusive
        } else {
            Outcome::Healthy
        }
    }

    /// The findings, with the checks that have them.
    pub fn findings(&self) -> impl Iterator<Item = (Check, &Finding)> {
        self.checks.iter().flat_map(|own| own.findings.iter().map(move |finding| (own.check, finding)))
    }

    /// For people; colours as ANSI escapes, which the terminal's side takes out where they are not wanted.
    pub fn text(&self) -> String {
        let mut page = format!("probe of {}\n\n", self.target);
        for check in self.checks.iter().filter(|check| check.outcome != Outcome::NotAsked) {
            check.tell(&mut page);
        }
        let skipped: Vec<&str> = self
            .checks
            .iter()
            .filter(|check| check.outcome == Outcome::NotAsked)
            .map(|check| check.check.name())
            .collect();
        if !skipped.is_empty() {
            page.push_str(&format!("not asked: {}\n", skipped.join(", ")));
        }
        self.tell_observed(&mut page);
        let Sent { identities, requests, publishes, streams } = self.sent;
        page.push_str(&format!(
            "\nlistened {:.0} s of {:.0} s; {identities} identities, {requests} requests ({publishes} publishes), \
             {streams} streams opened\nmeasured without {}: we do not offer it, browsers do\n{}\n",
            self.listened_s,
            self.duration_s,
            self.measured_without,
            self.headline(),
        ));
        page
    }

    fn tell_observed(&self, page: &mut String) {
        if self.observed.is_empty() {
            return;
        }
        page.push_str("\nleft open by the documentation; this deployment:\n");
        for Observation { topic, seen, what, .. } in &self.observed {
            let what = plain(what);
            page.push_str(&format!("  {topic:17}  {}{what}\n", if *seen { "" } else { "not seen: " }));
        }
    }

    fn headline(&self) -> String {
        let count = |outcome| self.checks.iter().filter(|check| check.outcome == outcome).count();
        let findings = self.findings().count();
        let plural = if findings == 1 { "" } else { "s" };
        match self.outcome {
            Outcome::Finding => format!("\x1b[1m\x1b[31m{findings} finding{plural}\x1b[0m"),
            Outcome::Inconclusive => {
                let unclear = count(Outcome::Inconclusive);
                format!("\x1b[1m\x1b[33minconclusive: {unclear} of the checks could not tell\x1b[0m")
            }
            Outcome::Healthy | Outcome::NotAsked => "\x1b[1m\x1b[32mhealthy\x1b[0m".to_owned(),
        }
    }
}

impl CheckReport {
    fn tell(&self, page: &mut String) {
        let word = match self.outcome {
            Outcome::Healthy => "\x1b[32mhealthy     \x1b[0m",
            Outcome::Finding => "\x1b[31mFINDING     \x1b[0m",
            Outcome::Inconclusive => "\x1b[33minconclusive\x1b[0m",
            Outcome::NotAsked => "not asked   ",
        };
        page.push_str(&format!("{word}  {:12}  {}\n", self.check.name(), self.page));
        for finding in &self.findings {
            let symptom = plain(&finding.symptom);
            page.push_str(&format!("  \x1b[1mfinding\x1b[0m   {symptom} [{}]\n", finding.name));
            for evidence in &finding.evidence {
                page.push_str(&format!("  evidence  {}\n", plain(evidence)));
            }
            for (number, line) in finding.remedy.lines().enumerate() {
                page.push_str(&format!("  {}  {line}\n", if number == 0 { "remedy  " } else { "        " }));
            }
        }
        for line in &self.unclear {
            page.push_str(&format!("  unclear   {}\n", plain(line)));
        }
        for line in &self.seen {
            page.push_str(&format!("  seen      {}\n", plain(line)));
        }
    }
}

/// Without what a terminal would take for an order: names, codes and ids are the server's own words.
fn plain(text: &str) -> String {
    text.chars().map(|own| if own.is_control() { char::REPLACEMENT_CHARACTER } else { own }).collect()
}

/// Seconds to a hundredth, for evidence.
pub(crate) fn secs(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(judgements: Vec<Option<Judgement>>) -> Report {
        let checks: Vec<CheckReport> = Check::ALL
            .iter()
            .zip(judgements.into_iter().chain(std::iter::repeat(None)))
            .map(|(&check, judgement)| CheckReport::new(check, judgement))
            .collect();
        Report {
            schema: Report::SCHEMA,
            version: "0",
            run_id: "r".to_owned(),
            target: "http://127.0.0.1:1".to_owned(),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            duration_s: 101.0,
            listened_s: 95.0,
            measured_without: Report::WITHOUT,
            outcome: Report::outcome_of(&checks),
            sent: Sent::default(),
            checks,
            observed: Vec::new(),
        }
    }

    #[test]
    fn a_finding_is_told_with_evidence_and_remedy_and_every_report_says_what_was_left_out() {
        let finding = Finding::new("idle-timeout", "cut after 20 s", "raise it\nto 75 s").because("12 of 12");
        let wrong = Judgement { findings: vec![finding], ..Judgement::default() };
        let report = report(vec![Some(wrong), Some(Judgement::default())]);
        assert_eq!(report.outcome, Outcome::Finding);
        let text = report.text();
        for words in [
            "cut after 20 s [idle-timeout]",
            "evidence  12 of 12",
            "remedy    raise it\n            to 75 s",
            "permessage-deflate",
            "1 finding\x1b",
            "not asked: token, ",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!(json["checks"][0]["check"], "drops");
        assert_eq!(json["checks"][0]["findings"][0]["name"], "idle-timeout");
        assert_eq!(json["measured_without"], "permessage-deflate");
    }

    #[test]
    fn what_was_observed_has_a_section_of_its_own_and_is_no_finding() {
        let mut report = report(vec![Some(Judgement::default())]);
        assert!(!report.text().contains("left open"));
        report.observed.push(Observation::new("typing", "comes on the stream").with("after_ms", 1.5));
        report.observed.push(Observation::unseen("token-expiry", "token life is 3600 s"));
        let text = report.text();
        for words in
            ["left open by", "typing             comes on", "token-expiry       not seen: token life"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(report.outcome, Outcome::Healthy);
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!(json["observed"][0]["measured"]["after_ms"], 1.5);
        assert_eq!(json["observed"][1]["seen"], false);
    }

    #[test]
    fn words_of_the_server_give_a_terminal_no_orders() {
        let finding = Finding::new("deaf", "no event", "restart it").because("1 of pod\x1b[2J\x07-1");
        let text = report(vec![Some(Judgement { findings: vec![finding], ..Judgement::default() })]).text();
        assert!(text.contains("1 of pod\u{fffd}[2J\u{fffd}-1"), "{text:?}");
    }

    /// Real output against `reports/probe.schema.json`, which allows no key and no check that it does not know.
    #[test]
    fn the_schema_knows_every_check_and_every_key() {
        let schema = serde_json::from_str(include_str!("../../reports/probe.schema.json")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let finding =
            Finding::new("idle-timeout", "cut", "raise it").because("12 of 12").with("timeout_s", 20.0);
        let wrong = Judgement { findings: vec![finding], ..Judgement::default() };
        let mut report = report(vec![Some(wrong)]);
        report.run_id = "00000000-0000-0000-0000-000000000000".to_owned();
        report.sent.identities = 24;
        report.observed.push(Observation::new("typing", "comes on the stream").with("after_ms", 1.5));
        let json = serde_json::to_value(&report).expect("plain data");
        validator.validate(&json).unwrap_or_else(|error| panic!("{error} at {}", error.instance_path()));
        let mut more = json.clone();
        more["checks"][0]["colour"] = "red".into();
        assert!(!validator.is_valid(&more), "a key that nobody has described");
        let mut less = json;
        less.as_object_mut().expect("an object").remove("sent");
        assert!(!validator.is_valid(&less));
    }

    #[test]
    fn what_is_not_asked_makes_nothing_unhealthy() {
        assert_eq!(report(vec![Some(Judgement::default())]).outcome, Outcome::Healthy);
        let unclear = Judgement { unclear: vec!["x".to_owned()], ..Judgement::default() };
        assert_eq!(report(vec![Some(unclear)]).outcome, Outcome::Inconclusive);
    }
}
