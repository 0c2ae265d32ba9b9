//! What a played row left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Cell, reported};
use crate::profile::Profile;
use crate::report::{RunInfo, Summary};
use crate::simulator::Simulated;
use crate::target::Truth;
use crate::time::Timestamp;
use crate::verdict::judge;

/// Everything that a row is judged by.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What was reported.
    pub summary: Summary,
    /// What the target knows that it did.
    pub truth: Truth,
    /// Lines of findings by their kind.
    pub findings: BTreeMap<String, u64>,
}

impl Evidence {
    /// Of a run in virtual time.
    pub fn of_simulation(profile: &Profile, run: Simulated) -> Self {
        let verdict = judge(profile, &run.collected);
        let duration = run.ended.since(Timestamp::ZERO);
        let info = RunInfo {
            duration,
            finished: true,
            ..RunInfo::new(profile, uuid::Uuid::nil(), jiff::Timestamp::UNIX_EPOCH)
        };
        let mut findings = BTreeMap::new();
        for finding in &run.findings {
            *findings.entry(finding.kind.to_owned()).or_default() += 1;
        }
        Self { summary: Summary::new(profile, &run.collected, &verdict, &info), truth: run.truth, findings }
    }

    /// How long the run took, on its own clock.
    pub fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.summary.duration_s).unwrap_or_default()
    }

    /// The kinds of findings of which there are more or fewer lines than the summary counts.
    pub(super) fn findings_astray(&self) -> Vec<Cell> {
        let owed = self.findings_owed();
        let kinds = owed.keys().chain(self.findings.keys().filter(|kind| !owed.contains_key(*kind)));
        let count = |of: &BTreeMap<String, u64>, kind: &String| of.get(kind).copied().unwrap_or(0);
        let both = kinds.map(|kind| (kind, count(&owed, kind), count(&self.findings, kind)));
        let astray = both.filter(|(_, owed, found)| owed != found);
        astray.map(|(kind, owed, found)| Cell::new(&format!("findings.{kind}"), owed, found, false)).collect()
    }

    /// The lines of findings that the summary's counts call for, by kind.
    pub fn findings_owed(&self) -> BTreeMap<String, u64> {
        let (d, reported) = (self.summary.deliveries, reported(&self.summary));
        let kinds = [
            ("missed", d.missed_after_bridging),
            ("stream_omitted", d.stream_omitted.saturating_sub(d.missed_on_stream)),
            ("duplicate", d.duplicate),
            ("out_of_order", d.out_of_order),
            ("unexpected", d.unexpected),
            ("leaked", d.leaked),
            ("leaked_room", d.leaked_room),
            ("evicted", self.summary.clients.evicted),
            ("hello_wrong_tenant", reported.get("oddities.hello_wrong_tenant")),
            ("sync_cursor_regressed", reported.get("oddities.sync_cursor_regressed")),
            ("double_stored", self.summary.publishes.double_stored),
            ("below_cursor", d.below_cursor),
        ];
        let some = kinds.into_iter().filter(|(_, count)| *count > 0);
        some.map(|(kind, count)| (kind.to_owned(), count)).collect()
    }
}
