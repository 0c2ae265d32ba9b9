//! What was seen, against what is needed (pure): findings, what could not be told, and the advice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::advice::{Advice, Factor, Facts, secs};
use super::ladder::{Found, tolerance};
use super::lines::{Product, products};
use super::measure::Measured;
use super::poll::{End, Party, Poll};
use super::streams::{Cadence, Streams, seconds};
use crate::probe::drops::{self, Rule};
use crate::probe::{Finding, Outcome};
use crate::profile::Client;

/// All of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What is below what is needed.
    pub findings: Vec<Finding>,
    /// What could not be told, and what would tell it.
    pub unclear: Vec<String>,
    /// What is as it should be.
    pub seen: Vec<String>,
    /// Of the stream's path.
    pub stream: StreamAnswer,
    /// Of the long polls'.
    pub poll: PollAnswer,
    /// What to set.
    pub advice: Advice,
    /// And how; empty where the stream's timeout cannot be said.
    pub products: Vec<Product>,
}

/// The stream's path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamAnswer {
    /// In a word.
    pub state: StreamState,
    /// The idle timeout; null: there is none below what pings keep alive, or it is not known.
    pub idle_timeout_s: Option<f64>,
    /// The age at which every stream ends; null: none was seen.
    pub maximum_age_s: Option<f64>,
    /// A silence, either way, that streams have survived: the idle timeout is above it.
    pub at_least_s: f64,
    /// Who ended quiet streams.
    pub ended_by: Option<Party>,
    /// How, and how many.
    pub endings: BTreeMap<String, usize>,
    /// When, since their upgrade.
    pub lifetimes: Option<Cadence>,
}

/// How the stream's path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamState {
    /// Its idle timeout cuts streams before the next ping.
    BelowWhatPingsNeed,
    /// Pings keep streams alive.
    AboveWhatPingsNeed,
    /// Streams end at an age, whatever passes.
    EndsAtAnAge,
    /// Nobody can tell.
    Unknown,
}

/// The long polls' path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PollAnswer {
    /// In a word.
    pub state: PollState,
    /// The timeout; null: there is none below the bound, or it is not known.
    pub timeout_s: Option<f64>,
    /// The earliest and the latest cut, or the two holds that silence lies between.
    pub between_s: Option<[f64; 2]>,
    /// How often a poll is begun before it ends, at another pod each time; null: it was not cut.
    pub tries: Option<u32>,
    /// It was repeated just below and just above.
    pub confirmed: bool,
    /// After polls were cut the path refused every request for so long, at the most; null: it did not.
    pub refused_afterwards_s: Option<f64>,
    /// The longest poll that was held to its end; null: none was.
    pub at_least_s: Option<f64>,
    /// Who ended those that were cut.
    pub ended_by: Option<Party>,
    /// How polls ended that were not held, and how many.
    pub endings: BTreeMap<String, usize>,
    /// The server ends polls by itself after this; null: it did not.
    pub hold_cap_s: Option<f64>,
    /// A poll that did not say for how long was held for this; null: not seen.
    pub default_hold_s: Option<f64>,
    /// For how long clients ask (`client.poll_timeout`).
    pub asked_by_clients_s: f64,
}

/// How the long polls' path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollState {
    /// Polls are cut.
    Cut,
    /// Polls are lost without a word.
    Lost,
    /// The server ends them before the path does.
    CappedByServer,
    /// All were held up to the bound.
    HeldToTheBound,
    /// Nobody can tell.
    Unknown,
}

impl Judged {
    /// In one word.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&self.findings, &self.unclear)
    }
}

/// Of this client, which wants its polls held for `poll_timeout`.
pub fn judge(measured: &Measured, client: &Client, factor: Factor) -> Judged {
    let found = measured.polls.found();
    let late = measured.polls.polls().map(Poll::late).max().unwrap_or_default();
    let facts = Facts {
        ping_gap: measured.streams.worst_gap,
        poll_asked: client.poll_timeout,
        poll_cap: match found {
            Some(Found::Capped { cap }) => Some(*cap),
            _ => None,
        },
        poll_patience: client.sync_deadline,
        poll_late: late,
        watchdog: client.watchdog,
        server_patience: measured.streams.server_patience,
    };
    let advice = Advice::new(&facts, factor);
    let mut judged = Judged {
        findings: Vec::new(),
        unclear: Vec::new(),
        seen: Vec::new(),
        stream: stream_answer(&measured.streams),
        poll: poll_answer(measured, client.poll_timeout),
        products: advice.stream.map_or_else(Vec::new, |(_, high)| products(high, advice.poll)),
        advice,
    };
    judge_pings(measured, &mut judged);
    judge_streams(measured, &mut judged);
    judge_loaded(measured, &mut judged);
    judge_mute(&measured.streams, &mut judged);
    judge_polls(measured, client.poll_timeout, &mut judged);
    judged
}

