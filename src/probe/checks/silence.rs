//! "Drops without close frame: the connection just goes silent. Listen for 60+ seconds."
//!
//! When listening ends every stream that is still open is asked by a ping of ours whether anybody is there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::report::secs;
use crate::probe::tape::Tape;
use crate::probe::vigil::Vigil;
use crate::time::Timestamp;

/// The page's "60+ seconds".
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// Two pings on a stream have shown that silence would have been noticed.
const PINGS_ENOUGH: usize = 2;

const REMEDY: &str = "\
Usually a misconfigured intermediary: it has forgotten the connection (a NAT's or firewall's idle entry, a proxy that ends one \
side only) and tells nobody. Test each hop with websocat -v \"wss://host/v1/stream?token=…\", listening for 60+ seconds; from \
inside outwards the first hop that goes silent is it. Clients notice by a watchdog of 2.5 ping intervals.";

/// Who is still there, of those who never said goodbye.
pub(super) fn judge(vigil: &Vigil) -> Judgement {
    let mut judgement = Judgement::default();
    let open: Vec<&Tape> = vigil.tapes().filter(|tape| tape.end.is_none()).collect();
    if open.is_empty() {
        judgement.unclear("no stream was open when listening ended: what drops cannot go silent");
        return judgement;
    }
    let (mut alive, mut gone, mut one_way, mut unanswered) = (0_usize, Vec::new(), Vec::new(), 0_usize);
    let patience = patience(vigil);
    // A server that answers no ping of ours anywhere tells nothing by not answering one.
    let answers = vigil.tapes().flat_map(|tape| &tape.own_pings).any(|(_, answer)| answer.is_some());
    for tape in &open {
        // What is published when listening ends reaches a stream that the server still knows, pinged or not.
        let is_silent = tape.last_frame < vigil.until
            && patience.is_some_and(|most| tape.until.since(tape.last_frame) > most);
        match (tape.own_pings.last(), unanswered_since(tape)) {
            (None, _) => judgement.unclear("a stream was not asked whether it is there"),
            _ if is_silent => gone.push(*tape),
            (_, None) => alive += 1,
            (_, Some(_)) if !answers => unanswered += 1,
            (_, Some(asked)) if tape.last_in > asked => one_way.push(*tape),
            (_, Some(_)) => gone.push(*tape),
        }
    }
    if !gone.is_empty() {
        judgement.found(silent(vigil, &gone, open.len()));
    }
    if !one_way.is_empty() {
        judgement.found(half_open(&one_way, open.len()));
    }
    if unanswered > 0 {
        judgement.unclear(format!(
            "no ping of ours is answered on any stream: whether anybody is there on {unanswered} of {} open streams, only what \
             the server sends by itself could tell",
            open.len()
        ));
    }
    if alive > 0 {
        judgement.saw(format!(
            "{alive} of {} open streams answer a ping of ours after {}",
            open.len(),
            secs(vigil.listened())
        ));
    }
    let heard = open.iter().all(|tape| tape.all_pings().len() >= PINGS_ENOUGH);
    if gone.is_empty() && one_way.is_empty() && unanswered == 0 && vigil.listened() < LONG_ENOUGH && !heard {
        judgement.unclear(format!(
            "listened for {} only, and fewer than {PINGS_ENOUGH} pings came on some stream: the page says 60+ seconds",
            secs(vigil.listened())
        ));
    }
    judgement
}

/// Nothing of the server's own for longer than this, while it pings others, is silence; `None`: nobody was pinged twice.
fn patience(vigil: &Vigil) -> Option<Duration> {
    let of_tape = |tape: &Tape| -> Vec<Duration> {
        tape.all_pings().windows(2).map(|pair| pair[1].since(pair[0])).collect()
    };
    let mut gaps: Vec<Duration> = vigil.tapes().flat_map(of_tape).collect();
    gaps.sort_unstable();
    Some(gaps.get(gaps.len() / 2)?.mul_f64(1.5) + Duration::from_millis(500))
}

/// The first of the pings of ours that nobody has answered since; `None`: the last one was answered. When listening ends
/// there are two of them, with events between: what comes then comes by a path that loses what we send.
fn unanswered_since(tape: &Tape) -> Option<Timestamp> {
    let since = tape.own_pings.iter().rev().take_while(|(_, answer)| answer.is_none());
    since.last().map(|(asked, _)| *asked)
}

