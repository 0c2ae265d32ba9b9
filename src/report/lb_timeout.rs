//! The answer of `size lb-timeout`: one struct, as JSON, as Markdown, on a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use super::sheet::{Cell, Mood, Section, grouped};
use super::{markdown, terminal};
use crate::probe::{Finding, Outcome, Sent};
use crate::profile::Client;
use crate::sizing::lb_timeout::advice::{Cost, Factor, secs};
use crate::sizing::lb_timeout::judge::{
    Judged, PollAnswer, PollState, StreamAnswer, StreamState, judge, words,
};
use crate::sizing::lb_timeout::lines::Product;
use crate::sizing::lb_timeout::measure::{Measured, Setup};
use crate::sizing::lb_timeout::poll::{End, Party, Poll};
use crate::sizing::lb_timeout::streams::{Cadence, Connection, seconds};

/// `lb-timeout.json`; keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `wavesoak.size-lb-timeout/1`
    pub schema: &'static str,
    /// Of wavesoak.
    pub version: &'static str,
    /// In the User-Agent of every request.
    pub run_id: String,
    /// The URL.
    pub target: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Seconds from the first request after provisioning to the last answer.
    pub duration_s: f64,
    /// For how long streams were held.
    pub listened_s: f64,
    /// The bound of the long polls.
    pub up_to_s: f64,
    /// `permessage-deflate`: browsers offer it.
    pub measured_without: &'static str,
    /// Finding before inconclusive before healthy.
    pub outcome: Outcome,
    /// What was done to the target.
    pub sent: Sent,
    /// The server's pings.
    pub pings: Pings,
    /// The longest silences that streams have survived.
    pub survived: Silences,
    /// The stream's path.
    pub stream: StreamAnswer,
    /// The long polls'.
    pub poll: PollAnswer,
    /// A client that answered no ping was closed so long after its upgrade; null: it was not.
    pub server_ping_timeout_s: Option<f64>,
    /// What to set, and why.
    pub advice: AdviceReport,
    /// What is below what is needed.
    pub findings: Vec<Finding>,
    /// What could not be told.
    pub unclear: Vec<String>,
    /// What is as it should be.
    pub seen: Vec<String>,
    /// Every stream.
    pub connections: Vec<Connection>,
    /// Every long poll, round by round.
    pub polls: Vec<Vec<PollReport>>,
}

/// The server's pings.
#[derive(Clone, Debug, Serialize)]
pub struct Pings {
    /// Gaps where nobody publishes; null: no ping came there.
    pub quiet: Option<Cadence>,
    /// Gaps where somebody does; null: likewise.
    pub loaded: Option<Cadence>,
    /// The worst of all; null: no ping came.
    pub worst_gap_s: Option<f64>,
    /// On which stream that was.
    pub worst_on: Option<Connection>,
    /// Publishes a second that were asked for.
    pub load_per_s: f64,
    /// Publishes that were sent.
    pub published: usize,
    /// Those that were acknowledged.
    pub acknowledged: usize,
}

/// Seconds without a byte, and with one after them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Silences {
    /// Nothing came to the client.
    pub to_client_s: f64,
    /// Nothing left from it.
    pub to_server_s: f64,
    /// Nothing passed at all.
    pub either_way_s: f64,
}

/// What to set.
#[derive(Clone, Debug, Serialize)]
pub struct AdviceReport {
    /// Multiples of the worst gap.
    pub factor: Factor,
    /// Idle timeout of the stream, least and most; null: it cannot be said.
    pub stream_timeout_s: Option<[f64; 2]>,
    /// For how long a poll is held at most.
    pub poll_hold_s: f64,
    /// Response timeout of sync.
    pub poll_timeout_s: f64,
    /// One that does for both; null: it cannot be said.
    pub both_s: Option<f64>,
    /// `client.watchdog`
    pub watchdog_s: f64,
    /// How these came about.
    pub arithmetic: Vec<String>,
    /// How long what is dead stays counted, and what that holds.
    pub costs: Vec<Cost>,
    /// As lines of configuration.
    pub products: Vec<Product>,
}

/// One long poll.
#[derive(Clone, Debug, Serialize)]
pub struct PollReport {
    /// `timeout`
    pub asked_s: f64,
    /// From the request to what came.
    pub took_s: f64,
    /// What that says.
    pub end: End,
    /// How it ended.
    pub by: String,
    /// How often somebody's event had ended it before.
    pub begun_anew: u32,
}

impl PollReport {
    fn of(poll: &Poll) -> Self {
        Self {
            asked_s: seconds(poll.asked),
            took_s: seconds(poll.took),
            end: poll.end(),
            by: poll.words(),
            begun_anew: poll.woken,
        }
    }
}

impl Report {
    /// `schema`
    pub const SCHEMA: &'static str = "wavesoak.size-lb-timeout/1";

