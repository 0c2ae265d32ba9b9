//! What follows from what was measured: how long each hop must wait, and what that costs (pure). Every figure comes with
//! the arithmetic that leads to it.

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

/// Between the first and the second multiple of the worst gap a stream's timeout should lie. The page's 75 to 90 s are 2.5
/// and 3 of its 30 s pings: one ping may be lost, the next one late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Factor {
    /// The least.
    pub low: f64,
    /// The most: what configuration lines say.
    pub high: f64,
}

impl Default for Factor {
    fn default() -> Self {
        Self { low: 2.5, high: 3.0 }
    }
}

/// A factor that is none; completes "failed to read …".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it is no factor from 1.1 to 10, nor two of them: write \"3\" or \"2.5..3\"")]
pub struct FactorError;

impl std::str::FromStr for Factor {
    type Err = FactorError;

    fn from_str(text: &str) -> Result<Self, FactorError> {
        let number = |text: &str| {
            let number: f64 = text.trim().parse().map_err(|_| FactorError)?;
            // At 1 the next ping, if it is late by anything, finds the stream cut.
            (1.1..=10.0).contains(&number).then_some(number).ok_or(FactorError)
        };
        let (low, high) = match text.split_once("..") {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(text)?, number(text)?),
        };
        (low <= high).then_some(Self { low, high }).ok_or(FactorError)
    }
}

/// What is known of a path and of those at its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// The worst gap between two pings of one stream; `None`: none came.
    pub ping_gap: Option<Duration>,
    /// For how long clients ask a long poll to be held (`client.poll_timeout`).
    pub poll_asked: Duration,
    /// The server holds none for longer than this.
    pub poll_cap: Option<Duration>,
    /// How long the client waits for the answer beyond that (`client.sync_deadline`).
    pub poll_patience: Duration,
    /// The most that a page was late.
    pub poll_late: Duration,
    /// The client declares silence after this (`client.watchdog`).
    pub watchdog: Duration,
    /// The server closed a client that answered no ping after this; `None`: it was not seen to.
    pub server_patience: Option<Duration>,
}

/// What to set.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The stream's idle timeout, least and most; `None`: no ping came, so nobody can say.
    pub stream: Option<(Duration, Duration)>,
    /// For how long the server holds a poll at most.
    pub poll_hold: Duration,
    /// The response timeout of sync.
    pub poll: Duration,
    /// One timeout that does for both.
    pub both: Option<Duration>,
    /// How these came about, a sentence each.
    pub arithmetic: Vec<String>,
    /// What dies in silence, and how long it is taken for alive.
    pub costs: Vec<Cost>,
}

/// One way for a connection to die without a word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Which hop counts something that is no more.
    pub counted_by: &'static str,
    /// What has died.
    pub when: &'static str,
    /// The timeout that ends it, as set or advised.
    pub ended_by: String,
    /// For at most this long; null: not measured.
    pub counted_s: Option<f64>,
    /// What each holds meanwhile.
    pub holds: &'static str,
    /// How many stand at any time, if 1,000 a minute die so; null: not measured.
    pub standing_per_1000_a_minute: Option<u64>,
}

impl Advice {
    /// Of these facts.
    pub fn new(facts: &Facts, factor: Factor) -> Self {
        let stream = facts.ping_gap.map(|gap| {
            let gap = to_a_tenth(gap);
            (whole(gap.mul_f64(factor.low)), whole(gap.mul_f64(factor.high)))
        });
        let poll_hold = facts.poll_cap.map_or(facts.poll_asked, |cap| cap.min(facts.poll_asked));
        let poll = up(poll_hold + facts.poll_patience.max(facts.poll_late));
        let both = stream.map(|(_, high)| high.max(poll));
        let own = Self { stream, poll_hold, poll, both, arithmetic: Vec::new(), costs: costs(facts, stream) };
        let arithmetic = own.arithmetic(facts, factor);
        Self { arithmetic, ..own }
    }