fn judge_pings(measured: &Measured, judged: &mut Judged) {
    let streams = &measured.streams;
    if streams.worst_gap.is_none() && matches!(streams.rule, Rule::Age(_)) {
        judged.unclear.push(
            "no ping of the server came before streams ended for their age: what streams need cannot be said"
                .to_owned(),
        );
    } else if streams.worst_gap.is_none() {
        judged.unclear.push(format!(
            "no ping of the server came on any stream in {}: what streams need cannot be said; listen for more than its \
             interval (documented: 30 s, --listen 95s)",
            secs(measured.listened)
        ));
    }
    let (asked, acknowledged) = measured.published;
    if streams.loaded.is_none() && streams.worst_gap.is_some() {
        judged.unclear.push(
            "no ping came on a stream that is talked to: the cadence under load is not known".to_owned(),
        );
    } else if acknowledged * 2 < asked.max(1) {
        judged.unclear.push(format!(
            "{acknowledged} of {asked} publishes were acknowledged: the cadence under load is that of a room in which little \
             was said"
        ));
    }
}

fn judge_streams(measured: &Measured, judged: &mut Judged) {
    let streams = &measured.streams;
    let told = drops::judge(&measured.undisturbed);
    let timed = |name: &str| matches!(name, "idle-timeout" | "maximum-age");
    for mut finding in told.findings {
        if !timed(finding.name) {
            judged.unclear.push(format!(
                "streams end or fail, and by no timeout: {} [{}]; `wavesoak probe` looks into it",
                finding.symptom, finding.name
            ));
            continue;
        }
        if let (Rule::Idle(_), Some((low, high))) = (streams.rule, judged.advice.stream) {
            finding.remedy.push_str(&format!(
                "\nBy the pings measured here: {} to {}.",
                secs(low),
                secs(high)
            ));
        }
        judged.findings.push(finding);
    }
    judged.unclear.extend(told.unclear);
    let survived = secs(streams.survived.either_way);
    match judged.stream.state {
        StreamState::AboveWhatPingsNeed => judged.seen.push(format!(
            "the stream's idle timeout is above what pings need: no quiet stream ended, and silences of {survived} were \
             survived (the proven lower bound; the server's pings let none grow longer)"
        )),
        StreamState::EndsAtAnAge => judged.seen.push(format!(
            "streams end at an age, and no idle timeout was seen: silences of {survived} were survived, and longer ones \
             cannot be had while streams end before"
        )),
        StreamState::BelowWhatPingsNeed | StreamState::Unknown => {}
    }
}

fn judge_loaded(measured: &Measured, judged: &mut Judged) {
    let streams = &measured.streams;
    let count: usize = streams.loaded_endings.values().sum();
    if let Some(cluster) = streams.one_way {
        judged.findings.push(
            Finding::new(
                "one-way-timeout",
                format!(
                    "something on the way cuts a stream on which the client said nothing for {}, though the server did",
                    secs(cluster.at)
                ),
                "A hop times each direction by itself: a client says nothing but the answers to pings. Raise that side's \
                 timeout past the ping interval as well (HAProxy: timeout tunnel takes the place of timeout client; nginx: \
                 proxy_send_timeout).",
            )
            .with("timeout_s", cluster.at.as_secs_f64())
            .because(format!(
                "{} of {} drops of streams that are talked to came so long after their last word, by {}",
                cluster.count,
                cluster.of,
                words(&streams.loaded_endings)
            ))
            .because("streams that ping by themselves lived on"),
        );
    } else if count > 0 && streams.rule == Rule::None {
        judged.unclear.push(format!(
            "{count} streams that are talked to ended ({}), quiet ones did not, and silence does not explain it",
            words(&streams.loaded_endings)
        ));
    }
}

fn judge_mute(streams: &Streams, judged: &mut Judged) {
    match streams.server_patience {
        Some(patience) => judged.seen.push(format!(
            "a client that answers no ping is closed with 4003 {} after its upgrade",
            secs(patience)
        )),
        None => judged.seen.push(format!(
            "the server's ping_timeout was not seen: a client that answers no ping {}, {} at the longest",
            if streams.mute_endings.is_empty() {
                "was kept".to_owned()
            } else {
                format!("ended otherwise ({})", words(&streams.mute_endings))
            },
            secs(streams.mute_kept)
        )),
    }
}