    /// Of what was seen.
    pub fn new(measured: &Measured, setup: &Setup, client: &Client, factor: Factor) -> Self {
        let judged = judge(measured, client, factor);
        let outcome = judged.outcome();
        let streams = &measured.streams;
        let Judged { findings, unclear, seen, stream, poll, advice, products } = judged;
        let worst = |connection: &&Connection| {
            connection.worst_gap_s.is_some() && connection.worst_gap_s == streams.worst_gap.map(seconds)
        };
        Self {
            schema: Self::SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            run_id: measured.run_id.clone(),
            target: measured.target.clone(),
            started_at: measured.started_at.clone(),
            duration_s: seconds(measured.took),
            listened_s: seconds(measured.listened),
            up_to_s: seconds(setup.up_to),
            measured_without: crate::probe::Report::WITHOUT,
            outcome,
            sent: measured.sent,
            pings: Pings {
                quiet: streams.quiet,
                loaded: streams.loaded,
                worst_gap_s: streams.worst_gap.map(seconds),
                worst_on: streams.connections.iter().find(worst).cloned(),
                load_per_s: setup.load.0,
                published: measured.published.0,
                acknowledged: measured.published.1,
            },
            survived: Silences {
                to_client_s: seconds(streams.survived.to_client),
                to_server_s: seconds(streams.survived.to_server),
                either_way_s: seconds(streams.survived.either_way),
            },
            stream,
            poll,
            server_ping_timeout_s: streams.server_patience.map(seconds),
            advice: AdviceReport {
                factor,
                stream_timeout_s: advice.stream.map(|(low, high)| [seconds(low), seconds(high)]),
                poll_hold_s: seconds(advice.poll_hold),
                poll_timeout_s: seconds(advice.poll),
                both_s: advice.both.map(seconds),
                watchdog_s: seconds(client.watchdog),
                arithmetic: advice.arithmetic,
                costs: advice.costs,
                products,
            },
            findings,
            unclear,
            seen,
            connections: streams.connections.clone(),
            polls: measured
                .polls
                .rounds()
                .iter()
                .map(|round| round.iter().map(PollReport::of).collect())
                .collect(),
        }
    }

