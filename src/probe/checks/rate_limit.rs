//! "Rate limit: you're sending events that fail rate-limit checks; the events never enter the stream."
//!
//! A short burst, in the room of those who provoke: no more than somebody pastes, and as fast on a near path as on a far one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sync::spacing;
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, Publish, Published, SPEAKER, TALK};
use crate::probe::report::secs;
use crate::probe::vigil::Vigil;

/// Publishes of the burst.
const BURST: u32 = 10;

/// Between two of them, at the least: ten a second (ours). Off loopback, what `[limits]` allows.
const APART: Duration = Duration::from_millis(100);

const LIMIT_REMEDY: &str = "\
You're sending events that fail rate-limit checks; the events never enter the stream. Send more slowly (honour Retry-After \
if it is there), or have the limit of the tenant raised; a client must show the sender that its event was refused.";

const REFUSED_REMEDY: &str = "\
Publishes that are refused never enter the stream, and nobody but their sender can know. See the error codes page for the \
code, and the pod's log.";

/// Sends the burst, and looks at what the vigil's publishes came to.
pub(super) async fn examine(path: &Path, vigil: Option<&Vigil>) -> Judgement {
    let begun = path.now();
    let mut burst = Vec::new();
    for turn in 0..BURST {
        path.sleep_until(begun + APART.max(spacing(path)) * turn).await;
        burst.push(path.publish(SPEAKER, TALK).await);
    }
    let took = path.now().since(begun);
    let few = vigil.map_or(&[][..], |vigil| &vigil.published);
    let mut judgement = Judgement::default();
    let mut parts = vec![(&burst[..], format!("sent a burst of {BURST} publishes in {}", secs(took)))];
    if !few.is_empty() {
        parts.push((few, format!("sent {} publishes beside the held streams", few.len())));
    }
    judge(&parts, &mut judgement);
    judgement
}

/// What came of each part, and how it was sent.
fn judge(parts: &[(&[Publish], String)], judgement: &mut Judgement) {
    let mut limited = Finding::new("rate-limited", "publishes are rate limited", LIMIT_REMEDY);
    let mut refused = Finding::new("publishes-refused", "publishes are refused", REFUSED_REMEDY);
    let (mut limited_count, mut refused_count) = (0, 0);
    for (publishes, sent) in parts {
        let count = publishes.len();
        let (mut over, mut statuses, mut unanswered) = (0, BTreeMap::new(), 0);
        for publish in *publishes {
            match &publish.reply {
                Published::Stored(_) => {}
                Published::Refused(429, _) => over += 1,
                Published::Refused(status, code) => {
                    *statuses.entry((*status, code.clone())).or_insert(0) += 1;
                }
                Published::Unanswered(_) => unanswered += 1,
            }
        }
        if over > 0 {
            limited = limited.because(format!("{sent}: {over} of {count} were answered with 429"));
        }
        for ((status, code), number) in &statuses {
            let code = code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
            refused =
                refused.because(format!("{sent}: {number} of {count} were answered with {status}{code}"));
        }
        if unanswered > 0 {
            judgement.unclear(format!("{sent}: {unanswered} of {count} were not answered"));
        }
        if over == 0 && unanswered == 0 {
            judgement.saw(format!("{sent}: none was answered with 429"));
        }
        limited_count += over;
        refused_count += statuses.values().sum::<u32>();
    }
    for (finding, count) in [(limited, limited_count), (refused, refused_count)] {
        if count > 0 {
            judgement.found(finding.with("refused", f64::from(count)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::time::Timestamp;
    use crate::wire::Created;

    fn judged(replies: Vec<Published>) -> Judgement {
        let publish = |reply| Publish { n: 0, sent: Timestamp::ZERO, answered: Timestamp::ZERO, reply };
        let publishes: Vec<Publish> = replies.into_iter().map(publish).collect();
        let mut judgement = Judgement::default();
        judge(&[(&publishes, "sent two".to_owned())], &mut judgement);
        judgement
    }

    #[test]
    fn a_429_is_a_limit_another_status_a_refusal_and_silence_neither() {
        let stored = || Published::Stored(Created::default());
        assert_eq!(judged(vec![stored(), stored()]).outcome(), Outcome::Healthy);
        let limited = judged(vec![stored(), Published::Refused(429, None)]);
        assert_eq!(limited.findings[0].evidence, ["sent two: 1 of 2 were answered with 429"]);
        let refused = judged(vec![stored(), Published::Refused(403, Some("SW_NOT_MEMBER".into()))]);
        assert_eq!(refused.findings[0].name, "publishes-refused");
        assert!(refused.findings[0].evidence[0].ends_with("403 SW_NOT_MEMBER"));
        assert_eq!(judged(vec![stored(), Published::Unanswered("".into())]).outcome(), Outcome::Inconclusive);
    }

    #[test]
    fn both_parts_are_one_finding() {
        let limited = |n| {
            let reply = Published::Refused(429, None);
            Publish { n, sent: Timestamp::ZERO, answered: Timestamp::ZERO, reply }
        };
        let (one, other) = ([limited(0), limited(1)], [limited(2)]);
        let mut judgement = Judgement::default();
        judge(&[(&one, "sent two".to_owned()), (&other, "sent one".to_owned())], &mut judgement);
        assert_eq!(judgement.findings.len(), 1, "{judgement:?}");
        assert_eq!(
            (judgement.findings[0].measured["refused"], judgement.findings[0].evidence.len()),
            (3.0, 2)
        );
    }
}
