//! "ScaiWave pings every 30s": whether it does, how regularly, by which kind of ping; and how soon it says hello.
//!
//! The interval is measured, and compared with the documented one; what is late or left out is told by the measured one. The
//! listeners that ping by themselves are looked at only where the quiet ones saw no ping: a server need not ping a stream on
//! which something passes all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::report::secs;
use crate::probe::tape::Tape;
use crate::probe::vigil::Vigil;

/// Documented: no hello within about 2 s means that the connection has failed.
const HELLO_SLOW: Duration = Duration::from_secs(2);
/// Documented: the server pings every 30 s. What is later by more than a tenth is late.
const INTERVAL_MAX: Duration = Duration::from_secs(33);
/// A gap this much longer than the usual one is a missing ping (ours).
const GAP_FACTOR: f64 = 1.5;
/// And a server that pings more often by more than that is worth a word.
const INTERVAL_MIN: Duration = Duration::from_secs(27);
/// What a timer may be late by on top of that.
const MARGIN: Duration = Duration::from_millis(500);
/// Intervals after which a stream that was not pinged will not be, and that an idle timeout should outlast (ours; of the
/// documented 30 s it makes 75 s).
const INTERVALS_TOO_MANY: f64 = 2.5;
/// The documented interval, where none was measured.
const INTERVAL: Duration = Duration::from_secs(30);

/// What pings and hellos came, and when.
pub(super) fn judge(vigil: &Vigil) -> Judgement {
    let mut judgement = Judgement::default();
    judge_hellos(vigil, &mut judgement);
    judge_pings(vigil, &mut judgement);
    judgement
}

fn judge_hellos(vigil: &Vigil, judgement: &mut Judgement) {
    // A stream that was closed before hello has another trouble than a slow one.
    let greeted = vigil.tapes().filter_map(|tape| Some(tape.hello.as_ref()?.0.since(tape.opened)));
    let mut delays: Vec<Duration> = greeted.collect();
    delays.sort_unstable();
    let waited = |tape: &&Tape| tape.hello.is_none() && tape.age() > HELLO_SLOW;
    let never = vigil.tapes().filter(waited).count();
    let slow = delays.iter().filter(|delay| **delay > HELLO_SLOW).count();
    if let (Some(median), Some(worst)) = (delays.get(delays.len() / 2), delays.last()) {
        judgement.saw(format!(
            "hello comes {} after the upgrade (median of {}), at worst {}",
            secs(*median),
            delays.len(),
            secs(*worst)
        ));
    }
    if slow + never > 0 {
        let mut finding = Finding::new(
            "hello-slow",
            "the upgrade succeeds, and hello comes late or never",
            "Documented: without hello within about 2 s a connection counts as failed. Look at the pod that the upgrade \
             reaches (its load, its event loop), and for an intermediary that holds frames back (response buffering).",
        )
        .because(format!(
            "{slow} of {} hellos took longer than {}; {never} streams got none while they were open",
            delays.len(),
            secs(HELLO_SLOW)
        ));
        if let Some(worst) = delays.last() {
            finding = finding.with("worst_hello_s", worst.as_secs_f64());
        }
        judgement.found(finding);
    }
}

/// The usual time between two pings of the server on one stream; `None`: nobody was pinged.
pub(super) fn interval(vigil: &Vigil) -> Option<Duration> {
    Cadence::of(vigil).map(|cadence| cadence.usual)
}

/// The least that an idle timeout on the way should be for a server with this interval.
pub(super) fn timeout_for(interval: Duration) -> Duration {
    interval.mul_f64(INTERVALS_TOO_MANY)
}

/// How the server pings.
struct Cadence<'a> {
    /// Streams that it is judged by.
    tapes: Vec<&'a Tape>,
    usual: Duration,
    /// The longest time without a ping on a stream that was pinged before.
    worst: Duration,
    /// Times between two pings that were seen.
    gaps: usize,
}