    /// `lb-timeout.md`
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.headline());
        let _ = writeln!(text, "\n{}", self.circumstances());
        for section in self.sections() {
            markdown::render_section(&section, &mut text);
        }
        if !self.advice.products.is_empty() {
            text.push_str("\n## Configuration\n");
        }
        for product in &self.advice.products {
            let _ = write!(
                text,
                "\n{}:\n\n```text\n{}\n```\n\n{}.\n",
                product.name,
                product.lines.join("\n"),
                product.note
            );
        }
        text
    }

    /// For a terminal of this many columns.
    pub fn text(&self, columns: u16) -> String {
        let mut text = String::new();
        for section in self.sections() {
            terminal::render_section(&section, columns, &mut text);
        }
        if !self.advice.products.is_empty() {
            text.push_str("\x1b[1mConfiguration\x1b[0m\n");
        }
        for product in &self.advice.products {
            let _ = writeln!(text, "{}", product.name);
            // Whole lines, however long: they are there to be copied.
            product.lines.iter().for_each(|line| {
                let _ = writeln!(text, "    {line}");
            });
        }
        let colour = match self.outcome {
            Outcome::Healthy | Outcome::NotAsked => "\x1b[32m",
            Outcome::Finding => "\x1b[31m",
            Outcome::Inconclusive => "\x1b[33m",
        };
        let _ = writeln!(text, "\n{}\n\x1b[1m{colour}{}\x1b[0m", self.circumstances(), self.headline());
        text
    }

    /// One line.
    pub fn headline(&self) -> String {
        let stream = match (self.stream.state, self.stream.idle_timeout_s, self.stream.maximum_age_s) {
            (StreamState::BelowWhatPingsNeed, Some(at), _) => {
                format!("the stream is cut after {at:.1} s of silence, before the next ping")
            }
            (StreamState::EndsAtAnAge, _, Some(age)) => {
                format!("streams end at an age of {age:.1} s, which is no idle timeout")
            }
            (StreamState::AboveWhatPingsNeed, ..) => {
                "the stream's timeout is above what pings need".to_owned()
            }
            _ => "the stream's timeout is not known".to_owned(),
        };
        let poll = match (self.poll.state, self.poll.timeout_s) {
            (PollState::Cut, Some(at)) if self.poll.confirmed => {
                format!("long polls are cut after {at:.1} s")
            }
            (PollState::Lost, Some(at)) if self.poll.confirmed => {
                format!("long polls are lost without a word from about {at:.1} s on")
            }
            (PollState::CappedByServer, _) => {
                let cap = self.poll.hold_cap_s.unwrap_or_default();
                format!("the server itself ends long polls after {cap:.1} s")
            }
            (PollState::HeldToTheBound, _) => {
                format!("long polls of {} s are held", self.poll.at_least_s.unwrap_or_default())
            }
            _ => "the long polls' timeout is not known".to_owned(),
        };
        format!("{stream}; {poll}")
    }

    fn circumstances(&self) -> String {
        let Sent { identities, requests, publishes, streams } = self.sent;
        format!(
            "{}, {}: {identities} identities, {} requests ({} publishes), {streams} streams opened, {:.0} s; measured without \
             {}, which browsers offer",
            self.target,
            self.started_at,
            grouped(requests),
            grouped(publishes),
            self.duration_s,
            self.measured_without
        )
    }

    fn sections(&self) -> Vec<Section> {
        let all = [
            self.answers(),
            self.cadence(),
            self.silences(),
            self.poll_section(),
            self.finding_section(),
            self.told("Not told", &self.unclear),
            self.told("Seen", &self.seen),
            self.told("Advice", &self.advice.arithmetic),
            self.cost_section(),
        ];
        all.into_iter().filter(|section| !section.rows.is_empty() || !section.lines.is_empty()).collect()
    }

    fn answers(&self) -> Section {
        let (stream, poll) = (&self.stream, &self.poll);
        let state = |text: &str, mood| Cell::text(text).mood(mood);
        let stream_state = match stream.state {
            StreamState::BelowWhatPingsNeed => state("below what pings need", Mood::Bad),
            StreamState::AboveWhatPingsNeed => state("above what pings need", Mood::Good),
            StreamState::EndsAtAnAge => state("streams end at an age", Mood::Bad),
            StreamState::Unknown => state("not known", Mood::Open),
        };
        let low = self.findings.iter().any(|finding| finding.name.starts_with("poll-"));
        let poll_state = match poll.state {
            _ if low => state("below what clients ask for", Mood::Bad),
            PollState::Cut if !poll.confirmed => state("not confirmed", Mood::Open),
            PollState::Lost if !poll.confirmed => state("not confirmed", Mood::Open),
            PollState::Cut | PollState::Lost => state("above what clients ask for", Mood::Good),
            PollState::CappedByServer => state("above the server's cap", Mood::Good),
            PollState::HeldToTheBound => state("above the bound", Mood::Good),
            PollState::Unknown => state("not known", Mood::Open),
        };
        let who =
            |party: Option<Party>| Cell::text(party.map_or_else(String::new, |party| party.to_string()));
        let advised = self.advice.stream_timeout_s;
        let advised = advised.map_or_else(
            || Cell::text("cannot be said").mood(Mood::Open),
            |[low, high]| {
                Cell::number(if low < high { format!("{low} to {high} s") } else { format!("{high} s") })
            },
        );
        let row = |name, timeout: Option<f64>, least: Option<f64>, who, state, advised| {
            vec![
                Cell::text(name),
                Cell::number(timeout.map_or_else(String::new, |at| format!("{at:.2} s"))),
                Cell::number(least.map_or_else(String::new, |least| format!("{least:.2} s"))),
                who,
                state,
                advised,
            ]
        };
        let advised_poll = Cell::number(format!("{} s", self.advice.poll_timeout_s));
        let (stream_by, poll_by) = (who(stream.ended_by), who(poll.ended_by));
        let ended = |name, endings: &std::collections::BTreeMap<String, usize>| {
            (!endings.is_empty()).then(|| format!("{name} ended by: {}", words(endings)))
        };
        let lines =
            [ended("quiet streams", &stream.endings), ended("long polls that were not held", &poll.endings)];
        Section {
            title: "Timeouts on the path",
            head: vec!["path", "timeout", "survived", "ended by", "", "advised"],
            rows: vec![
                row(
                    "stream",
                    stream.idle_timeout_s,
                    Some(stream.at_least_s),
                    stream_by,
                    stream_state,
                    advised,
                ),
                row("long poll", poll.timeout_s, poll.at_least_s, poll_by, poll_state, advised_poll),
            ],
            lines: lines.into_iter().flatten().collect(),
        }
    }

    fn cadence(&self) -> Section {
        let row = |name, cadence: Option<Cadence>| match cadence {
            Some(Cadence { count, min_s, p50_s, p99_s, max_s }) => {
                let mut row = vec![Cell::text(name), Cell::number(count.to_string())];
                row.extend([min_s, p50_s, p99_s, max_s].map(|time| Cell::number(format!("{time:.2} s"))));
                row
            }
            None => {
                let mut row = vec![Cell::text(name), Cell::number("0").mood(Mood::Open)];
                row.extend(std::iter::repeat_n(Cell::text(""), 4));
                row
            }
        };
        let mut section = Section {
            title: "The server's pings: gaps",
            head: vec!["streams", "gaps", "min", "p50", "p99", "max"],
            rows: vec![row("quiet", self.pings.quiet), row("under load", self.pings.loaded)],
            lines: Vec::new(),
        };
        section.lines.push(format!(
            "load: {} of {} publishes acknowledged, {} a second asked for",
            grouped(self.pings.acknowledged as u64),
            grouped(self.pings.published as u64),
            self.pings.load_per_s
        ));
        if let Some(Connection { server, manner, worst_gap_s: Some(worst), .. }) = &self.pings.worst_on {
            section.lines.push(format!("the worst gap, {worst:.2} s, was on a {manner} stream of {server}"));
        }
        section
    }

    fn silences(&self) -> Section {
        let Silences { to_client_s, to_server_s, either_way_s } = self.survived;
        let row = |name, time: f64| vec![Cell::text(name), Cell::number(format!("{time:.2} s"))];
        let mut section = Section {
            title: "Longest silence that a stream has survived",
            head: vec!["direction", "time"],
            rows: vec![
                row("to the client", to_client_s),
                row("to the server", to_server_s),
                row("either way", either_way_s),
            ],
            lines: Vec::new(),
        };
        if let Some(Cadence { count, min_s, p50_s, max_s, .. }) = self.stream.lifetimes {
            section.lines.push(format!(
                "{count} quiet streams ended, {min_s:.2} to {max_s:.2} s after their upgrade (median {p50_s:.2} s)"
            ));
        }
        section
    }

    fn poll_section(&self) -> Section {
        let rows = (1..).zip(&self.polls).flat_map(|(number, round)| {
            let mut by: std::collections::BTreeMap<(&str, bool), Vec<&PollReport>> = Default::default();
            for poll in round {
                by.entry((&poll.by, poll.end == End::Held)).or_default().push(poll);
            }
            by.into_iter().map(move |((how, held), polls)| {
                let span = |of: fn(&PollReport) -> f64| {
                    let (least, most) = polls
                        .iter()
                        .map(|poll| of(poll))
                        .fold((f64::MAX, 0.0_f64), |(least, most), time| (least.min(time), most.max(time)));
                    if most - least < 0.005 {
                        format!("{most:.2} s")
                    } else {
                        format!("{least:.2} to {most:.2} s")
                    }
                };
                vec![
                    Cell::number(number.to_string()),
                    Cell::number(polls.len().to_string()),
                    Cell::number(span(|poll| poll.asked_s)),
                    Cell::number(span(|poll| poll.took_s)),
                    Cell::text(how).mood(if held { Mood::Good } else { Mood::Plain }),
                ]
            })
        });
        let mut section = Section {
            title: "Long polls in a room where nobody speaks",
            head: vec!["round", "polls", "asked for", "took", "ended by"],
            rows: rows.collect(),
            lines: Vec::new(),
        };
        if let Some(held) = self.poll.default_hold_s {
            section.lines.push(format!(
                "a poll that does not say for how long is held for {held:.2} s (documented: 30 s)"
            ));
        }
        section
    }

    fn finding_section(&self) -> Section {
        let lines = self.findings.iter().flat_map(|finding| {
            let evidence = finding.evidence.iter().map(|line| format!("evidence: {line}"));
            std::iter::once(format!("{} [{}]", finding.symptom, finding.name))
                .chain(evidence)
                .chain(finding.remedy.lines().map(|line| format!("remedy: {line}")))
        });
        Section { title: "Findings", head: Vec::new(), rows: Vec::new(), lines: lines.collect() }
    }

    fn told(&self, title: &'static str, lines: &[String]) -> Section {
        Section { title, head: Vec::new(), rows: Vec::new(), lines: lines.to_vec() }
    }

    fn cost_section(&self) -> Section {
        let rows = self.advice.costs.iter().map(|cost| {
            let unknown = || Cell::number("not measured").mood(Mood::Open);
            vec![
                Cell::text(cost.counted_by),
                Cell::text(cost.when),
                Cell::text(&cost.ended_by),
                cost.counted_s.map_or_else(unknown, |time| {
                    Cell::number(secs(std::time::Duration::from_secs_f64(time)))
                }),
                Cell::text(cost.holds),
                cost.standing_per_1000_a_minute.map_or_else(unknown, |count| Cell::number(grouped(count))),
            ]
        });
        Section {
            title: "What dies in silence stays counted",
            head: vec!["by", "when", "until", "at most", "each holds", "standing"],
            rows: rows.collect(),
            lines: vec![
                "standing: how many at any time if 1,000 a minute die so: 1,000 / 60 s x the time that each is counted (Little's law)"
                    .to_owned(),
                "the gauge is scaiwave_ws_connections; a balancer has two descriptors for a stream, one on each side".to_owned(),
            ],
        }
    }
}
