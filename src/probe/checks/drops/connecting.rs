//! Attempts that came to no stream: which hop said no, and to what.

use std::collections::BTreeMap;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::vigil::Vigil;

/// Some attempts failed, beside streams that were opened.
pub(super) fn judge(vigil: &Vigil, judgement: &mut Judgement) {
    let reasons = reasons(vigil);
    let of = |which: fn(&str) -> bool| reasons.iter().filter(move |(why, _)| which(why));
    let limited: usize = of(is_limited).map(|(_, count)| count).sum();
    if limited > 0 {
        judgement.unclear(format!(
            "{limited} attempts to connect were answered 429: this deployment takes no twelve clients from one place at that pace; \
             lower limits.connects in the profile"
        ));
    }
    let failed = |why: &str| !is_limited(why) && !is_unauthorised(why);
    // Tokens that are refused are another line of the page; beside others they are told here as well.
    if !reasons.keys().any(|why| failed(why)) {
        return;
    }
    let others = reasons.iter().filter(|(why, _)| !is_limited(why));
    let mut finding = Finding::new(
        "connects-fail",
        "some attempts to connect fail",
        "See which hop answers: a balancer that finds no healthy pod says 502 or 503, one that does not pass the upgrade on says \
         400 or 426, a pod under load times out.",
    )
    .with("failed", others.clone().map(|(_, count)| *count as f64).sum());
    for (why, count) in others {
        finding = finding.because(format!("{count} times: {why}"));
    }
    judgement.found(finding);
}

/// No attempt came to a stream.
pub(super) fn judge_nothing_opened(vigil: &Vigil, judgement: &mut Judgement) {
    let reasons = reasons(vigil);
    if reasons.is_empty() {
        return judgement
            .unclear("no attempt to open a stream was over when listening ended: listen for longer");
    }
    if reasons.keys().all(|why| is_unauthorised(why) || is_limited(why)) {
        for (why, count) in reasons {
            judgement.unclear(format!(
                "no stream was opened: {count} attempts: {why} (see the checks token and limits)"
            ));
        }
        return;
    }
    let remedy = if reasons.keys().any(|why| why.starts_with("upgrade: ")) {
        "The balancer must pass the upgrade on. nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection \"upgrade\"; HAProxy does so by itself in mode http."
    } else {
        "A client syncs before it opens its stream, and no sync succeeded: no upgrade was tried. See which hop answers \
         /v1/sync, and the pod's log for it."
    };
    let mut finding = Finding::new("no-stream", "no stream can be opened at all", remedy);
    for (why, count) in reasons {
        finding = finding.because(format!("{count} attempts: {why}"));
    }
    judgement.found(finding);
}

fn is_limited(why: &str) -> bool {
    why.contains("HTTP 429")
}

fn is_unauthorised(why: &str) -> bool {
    why.contains("HTTP 401")
}

fn reasons(vigil: &Vigil) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for (_, why) in vigil.watches.iter().flat_map(|watch| &watch.refused) {
        *reasons.entry(why.as_str()).or_insert(0) += 1;
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;
    use crate::time::Timestamp;

    const UPGRADE: &str = "upgrade: answered with HTTP 400 instead of 101";
    const LIMITED: &str = "sync is answered with HTTP 429";
    const UNAUTHORISED: &str = "sync is answered with HTTP 401";

    fn refused(reasons: &[&str]) -> Vigil {
        let refused = reasons.iter().map(|why| (Timestamp::ZERO, (*why).to_owned())).collect();
        let watch = Watch { client: 0, pings: false, tapes: Vec::new(), refused };
        Vigil { watches: vec![watch], ..Vigil::default() }
    }

    fn told(judge: fn(&Vigil, &mut Judgement), reasons: &[&str]) -> (Outcome, Judgement) {
        let mut judgement = Judgement::default();
        judge(&refused(reasons), &mut judgement);
        (judgement.outcome(), judgement)
    }

    #[test]
    fn a_path_without_streams_says_what_the_attempts_came_to() {
        let (_, judgement) = told(judge_nothing_opened, &[UPGRADE]);
        assert_eq!(judgement.findings[0].name, "no-stream");
        assert!(judgement.findings[0].evidence[0].contains("HTTP 400"));
        assert!(judgement.findings[0].remedy.contains("proxy_set_header Upgrade"));
        let (_, judgement) = told(judge_nothing_opened, &["sync: no answer in time"]);
        assert!(judgement.findings[0].remedy.contains("no upgrade was tried"), "{judgement:?}");
        assert_eq!(told(judge_nothing_opened, &[UNAUTHORISED, LIMITED]).0, Outcome::Inconclusive);
        assert_eq!(told(judge_nothing_opened, &[]).0, Outcome::Inconclusive);
    }

    #[test]
    fn a_limit_that_the_probe_itself_ran_into_is_no_failure_of_the_path() {
        let (outcome, judgement) = told(judge, &[LIMITED, LIMITED]);
        assert_eq!(outcome, Outcome::Inconclusive);
        assert!(judgement.unclear[0].starts_with("2 attempts"), "{judgement:?}");
        assert_eq!(told(judge, &[UNAUTHORISED]).0, Outcome::Healthy);
        assert_eq!(told(judge, &[]).0, Outcome::Healthy);
        let (_, judgement) = told(judge, &[UPGRADE, UNAUTHORISED, LIMITED]);
        assert_eq!(judgement.findings[0].name, "connects-fail");
        assert_eq!(judgement.findings[0].measured["failed"], 2.0);
    }
}