impl<'a> Cadence<'a> {
    fn of(vigil: &'a Vigil) -> Option<Self> {
        let of_those = |pings: bool| -> Vec<&'a Tape> {
            let watches = vigil.watches.iter().filter(|watch| watch.pings == pings);
            watches.flat_map(|watch| &watch.tapes).collect()
        };
        let is_pinged = |tape: &&Tape| !tape.pings.is_empty() || !tape.json_pings.is_empty();
        let quiet = of_those(false);
        let tapes = if quiet.iter().any(is_pinged) { quiet } else { of_those(true) };
        let (mut between, mut first, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for tape in &tapes {
            let pings = tape.all_pings();
            let (Some(earliest), Some(latest)) = (pings.first(), pings.last()) else { continue };
            between.extend(pings.windows(2).map(|pair| pair[1].since(pair[0])));
            first.push(earliest.since(tape.opened));
            // What comes behind the last ping shows that the stream was there to be pinged; its silence would be another matter.
            open.push(tape.last_frame.since(*latest));
        }
        between.sort_unstable();
        // The first ping may come by a timer that is older than the stream: it tells of an interval only when nothing else does.
        let usual = between.get(between.len() / 2).or_else(|| first.iter().max())?;
        let worst = between.last().into_iter().chain(&first).chain(&open).max()?;
        Some(Self { usual: *usual, worst: *worst, gaps: between.len(), tapes })
    }

    /// Streams that were never pinged, though they were open, and brought something, for long enough.
    fn left_out(&self) -> Vec<&'a Tape> {
        let patience = timeout_for(self.usual) + MARGIN;
        let is_left_out =
            |tape: &&&Tape| tape.all_pings().is_empty() && tape.last_frame.since(tape.opened) > patience;
        self.tapes.iter().filter(is_left_out).copied().collect()
    }
}

fn judge_pings(vigil: &Vigil, judgement: &mut Judgement) {
    let Some(cadence) = Cadence::of(vigil) else { return judge_no_pings(vigil, judgement) };
    let Cadence { usual, worst, gaps, .. } = cadence;
    let (protocol, json) = vigil
        .tapes()
        .fold((0, 0), |(one, other), tape| (one + tape.pings.len(), other + tape.json_pings.len()));
    let how = if gaps == 0 { "by the first ones alone".to_owned() } else { format!("median of {gaps}") };
    judgement.saw(format!(
        "pings come every {} ({how}; {protocol} protocol, {json} JSON), the worst gap is {}; an idle timeout on the way should \
         be {} or more",
        secs(usual),
        secs(worst),
        secs(timeout_for(usual))
    ));
    if usual < INTERVAL_MIN {
        judgement.saw(format!("that is oftener than the documented 30 s: {}", secs(usual)));
    }
    if usual > INTERVAL_MAX {
        judgement.found(
            Finding::new(
                "pings-rare",
                "the server pings more rarely than documented",
                format!(
                    "ScaiWave pings every 30s, and the advice for idle timeouts (75–90s) counts on it: set the server's ping \
                     interval back, or raise every idle timeout on the way to {:.0}s or more (2.5 of its intervals).",
                    timeout_for(usual).as_secs_f64().ceil()
                ),
            )
            .because(format!("a ping every {} instead of 30 s ({how})", secs(usual)))
            .with("interval_s", usual.as_secs_f64())
            .with("timeout_needed_s", timeout_for(usual).as_secs_f64()),
        );
    }
    if worst > usual.mul_f64(GAP_FACTOR) + MARGIN {
        judgement.found(
            Finding::new(
                "ping-gap",
                "pings are left out, or arrive late",
                "Look at the load of the pods (a stalled event loop pings late), and for an intermediary that buffers.",
            )
            .because(format!(
                "the longest time without a ping on a stream that was pinged before is {}; usual is {}",
                secs(worst),
                secs(usual)
            ))
            .with("worst_gap_s", worst.as_secs_f64())
            .with("interval_s", usual.as_secs_f64()),
        );
    }
    let left_out = cadence.left_out();
    if !left_out.is_empty() {
        judgement.found(no_pings(
            &left_out,
            format!(
                "{} of {} streams were never pinged, though others were, every {}",
                left_out.len(),
                cadence.tapes.len(),
                secs(usual)
            ),
        ));
    }
}