const POLL_REMEDY: &str = "\
An intermediary gives an answer less time than a long poll needs: raise its response timeout (nginx proxy_read_timeout, HAProxy \
timeout server, the gateway's request timeout) at every hop on the way of /v1/sync, or let clients ask for less.";

fn judge_polls(measured: &Measured, asked: Duration, judged: &mut Judged) {
    let Some(found) = measured.polls.found() else { return };
    let needed = asked + judged.advice.poll.saturating_sub(judged.advice.poll_hold);
    match found {
        Found::Cut { at, confirmed: false, .. } => judged.unclear.push(format!(
            "long polls were cut after {} at first, and repeated ones did not agree: {}",
            secs(*at),
            words(&judged.poll.endings)
        )),
        Found::Cut { at, tries, count, survived, lowest, highest, mixed, .. } => {
            let mut by = BTreeMap::new();
            for poll in measured.polls.polls().filter(|poll| poll.end() == End::Cut) {
                *by.entry(poll.words()).or_insert(0) += 1;
            }
            let cut = format!(
                "long polls were cut by {}, {count} of them {} to {} after their request; {} was held",
                words(&by),
                secs2(*lowest),
                secs2(*highest),
                if survived.is_zero() { "none".to_owned() } else { secs2(*survived) }
            );
            let beside = beside(*at, *tries, *mixed, judged.poll.refused_afterwards_s);
            if *at < asked + tolerance(*at) {
                let mut finding = Finding::new(
                    "poll-timeout-low",
                    format!(
                        "an intermediary ends a request of which nothing comes for {}, and clients ask for {}",
                        secs(*at),
                        secs(asked)
                    ),
                    format!("{POLL_REMEDY}\nNeeded here: {}.", secs(judged.advice.poll)),
                )
                .with("timeout_s", at.as_secs_f64())
                .because(cut);
                finding.evidence.extend(beside);
                judged.findings.push(finding);
                return;
            }
            let enough = if *at < needed {
                format!(
                    "tight: clients ask for {} and wait for the answer up to {} in all",
                    secs(asked),
                    secs(needed)
                )
            } else {
                format!("enough for the {} that clients ask for", secs(asked))
            };
            judged.seen.push(format!("{cut}: {enough}"));
            judged.seen.extend(beside);
        }
        Found::Silent { low, high, confirmed } => judge_lost(*low, *high, *confirmed, asked, judged),
        Found::Capped { cap } => {
            let less = if *cap < asked { ": less than clients ask for, which is its to say" } else { "" };
            judged.seen.push(format!(
                "the server answers every long poll after {} at the latest, with an empty page: its own cap, and nothing on \
                 the way is sooner{less}",
                secs2(*cap)
            ));
        }
        Found::Above { survived } if *survived < asked => judged.unclear.push(format!(
            "long polls were held for {} at the most, and clients ask for {}: --up-to {}s",
            secs(*survived),
            secs(asked),
            asked.as_secs_f64().ceil()
        )),
        Found::Above { survived } => judged.seen.push(format!(
            "nothing on the way ends a long poll of {}: the HTTP path's timeout is above that",
            secs(*survived)
        )),
        Found::Unclear { why, survived } => judged.unclear.push(format!(
            "the HTTP path's timeout is not known: {why}{}",
            if survived.is_zero() { String::new() } else { format!("; {} was held", secs(*survived)) }
        )),
    }
}

/// What else cuts say.
fn beside(at: Duration, tries: u32, mixed: usize, refused_s: Option<f64>) -> Vec<String> {
    let mut told = Vec::new();
    if tries > 1 {
        told.push(format!(
            "a poll that asks for more than {} ends only after {tries} times that: the balancer begins it anew at another pod \
             (nginx: proxy_next_upstream timeout), and each of them serves it",
            secs2(at)
        ));
    }
    if mixed > 0 {
        told.push(format!("{mixed} polls were held for longer: not every way has that timeout"));
    }
    if let Some(refused) = refused_s {
        told.push(format!(
            "once polls were cut, every request was refused until {refused:.1} s after: the balancer takes pods that time \
             out for dead (nginx: max_fails, fail_timeout), and clients whose polls are cut do the same to everybody"
        ));
    }
    told
}