    fn arithmetic(&self, facts: &Facts, factor: Factor) -> Vec<String> {
        let mut told = Vec::new();
        match (facts.ping_gap, self.stream) {
            (Some(gap), Some((low, high))) => {
                let gap = to_a_tenth(gap);
                let products = if factor.low < factor.high {
                    format!("x {} = {}, x {} = {}", factor.low, secs(low), factor.high, secs(high))
                } else {
                    format!("x {} = {}", factor.high, secs(high))
                };
                told.push(format!("stream timeout: worst measured ping gap {} {products}", secs(gap)));
                let ratio = facts.watchdog.as_secs_f64() / gap.as_secs_f64().max(0.001);
                let first = if facts.watchdog < low {
                    "below the stream timeout: the client notices a dead path first, and reconnects by itself"
                } else if facts.watchdog <= high {
                    "among the stream timeouts advised: whoever's runs out first ends a dead path"
                } else {
                    "above the stream timeout: on a path that died behind the balancer the client hears of it by the balancer"
                };
                told.push(format!("client watchdog: {} = {ratio:.1} ping gaps, {first}", secs(facts.watchdog)));
                if ratio < 2.0 {
                    told.push(format!(
                        "a watchdog below 2 ping gaps takes one lost ping for a dead path: {} or more",
                        secs(up(gap.mul_f64(2.5)))
                    ));
                }
            }
            _ => told.push(
                "stream timeout: no ping of the server came, and nothing else says how long a stream is silent".to_owned(),
            ),
        }
        let hold = match facts.poll_cap {
            Some(cap) if cap < facts.poll_asked => {
                format!("the server's cap {} (clients ask for {})", secs(cap), secs(facts.poll_asked))
            }
            _ => format!("clients ask for {}", secs(facts.poll_asked)),
        };
        let (margin, whose) = if facts.poll_late > facts.poll_patience {
            (facts.poll_late, "the latest page")
        } else {
            (facts.poll_patience, "for so long the client itself waits beyond that")
        };
        told.push(format!("long-poll timeout: {hold} + {} ({whose}) = {}", secs(margin), secs(self.poll)));
        if let Some(both) = self.both {
            told.push(format!(
                "one timeout for both: the larger of {} and {} = {}",
                secs(self.stream.map_or(both, |(_, high)| high)),
                secs(self.poll),
                secs(both)
            ));
        }
        match facts.server_patience {
            Some(patience) => told.push(format!(
                "server's ping_timeout: a client that answers nothing was closed {} after its upgrade; pings keep passing \
                 the balancer until then, so no idle timeout ends a dead client sooner",
                secs(patience)
            )),
            None => told.push(
                "server's ping_timeout: not measured; pings keep passing the balancer until it runs out, so no idle \
                 timeout ends a dead client sooner"
                    .to_owned(),
            ),
        }
        told
    }
}

/// What stays counted for how long. The settings are worst cases: the death comes right after a byte.
fn costs(facts: &Facts, stream: Option<(Duration, Duration)>) -> Vec<Cost> {
    let cost = |counted_by, when, ended_by: String, time: Option<Duration>, holds| Cost {
        counted_by,
        when,
        ended_by,
        counted_s: time.map(|time| time.as_secs_f64()),
        holds,
        standing_per_1000_a_minute: time.map(standing),
    };
    let patience = || match facts.server_patience {
        Some(patience) => format!("its ping_timeout, {}", secs(patience)),
        None => "its ping_timeout, not measured".to_owned(),
    };
    let mut costs = vec![
        cost(
            "server",
            "the client is gone",
            patience(),
            facts.server_patience,
            "1 descriptor, 1 seat, 1 in the gauge",
        ),
        cost(
            "balancer",
            "the client is gone",
            "the server closes: pings pass until then".to_owned(),
            facts.server_patience,
            "2 descriptors",
        ),
        cost(
            "client",
            "the path is gone",
            format!("its watchdog, {}", secs(facts.watchdog)),
            Some(facts.watchdog),
            "1 descriptor, its user's patience",
        ),
    ];
    let settings = stream.into_iter().flat_map(|(low, high)| {
        let both = [low, high];
        both.into_iter().take(if low == high { 1 } else { 2 })
    });
    costs.extend(settings.map(|setting| {
        let by = if setting < facts.watchdog {
            format!("its timeout, {}", secs(setting))
        } else {
            format!("its timeout, {}, or the client's watchdog, {}", secs(setting), secs(facts.watchdog))
        };
        let time = setting.min(facts.watchdog);
        cost("balancer", "the pod is gone", by, Some(time), "2 descriptors")
    }));
    costs
}

/// Little's law: as many stand as come in the time that each stays.
fn standing(time: Duration) -> u64 {
    (1000.0 / 60.0 * time.as_secs_f64()).round() as u64
}

/// A gap is measured no better than this: both ends have timers of their own.
fn to_a_tenth(time: Duration) -> Duration {
    let tenths = (time.as_millis() + 50) / 100;
    Duration::from_millis((tenths.max(1) * 100).try_into().unwrap_or(u64::MAX))
}

