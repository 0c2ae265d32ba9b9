//! "ScaiWave pings every 30s": whether it does, how regularly, by which kind of ping; and how soon it says hello.

use std::time::Duration;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::report::secs;
use crate::probe::vigil::Vigil;

/// Documented: no hello within about 2 s means that the connection has failed.
const HELLO_SLOW: Duration = Duration::from_secs(2);
/// Documented: the server pings every 30 s. What is later by more than a tenth is late.
const INTERVAL_MAX: Duration = Duration::from_secs(33);
/// A gap this much longer than the usual one is a missing ping (ours).
const GAP_FACTOR: f64 = 1.5;
/// Silence of 2.5 documented intervals: a server that has not pinged by then does not (ours).
const PATIENCE: Duration = Duration::from_secs(75);

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
    let waited = |tape: &&crate::probe::tape::Tape| tape.hello.is_none() && tape.age() > HELLO_SLOW;
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

fn judge_pings(vigil: &Vigil, judgement: &mut Judgement) {
    let (mut protocol, mut json) = (0, 0);
    let mut gaps: Vec<Duration> = Vec::new();
    for tape in vigil.tapes() {
        (protocol, json) = (protocol + tape.pings.len(), json + tape.json_pings.len());
        gaps.extend(tape.ping_gaps());
    }
    gaps.sort_unstable();
    let (Some(&median), Some(&worst)) = (gaps.get(gaps.len() / 2), gaps.last()) else {
        let longest = vigil.tapes().map(|tape| tape.age()).max().unwrap_or_default();
        let said =
            format!("no ping of the server came on any stream; the longest was open for {}", secs(longest));
        if longest < PATIENCE {
            judgement.unclear(format!("{said}: the server pings every 30 s, so listen for longer"));
        } else {
            judgement.found(
                Finding::new(
                    "no-pings",
                    "the server does not ping, or its pings do not arrive",
                    "ScaiWave pings every 30s. Without pings every idle timeout on the way cuts quiet streams, and a dead \
                     path goes unnoticed: look for an intermediary that swallows control frames, or for a pod whose pinging \
                     is turned off.",
                )
                .because(said)
                .with("longest_stream_s", longest.as_secs_f64()),
            );
        }
        return;
    };
    judgement.saw(format!(
        "pings come every {} (median of {}; {protocol} protocol, {json} JSON), the worst gap is {}",
        secs(median),
        gaps.len(),
        secs(worst)
    ));
    if median < Duration::from_secs(27) {
        judgement.saw(format!("that is oftener than the documented 30 s: {}", secs(median)));
    }
    if median > INTERVAL_MAX {
        judgement.found(
            Finding::new(
                "pings-rare",
                "the server pings more rarely than documented",
                "ScaiWave pings every 30s, and the advice for idle timeouts (75–90s) counts on it: set the server's ping \
                 interval back, or raise every idle timeout on the way above 2.5 of its intervals.",
            )
            .because(format!("a ping every {} instead of 30 s", secs(median)))
            .with("interval_s", median.as_secs_f64()),
        );
    } else if worst > median.mul_f64(GAP_FACTOR) + Duration::from_millis(500) {
        judgement.found(
            Finding::new(
                "ping-gap",
                "pings are left out, or arrive late",
                "Look at the load of the pods (a stalled event loop pings late), and for an intermediary that buffers.",
            )
            .because(format!("the worst gap between two pings of one stream is {}; usual is {}", secs(worst), secs(median)))
            .with("worst_gap_s", worst.as_secs_f64())
            .with("interval_s", median.as_secs_f64()),
        );
    }
}