fn judge_no_pings(vigil: &Vigil, judgement: &mut Judgement) {
    let tapes: Vec<&Tape> = vigil.tapes().collect();
    let longest = tapes.iter().map(|tape| tape.age()).max().unwrap_or_default();
    let said = format!(
        "no ping of the server came on any of {} streams; the longest was open for {}",
        tapes.len(),
        secs(longest)
    );
    if longest < timeout_for(INTERVAL) {
        judgement.unclear(format!("{said}: the server pings every 30 s, so listen for longer"));
    } else {
        judgement.found(no_pings(&tapes, said));
    }
}

fn no_pings(tapes: &[&Tape], said: String) -> Finding {
    let longest = tapes.iter().map(|tape| tape.age()).max().unwrap_or_default();
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    tapes.iter().for_each(|tape| *pods.entry(tape.server()).or_insert(0) += 1);
    let pods: Vec<String> = pods.iter().map(|(pod, count)| format!("{count} of {pod}")).collect();
    Finding::new(
        "no-pings",
        "the server does not ping, or its pings do not arrive",
        "ScaiWave pings every 30s. Without pings every idle timeout on the way cuts quiet streams, and a dead path goes \
         unnoticed: look for an intermediary that swallows control frames, or for a pod whose pinging is turned off, or whose \
         interval is longer than this.",
    )
    .because(said)
    .because(format!("these streams: {}", pods.join(", ")))
    .with("streams", tapes.len() as f64)
    .with("longest_stream_s", longest.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::{Greeting, Heard};
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;
    use crate::time::Timestamp;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// A stream that was said hello to at once, pinged at these times (ms), and brought its last event when listening ended.
    fn tape(pings: &[u64]) -> Tape {
        let mut tape = Tape::new(0, at(0));
        tape.hear(at(20), Heard::Hello(Greeting { server: Some("pod-1".into()), ..Greeting::default() }));
        pings.iter().for_each(|&ping| tape.hear(at(ping), Heard::Ping));
        tape.hear(at(95_000), Heard::Other);
        tape.until = at(102_000);
        tape
    }

    fn vigil(quiet: Vec<Tape>, pinging: Vec<Tape>) -> Vigil {
        let watch = |(tapes, pings)| Watch { client: 0, pings, tapes, refused: Vec::new() };
        let watches = vec![watch((quiet, false)), watch((pinging, true))];
        Vigil { watches, until: at(95_000), ..Vigil::default() }
    }

    fn told(vigil: &Vigil) -> (Outcome, Vec<&'static str>, Judgement) {
        let judgement = judge(vigil);
        let names = judgement.findings.iter().map(|finding| finding.name).collect();
        (judgement.outcome(), names, judgement)
    }

    const DOCUMENTED: [u64; 3] = [30_000, 60_000, 90_000];

    #[test]
    fn pings_as_documented_are_healthy_and_so_are_more_of_them_and_ones_by_a_timer_that_all_streams_share() {
        let (outcome, _, judgement) = told(&vigil(vec![tape(&DOCUMENTED)], vec![tape(&DOCUMENTED)]));
        assert_eq!(outcome, Outcome::Healthy);
        assert!(judgement.seen[1].contains("every 30.00 s") && judgement.seen[1].contains("75.00 s or more"));
        let often: Vec<u64> = (1..10).map(|turn| turn * 10_000).collect();
        let (outcome, _, judgement) = told(&vigil(vec![tape(&often)], vec![]));
        assert_eq!(outcome, Outcome::Healthy, "{judgement:?}");
        assert!(judgement.seen[2].contains("oftener than the documented 30 s"), "{judgement:?}");
        let shared = told(&vigil(vec![tape(&[4_000, 34_000, 64_000, 94_000])], vec![]));
        assert_eq!(shared.0, Outcome::Healthy, "{shared:?}");
        let mut brief = tape(&[4_000]);
        brief.hear(at(96_000), Heard::End(crate::session::Ending::Eof));
        brief.last_frame = at(5_000);
        let mixed =
            vigil(vec![brief.clone(), brief.clone(), brief, tape(&[4_000, 34_000, 64_000, 94_000])], vec![]);
        assert_eq!(told(&mixed).0, Outcome::Healthy, "a first ping tells no interval");
    }

    #[test]
    fn a_server_that_never_pings_is_named_after_75_seconds_and_not_before() {
        let (outcome, names, judgement) = told(&vigil(vec![tape(&[]), tape(&[])], vec![tape(&[])]));
        assert_eq!((outcome, names), (Outcome::Finding, vec!["no-pings"]), "{judgement:?}");
        assert_eq!(judgement.findings[0].measured["longest_stream_s"], 102.0);
        assert_eq!(judgement.findings[0].evidence[1], "these streams: 3 of pod-1");
        let mut brief = tape(&[]);
        brief.until = at(74_000);
        assert_eq!(told(&vigil(vec![brief.clone()], vec![])).0, Outcome::Inconclusive);
        brief.until = at(75_000);
        assert_eq!(told(&vigil(vec![brief], vec![])).0, Outcome::Finding);
    }

    #[test]
    fn streams_that_are_left_out_while_others_are_pinged_are_named_with_their_pod() {
        let (_, names, judgement) =
            told(&vigil(vec![tape(&DOCUMENTED), tape(&[]), tape(&DOCUMENTED)], vec![]));
        assert_eq!(names, ["no-pings"], "{judgement:?}");
        assert!(judgement.findings[0].evidence[0].starts_with("1 of 3 streams were never pinged"));
    }

    #[test]
    fn a_server_need_not_ping_streams_on_which_something_passes() {
        let (outcome, ..) = told(&vigil(vec![tape(&DOCUMENTED)], vec![tape(&[])]));
        assert_eq!(outcome, Outcome::Healthy);
    }

    #[test]
    fn other_intervals_are_named_with_the_timeout_that_they_need() {
        let (_, names, judgement) = told(&vigil(vec![tape(&[45_000, 90_000])], vec![]));
        assert_eq!(names, ["pings-rare"]);
        assert_eq!(judgement.findings[0].measured["timeout_needed_s"], 112.5);
        assert!(judgement.findings[0].remedy.contains("to 113s or more"), "{judgement:?}");
        let (_, names, judgement) = told(&vigil(vec![tape(&[60_000])], vec![]));
        assert_eq!(names, ["pings-rare"], "{judgement:?}");
    }

    #[test]
    fn a_ping_that_is_left_out_and_pings_that_end_are_gaps() {
        let (_, names, judgement) = told(&vigil(vec![tape(&[30_000, 90_000]), tape(&DOCUMENTED)], vec![]));
        assert_eq!(names, ["ping-gap"], "{judgement:?}");
        assert_eq!(judgement.findings[0].measured["worst_gap_s"], 60.0);
        let ends = |pings: &[u64]| told(&vigil(vec![tape(pings), tape(&DOCUMENTED)], vec![])).1;
        assert_eq!(ends(&[30_000]), ["ping-gap"], "nothing came behind the first one but events");
        assert_eq!(ends(&[30_400, 59_800, 91_000]), [""; 0], "some delay is none");
    }

    #[test]
    fn json_pings_are_pings() {
        let mut json = tape(&[]);
        DOCUMENTED.iter().for_each(|&ping| json.hear(at(ping), Heard::JsonPing));
        let (outcome, _, judgement) = told(&vigil(vec![json], vec![]));
        assert_eq!(outcome, Outcome::Healthy, "{judgement:?}");
        assert!(judgement.seen[1].contains("0 protocol, 3 JSON"), "{judgement:?}");
    }
}
