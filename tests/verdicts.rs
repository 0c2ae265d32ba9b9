//! Runs in virtual time, judged and summed up: what a person would read and what a script would see.

use std::time::Duration;

use wavesoak::profile::{Override, Profile, builtin, parse};
use wavesoak::report::{RunInfo, Summary, markdown};
use wavesoak::simulator::simulate;
use wavesoak::verdict::{Outcome, judge};

fn profile(name: &str, overrides: &[&str]) -> Profile {
    let overrides: Vec<Override> =
        overrides.iter().map(|text| Override::parse(text).expect("a change")).collect();
    let text = builtin(name).expect("built in").text;
    parse(text, name, &overrides).unwrap_or_else(|error| panic!("{error}")).profile
}

fn play(profile: &Profile) -> Summary {
    let run = simulate(profile).unwrap_or_else(|error| panic!("{error}"));
    let verdict = judge(profile, &run.collected);
    let started = "2026-05-17T13:10:03Z".parse().expect("a time");
    let mut info = RunInfo::new(profile, uuid::Uuid::nil(), started);
    info.duration = Duration::from_secs(30);
    info.finished = true;
    let summary = Summary::new(profile, &run.collected, &verdict, &info);
    assert_eq!(summary.books(), Ok(()), "{}", markdown::render(&summary));
    holds_to_the_schema(&summary);
    summary
}

fn holds_to_the_schema(summary: &Summary) {
    let schema = serde_json::from_str(include_str!("../reports/summary.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let value = serde_json::to_value(summary).expect("JSON");
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn outcome_of(summary: &Summary, objective: &str) -> Option<Outcome> {
    summary.objectives.iter().find(|judged| judged.name == objective).map(|judged| judged.outcome)
}

fn told(summary: &Summary) -> String {
    markdown::render(summary)
}

#[test]
fn smoke_passes() {
    let summary = play(&profile("smoke", &[]));
    assert_eq!(summary.verdict, Outcome::Passed, "{}", told(&summary));
    assert!(!summary.harness.bottleneck);
    assert!(summary.disconnects.total >= 100, "a third of the clients lost their pod: {}", told(&summary));
}

#[test]
fn ci_passes() {
    let summary = play(&profile("ci", &[]));
    assert_eq!(summary.verdict, Outcome::Passed, "{}", told(&summary));
}

#[test]
fn a_balancer_that_cuts_idle_streams_fails_and_is_named() {
    let summary = play(&profile("lb-timeout", &[]));
    assert_eq!(summary.verdict, Outcome::Failed, "{}", told(&summary));
    assert_eq!(outcome_of(&summary, "disconnects.total"), Some(Outcome::Failed));
    let symptom = summary.remarks.iter().find(|remark| remark.starts_with("Symptom")).expect("named");
    assert!(symptom.contains("about 20 s") && symptom.contains("75 to 90 s"), "{symptom}");
    let healed = play(&profile("lb-timeout", &["target.embedded.balancer.idle_timeout=90s"]));
    assert_eq!(healed.verdict, Outcome::Passed, "{}", told(&healed));
    assert!(!healed.remarks.iter().any(|remark| remark.starts_with("Symptom")), "{}", told(&healed));
}

/// `smoke` with one more fault, or with its own one changed.
fn spoiled(overrides: &[&str], fault: &str) -> Summary {
    let overrides: Vec<Override> =
        overrides.iter().map(|text| Override::parse(text).expect("a change")).collect();
    let text = format!("{}\n{fault}", builtin("smoke").expect("built in").text);
    let profile = parse(&text, "smoke", &overrides).unwrap_or_else(|error| panic!("{error}")).profile;
    play(&profile)
}

#[test]
fn a_target_that_refuses_every_publish_has_failed() {
    let summary = spoiled(&[], "[[fault]]\nkind = \"refuse-publishes\"\nat = \"0s\"\n");
    assert_eq!(summary.verdict, Outcome::Failed, "{}", told(&summary));
    assert_eq!(outcome_of(&summary, "acknowledged"), Some(Outcome::Failed));
}

#[test]
fn a_target_that_refuses_two_in_five_tokens_has_failed() {
    let summary = spoiled(&[], "[[fault]]\nkind = \"reject-tokens\"\nshare = \"40%\"\nat = \"0s\"\n");
    assert_eq!(summary.verdict, Outcome::Failed, "{}", told(&summary));
    assert_eq!(outcome_of(&summary, "never_ready"), Some(Outcome::Failed), "{}", told(&summary));
    assert_eq!(outcome_of(&summary, "live"), Some(Outcome::Failed));
}

#[test]
fn a_target_that_never_comes_back_has_failed() {
    let summary = spoiled(&["target.embedded.pods=1", "fault.pod-dies.duration=10m"], "");
    assert_eq!(summary.verdict, Outcome::Failed, "{}", told(&summary));
    assert_eq!(outcome_of(&summary, "live"), Some(Outcome::Failed));
}
