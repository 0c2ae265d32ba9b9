//! Limits that a probe ran into: none is documented, so each is told as it is.

use std::collections::BTreeMap;

use http::header::RETRY_AFTER;

use super::judgement::Observation;
use super::report::Sent;
use crate::driver::http::Answer;
use crate::session::ConnectFailure;

/// What was refused, and with which advice.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Answers 429.
    limited: u64,
    /// Answers 429 or 503 that said when to come again, and the first of those values.
    advised: u64,
    advice: Option<Box<str>>,
    /// Upgrades that were answered with another status than 101.
    upgrades: BTreeMap<u16, u64>,
}

impl Met {
    /// A request was answered.
    pub(super) fn answered(&mut self, answer: &Answer) {
        self.limited += u64::from(answer.status == 429);
        if !matches!(answer.status, 429 | 503) {
            return;
        }
        let Some(value) = answer.headers.get(RETRY_AFTER) else { return };
        self.advised += 1;
        let value = value.to_str().unwrap_or("unreadable");
        self.advice.get_or_insert_with(|| value[..value.floor_char_boundary(40)].into());
    }

    /// An upgrade came to nothing.
    pub(super) fn refused(&mut self, failure: ConnectFailure) {
        if let ConnectFailure::Status(status) = failure {
            *self.upgrades.entry(status).or_default() += 1;
        }
    }

    /// All of it, beside what was asked.
    pub(super) fn observations(&self, sent: Sent) -> Vec<Observation> {
        let Sent { requests, publishes, streams, .. } = sent;
        let mut told = Vec::new();
        let refused: u64 = self.upgrades.values().sum();
        let upgrades = if refused == 0 {
            format!("none of {streams} upgrades was refused")
        } else {
            let by_status: Vec<String> =
                self.upgrades.iter().map(|(status, count)| format!("{count} with {status}")).collect();
            format!("{refused} of {streams} upgrades were refused: {}", by_status.join(", "))
        };
        let limits = format!(
            "{} of {requests} requests ({publishes} publishes) were answered 429; {upgrades}",
            self.limited
        );
        told.push(
            Observation::new("limits", limits)
                .with("answers_429", self.limited as f64)
                .with("upgrades_refused", refused as f64),
        );
        told.push(match &self.advice {
            Some(advice) => Observation::new(
                "retry-after",
                format!("{} answers of 429 or 503 had Retry-After, the first {advice:?}", self.advised),
            ),
            None if self.limited > 0 => Observation::new("retry-after", "the answers 429 have none"),
            None => Observation::unseen("retry-after", "nothing was answered 429 or 503"),
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, retry_after: Option<&'static str>) -> Answer {
        let headers = retry_after.map(|value| (RETRY_AFTER, value.parse().expect("a value")));
        let headers = HeaderMap::from_iter(headers);
        Answer { status, body: Bytes::new(), cookies: Vec::new(), pod: None, headers }
    }

    #[test]
    fn what_was_refused_is_counted_and_the_first_advice_is_quoted() {
        let mut met = Met::default();
        let sent = Sent { requests: 9, publishes: 3, streams: 2, ..Sent::default() };
        let quiet = met.observations(sent);
        assert!(quiet[0].what.contains("none of 2 upgrades") && !quiet[1].seen, "{quiet:?}");
        met.answered(&answer(429, None));
        assert!(met.observations(sent)[1].what.contains("have none"));
        met.answered(&answer(429, Some("7")));
        met.answered(&answer(503, Some("9")));
        met.answered(&answer(200, Some("1")));
        met.refused(ConnectFailure::Status(503));
        met.refused(ConnectFailure::Timeout);
        let told = met.observations(sent);
        assert!(
            told[0].what.starts_with("2 of 9 requests (3 publishes) were answered 429; 1 of 2"),
            "{told:?}"
        );
        assert!(told[1].what.starts_with("2 answers") && told[1].what.contains("\"7\""), "{told:?}");
    }
}