fn judge_lost(low: Duration, high: Duration, confirmed: bool, asked: Duration, judged: &mut Judged) {
    let seen = format!(
        "long polls of {} and more are never answered, ones of up to {} are; nobody says so, and we gave up",
        secs2(high),
        secs2(low)
    );
    if !confirmed || (low < asked && asked < high) {
        judged
            .unclear
            .push(format!("{seen}; repeated ones did not agree, or what clients ask for lies between"));
    } else if low >= asked {
        judged.seen.push(format!("{seen}: enough for the {} that clients ask for", secs(asked)));
    } else {
        judged.findings.push(
            Finding::new(
                "poll-lost",
                format!("a long poll of {} or more is lost without a word, and clients ask for {}", secs(high), secs(asked)),
                "Something on the way forgets a request on which nothing passes (a NAT's or firewall's idle entry), or the \
                 server forgets it: ask with a shorter timeout straight at a pod, then hop by hop outwards.",
            )
            .with("at_least_s", low.as_secs_f64())
            .with("at_most_s", high.as_secs_f64())
            .because(seen),
        );
    }
}

fn stream_answer(streams: &Streams) -> StreamAnswer {
    let (state, idle, age) = match streams.rule {
        Rule::Idle(idle) => (StreamState::BelowWhatPingsNeed, Some(idle.at), None),
        Rule::Age(age) => (StreamState::EndsAtAnAge, None, Some(age.at)),
        Rule::None if streams.worst_gap.is_some() => (StreamState::AboveWhatPingsNeed, None, None),
        Rule::None | Rule::Other => (StreamState::Unknown, None, None),
    };
    // A hop on the way has no words of WebSocket, but for those that speak it.
    let framed =
        streams.endings.keys().any(|words| words.starts_with("close ") || words.starts_with("a close"));
    let ended_by = (!streams.endings.is_empty()).then_some(match streams.rule {
        _ if framed => Party::Unknown,
        Rule::Idle(_) | Rule::Age(_) => Party::Intermediary,
        Rule::None | Rule::Other => Party::Unknown,
    });
    StreamAnswer {
        state,
        idle_timeout_s: idle.map(seconds),
        maximum_age_s: age.map(seconds),
        at_least_s: seconds(streams.survived.either_way),
        ended_by,
        endings: streams.endings.clone(),
        lifetimes: streams.lifetimes,
    }
}

fn poll_answer(measured: &Measured, asked: Duration) -> PollAnswer {
    let (polls, found) = (&measured.polls, measured.polls.found());
    let held = polls.polls().filter(|poll| poll.end() == End::Held).map(|poll| poll.asked).max();
    let mut endings = BTreeMap::new();
    for poll in polls.polls().filter(|poll| poll.end() != End::Held) {
        *endings.entry(poll.words()).or_insert(0) += 1;
    }
    let default = measured.unsaid.as_ref().filter(|poll| matches!(poll.end(), End::Held | End::Capped));
    let mut answer = PollAnswer {
        state: PollState::Unknown,
        timeout_s: None,
        between_s: None,
        tries: None,
        confirmed: false,
        refused_afterwards_s: measured
            .refusals
            .iter()
            .map(|refusal| refusal.until.since(refusal.from))
            .max()
            .map(seconds),
        at_least_s: held.map(seconds),
        ended_by: None,
        endings,
        hold_cap_s: None,
        default_hold_s: default.map(|poll| seconds(poll.took)),
        asked_by_clients_s: seconds(asked),
    };
    match found {
        Some(Found::Cut { at, tries, lowest, highest, confirmed, survived, .. }) => {
            answer.tries = Some(*tries);
            answer.state = PollState::Cut;
            answer.timeout_s = Some(seconds(*at));
            answer.between_s = Some([seconds(*lowest), seconds(*highest)]);
            answer.confirmed = *confirmed;
            answer.ended_by = Some(Party::Intermediary);
            answer.at_least_s = (!survived.is_zero()).then(|| seconds(*survived));
        }
        Some(Found::Silent { low, high, confirmed }) => {
            answer.state = PollState::Lost;
            answer.timeout_s = confirmed.then(|| seconds((*low + *high) / 2));
            answer.between_s = Some([seconds(*low), seconds(*high)]);
            answer.confirmed = *confirmed;
            answer.ended_by = Some(Party::Unknown);
        }
        Some(Found::Capped { cap }) => {
            answer.state = PollState::CappedByServer;
            answer.hold_cap_s = Some(seconds(*cap));
            answer.ended_by = Some(Party::Server);
        }
        Some(Found::Above { .. }) => answer.state = PollState::HeldToTheBound,
        Some(Found::Unclear { .. }) | None => {}
    }
    answer
}