fn silent(vigil: &Vigil, gone: &[&Tape], open: usize) -> Finding {
    let silences: Vec<Duration> = gone.iter().map(|tape| tape.until.since(tape.last_frame)).collect();
    let (least, most) = (silences.iter().min(), silences.iter().max());
    let answering = gone.iter().filter(|tape| unanswered_since(tape).is_none()).count();
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    gone.iter().for_each(|tape| *pods.entry(tape.server()).or_insert(0) += 1);
    let pods: Vec<String> = pods.iter().map(|(pod, count)| format!("{count} of {pod}")).collect();
    let lived = gone.iter().map(|tape| tape.last_frame.since(tape.opened)).max().unwrap_or_default();
    let mut finding = Finding::new("silent-drop", "streams go silent: no close frame, no end, nobody there", REMEDY)
        .with("streams", gone.len() as f64)
        .because(format!(
            "{} of {open} open streams ({}) brought nothing of the server's own for {} to {}, neither ping nor event",
            gone.len(),
            pods.join(", "),
            secs(least.copied().unwrap_or_default()),
            secs(most.copied().unwrap_or_default())
        ))
        .because(format!(
            "{} of them do not answer a ping of ours either; what any of them brought last came {} after its upgrade at the \
             latest",
            gone.len() - answering,
            secs(lived)
        ));
    if answering > 0 {
        finding = finding.because(format!(
            "{answering} of them answer pings of ours: something holds the socket, and the server has forgotten the stream"
        ));
    }
    finding.because(format!("listened for {}", secs(vigil.listened())))
}

fn half_open(one_way: &[&Tape], open: usize) -> Finding {
    Finding::new("half-open", "frames come, and what we send does not arrive: the path is half open", REMEDY)
        .with("streams", one_way.len() as f64)
        .because(format!(
            "{} of {open} open streams still bring frames and do not answer pings of ours (for example of {})",
            one_way.len(),
            one_way[0].server()
        ))
        .because("pongs do not arrive either: the server will close such a stream with 4003, ping_timeout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::Heard;
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;

    /// A stream that was pinged by the server at these times, and asked at the end of listening; it answered, or it did
    /// not, and something else came after that, or did not.
    fn tape(pings: &[u64], until: u64, answered: bool, later: bool) -> Tape {
        let at = Timestamp::from_secs;
        let mut tape = Tape::new(0, at(0));
        pings.iter().for_each(|&ping| tape.hear(at(ping), Heard::Ping));
        tape.pings(at(until));
        if answered {
            tape.hear(at(until), Heard::Pong(0));
        }
        if later {
            tape.hear(at(until + 1), Heard::Other);
        }
        tape.until = at(until + 6);
        tape
    }

    fn judged(until: u64, tapes: Vec<Tape>) -> (Outcome, &'static str) {
        let watch = Watch { client: 0, pings: false, tapes, refused: Vec::new() };
        let vigil = Vigil { watches: vec![watch], until: Timestamp::from_secs(until), ..Vigil::default() };
        let judgement = judge(&vigil);
        (judgement.outcome(), judgement.findings.first().map_or("", |finding| finding.name))
    }

    #[test]
    fn who_answers_is_there() {
        let pinged = || tape(&[30, 60, 90], 95, true, false);
        assert_eq!(judged(95, vec![pinged(), pinged()]), (Outcome::Healthy, ""));
        assert_eq!(judged(20, vec![tape(&[], 20, true, false)]), (Outcome::Inconclusive, ""));
        assert_eq!(judged(20, vec![tape(&[10, 20], 20, true, false)]), (Outcome::Healthy, ""));
        assert_eq!(judged(95, vec![]), (Outcome::Inconclusive, ""));
    }

    #[test]
    fn who_neither_answers_nor_sends_is_gone_and_who_sends_is_half_there() {
        let there = || tape(&[30, 60, 90], 95, true, false);
        assert_eq!(
            judged(95, vec![there(), tape(&[30], 95, false, false)]),
            (Outcome::Finding, "silent-drop")
        );
        assert_eq!(
            judged(95, vec![there(), tape(&[30, 60], 95, false, true)]),
            (Outcome::Finding, "half-open")
        );
        let forgotten = tape(&[30], 95, true, false);
        assert_eq!(judged(95, vec![there(), forgotten]), (Outcome::Finding, "silent-drop"));
    }

    #[test]
    fn an_event_between_two_pings_that_nobody_answers_is_a_path_that_is_half_open() {
        let at = Timestamp::from_secs;
        let mut half = tape(&[30, 60, 90], 95, false, true);
        half.pings(at(102));
        half.until = at(107);
        assert_eq!(
            judged(95, vec![tape(&[30, 60, 90], 95, true, false), half]),
            (Outcome::Finding, "half-open")
        );
    }

    #[test]
    fn a_server_that_answers_no_ping_of_ours_leaves_it_open_and_its_own_silence_does_not() {
        let unanswered = || tape(&[30, 60, 90], 95, false, false);
        assert_eq!(judged(95, vec![unanswered(), unanswered()]), (Outcome::Inconclusive, ""));
        assert_eq!(judged(95, vec![tape(&[30, 60], 95, false, true)]), (Outcome::Inconclusive, ""));
        let silent = tape(&[30], 95, false, false);
        assert_eq!(judged(95, vec![unanswered(), unanswered(), silent]), (Outcome::Finding, "silent-drop"));
    }

    #[test]
    fn an_answer_that_is_a_second_late_is_an_answer() {
        let at = Timestamp::from_secs;
        let mut far = tape(&[30, 60, 90], 95, false, false);
        far.pings(at(102));
        far.hear(at(103), Heard::Pong(1));
        far.until = at(103);
        assert_eq!(judged(95, vec![far]), (Outcome::Healthy, ""));
    }
}
