//! `[[stop]]`: conditions that end the run early. Fault windows do not count.

use super::Conductor;
use crate::profile::{Profile, Stop, StopCondition};
use crate::time::Timestamp;

/// What is watched.
#[derive(Debug)]
pub(super) struct Stops {
    watches: Vec<Watch>,
    healthy: bool,
    tripped: Option<String>,
}

#[derive(Debug)]
struct Watch {
    stop: Stop,
    holds_since: Option<Timestamp>,
}

impl Stops {
    pub(super) fn new(profile: &Profile) -> Self {
        let watches =
            profile.stops.iter().map(|stop| Watch { stop: stop.clone(), holds_since: None }).collect();
        Self { watches, healthy: true, tripped: None }
    }

    pub(super) fn health(&mut self, _now: Timestamp, healthy: bool) {
        self.healthy = healthy;
    }

    /// What ended the run.
    pub(super) fn tripped(&self) -> Option<&str> {
        self.tripped.as_deref()
    }

    /// A look at everything watched; `true` when the run must end.
    fn look(&mut self, now: Timestamp, attempts: (u64, u64), excused: bool) -> bool {
        for watch in &mut self.watches {
            let holds = match watch.stop.condition {
                StopCondition::HealthFailing => !self.healthy,
                StopCondition::ConnectFailures(share) => match attempts {
                    // No attempt says nothing either way.
                    (0, _) => watch.holds_since.is_some(),
                    (tried, failed) => failed as f64 > share.0 * tried as f64,
                },
            };
            if !holds || excused {
                watch.holds_since = None;
                continue;
            }
            let since = *watch.holds_since.get_or_insert(now);
            if now.since(since) >= watch.stop.lasting {
                let lasting = watch.stop.lasting.as_secs_f64();
                self.tripped = Some(match watch.stop.condition {
                    StopCondition::HealthFailing => format!("/health failed for {lasting} s"),
                    StopCondition::ConnectFailures(share) => {
                        format!(
                            "more than {} % of the connection attempts failed for {lasting} s",
                            share.0 * 100.0
                        )
                    }
                });
                return true;
            }
        }
        false
    }
}

impl Conductor {
    pub(super) fn watch_stops(&mut self, now: Timestamp) {
        let attempts = self.collector.connections.take_attempts();
        let excused = self.faults.any_in_force(self.plan_time(now));
        if self.drain.began().is_none()
            && self.stops.tripped.is_none()
            && self.stops.look(now, attempts, excused)
        {
            self.cut_short(now);
        }
    }
}