/// Balancers are told whole seconds. A multiple of some length has half of one to spare: 30.1 s of pings are the page's 30.
fn whole(time: Duration) -> Duration {
    let nearest = Duration::from_secs(time.as_secs_f64().round() as u64);
    if nearest < Duration::from_secs(10) { up(time) } else { nearest }
}

/// Too few seconds would be below what is needed.
fn up(time: Duration) -> Duration {
    Duration::from_secs(time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// As people write it: whole seconds whole, else to a tenth.
pub fn secs(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// As the page has it.
    fn page() -> Facts {
        Facts {
            // As measured on a busy machine.
            ping_gap: Some(Duration::from_millis(30_072)),
            poll_asked: SECOND * 30,
            poll_cap: None,
            poll_patience: SECOND * 10,
            poll_late: Duration::from_millis(4),
            watchdog: SECOND * 75,
            server_patience: Some(SECOND * 90),
        }
    }

    #[test]
    fn the_pages_75_to_90_s_fall_out_of_its_30_s_pings() {
        let advice = Advice::new(&page(), Factor::default());
        assert_eq!(advice.stream, Some((SECOND * 75, SECOND * 90)));
        assert_eq!((advice.poll, advice.both), (SECOND * 40, Some(SECOND * 90)));
        let told = advice.arithmetic.join("\n");
        for words in [
            "worst measured ping gap 30.1 s x 2.5 = 75 s, x 3 = 90 s",
            "client watchdog: 75 s = 2.5 ping gaps",
            "clients ask for 30 s + 10 s",
            "larger of 90 s and 40 s = 90 s",
            "closed 90 s after its upgrade",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_advised() {
        let blind = Facts { ping_gap: None, server_patience: None, ..page() };
        let advice = Advice::new(&blind, Factor::default());
        assert_eq!((advice.stream, advice.both, advice.poll), (None, None, SECOND * 40));
        assert_eq!(advice.costs[0].counted_s, None);
        assert_eq!(advice.costs[0].standing_per_1000_a_minute, None);
        assert!(advice.arithmetic[0].contains("no ping of the server came"));
    }

    #[test]
    fn a_poll_is_held_for_the_servers_cap_where_that_is_less_than_clients_ask_for() {
        let poll = |cap, late| {
            let facts = Facts { poll_cap: Some(SECOND * cap), poll_late: SECOND * late, ..page() };
            Advice::new(&facts, Factor::default()).poll
        };
        assert_eq!((poll(20, 0), poll(60, 0), poll(60, 15)), (SECOND * 30, SECOND * 40, SECOND * 45));
    }

    #[test]
    fn what_stands_is_what_dies_in_the_time_that_each_is_counted() {
        let advice = Advice::new(&page(), Factor::default());
        let standing: Vec<_> =
            advice.costs.iter().map(|cost| (cost.counted_s, cost.standing_per_1000_a_minute)).collect();
        // 1,000 a minute are 16.7 a second: 75 s of them are 1,250, 90 s are 1,500.
        let (at_75, at_90) = ((Some(75.0), Some(1250)), (Some(90.0), Some(1500)));
        assert_eq!(standing, [at_90, at_90, at_75, at_75, at_75]);
        assert!(advice.costs[4].ended_by.contains("90 s, or the client's watchdog, 75 s"));
    }

    #[test]
    fn a_factor_is_one_number_or_two_in_order() {
        assert_eq!("2.5..3".parse(), Ok(Factor::default()));
        assert_eq!("4".parse(), Ok(Factor { low: 4.0, high: 4.0 }));
        for bad in ["", "1", "3..2.5", "x", "2..", "11", "NaN", "-3"] {
            assert_eq!(bad.parse::<Factor>(), Err(FactorError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_advice_is_below_what_is_needed(gap in 1_u64..600_000, asked in 1_u64..600, low in 1.1_f64..5.0, more in 0.0_f64..5.0) {
            let gap = Duration::from_millis(gap);
            let facts = Facts { ping_gap: Some(gap), poll_asked: SECOND * asked as u32, ..page() };
            let advice = Advice::new(&facts, Factor { low, high: low + more });
            let (least, most) = advice.stream.expect("a gap");
            // Half a second of rounding, and the twentieth that a gap is rounded by, as often as it is taken.
            let rounded = Duration::from_millis(500) + Duration::from_millis(51) * 5;
            prop_assert!(least <= most && least > gap && least + rounded >= gap.mul_f64(low));
            prop_assert!(advice.poll >= facts.poll_asked + facts.poll_patience);
            prop_assert!(advice.both.expect("both") >= most.max(advice.poll));
        }
    }
}