/// `FIN (9), reset (2)`
pub fn words(endings: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = endings.iter().map(|(words, count)| format!("{words} ({count})")).collect();
    parts.join(", ")
}

/// To a hundredth, for evidence.
fn secs2(time: Duration) -> String {
    crate::probe::secs(time)
}

#[cfg(test)]
mod tests {
    use super::super::ladder::Search;
    use super::super::poll::Came;
    use super::super::streams::Groups;
    use super::*;
    use crate::probe::Sent;
    use crate::probe::vigil::Vigil;

    const SECOND: Duration = Duration::from_secs(1);

    /// Nobody listened, and every poll came to this.
    fn judged(up_to: u64, poll: impl Fn(Duration) -> (Duration, Came)) -> Judged {
        let client = Client::default();
        let mut polls = Search::new(SECOND * up_to as u32, client.poll_timeout);
        while let Some(round) = polls.next_round() {
            let held = round.into_iter().map(|asked| {
                let (took, came) = poll(asked);
                Poll { asked, took, came, woken: 0 }
            });
            polls.tell(held.collect());
        }
        let measured = Measured {
            streams: Streams::of(&Vigil::default(), &Groups::default()),
            undisturbed: Vigil::default(),
            listened: SECOND * 95,
            published: (475, 475),
            polls,
            unsaid: None,
            refusals: Vec::new(),
            run_id: String::new(),
            target: String::new(),
            started_at: String::new(),
            took: SECOND * 100,
            sent: Sent::default(),
        };
        judge(&measured, &client, Factor::default())
    }

    /// Something on the way answers 504 after this.
    fn cut(at: u64) -> Judged {
        judged(120, |asked| {
            if asked > SECOND * at as u32 {
                (SECOND * at as u32, Came::Status { status: 504, code: None, server: None })
            } else {
                (asked, Came::Page { events: 0 })
            }
        })
    }

    fn names(judged: &Judged) -> Vec<&'static str> {
        judged.findings.iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn a_poll_timeout_is_a_finding_only_where_clients_ask_for_more() {
        for (at, found, words) in
            [(20, true, ""), (30, true, ""), (35, false, "tight"), (45, false, "enough for the 30 s")]
        {
            let judged = cut(at);
            assert_eq!(names(&judged), if found { vec!["poll-timeout-low"] } else { vec![] }, "{at}");
            assert_eq!(
                (judged.poll.timeout_s, judged.poll.ended_by),
                (Some(at as f64), Some(Party::Intermediary))
            );
            assert!(judged.seen.iter().any(|line| line.contains(words)) || found, "{at}: {:?}", judged.seen);
        }
    }

    #[test]
    fn the_servers_cap_is_its_own_and_what_is_lost_is_nobodys() {
        let capped = judged(120, |asked| (asked.min(SECOND * 25), Came::Page { events: 0 }));
        assert_eq!((names(&capped), capped.poll.ended_by), (vec![], Some(Party::Server)));
        assert_eq!((capped.poll.hold_cap_s, capped.poll.timeout_s), (Some(25.0), None));
        assert_eq!(capped.advice.poll, SECOND * 35);
        let lost = judged(120, |asked| {
            if asked > SECOND * 17 {
                (asked * 2 + SECOND * 10, Came::Nothing)
            } else {
                (asked, Came::Page { events: 0 })
            }
        });
        assert_eq!((names(&lost), lost.poll.ended_by), (vec!["poll-lost"], Some(Party::Unknown)));
        let about = lost.poll.timeout_s.expect("closed in on");
        assert!((about - 17.0).abs() <= 0.5, "{about}");
    }

    #[test]
    fn what_was_not_seen_is_said_to_be_unknown_and_never_healthy() {
        let judged = judged(120, |asked| (asked, Came::Page { events: 0 }));
        assert_eq!(
            (judged.stream.state, judged.poll.state),
            (StreamState::Unknown, PollState::HeldToTheBound)
        );
        assert_eq!(judged.outcome(), Outcome::Inconclusive);
        assert!(judged.unclear[0].contains("no ping of the server came"), "{:?}", judged.unclear);
        assert_eq!((judged.products.len(), judged.advice.stream), (0, None));
        let short = self::judged(20, |asked| (asked, Came::Page { events: 0 }));
        assert!(short.unclear.iter().any(|line| line.contains("--up-to 30s")), "{:?}", short.unclear);
    }
}
