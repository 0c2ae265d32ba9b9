//! Sentences beside the answer of `size pods`.

use super::{amount, with_unit};
use crate::sizing::answer::Answer;
use crate::sizing::goal::Resource;
use crate::sizing::model::{Model, Pods};
use crate::sizing::pods::{Evidence, Sizing};
use crate::sizing::prove::Shown;
use crate::sizing::search::Found;
use crate::verdict::Outcome;

/// Why there is no number, how far one reaches, and what was assumed.
pub(super) fn of(
    sizing: &Sizing,
    evidence: &Evidence,
    models: &[Model],
    answer: &Answer,
    shown: &Shown,
) -> Vec<String> {
    let mut remarks = Vec::new();
    for model in models {
        let resource = model.resource;
        let highest = model.found.iter().filter_map(|(_, found)| found.carried()).fold(0.0, f64::max);
        remarks.extend(unjudged(model, evidence));
        if model.is_behind() {
            remarks.push(format!(
                "{resource}: carried up to all that sync pages allow, of which each has one before it: sync pages are the \
                 limit"
            ));
        }
        let pods = answer.pods.iter().find(|(other, _)| *other == resource).map(|&(_, pods)| pods);
        match pods {
            // Where nobody could tell, further pods would tell nothing either.
            Some(Pods::MoreThan(_)) if model.found.iter().any(|(_, found)| found.is_unjudged()) => {}
            Some(Pods::MoreThan(most)) => remarks.push(format!(
                "{resource}: {} are needed, and {most} pods carry {}; nothing is said about more than were played: name \
                 further ones with --pods (five give a law)",
                with_unit(sizing.goal.demand(resource), resource),
                with_unit(highest, resource)
            )),
            Some(Pods::None) => remarks.push(format!(
                "{resource}: by the law no number of pods carries {}: they cost each other more than they add",
                with_unit(sizing.goal.demand(resource), resource)
            )),
            _ => {}
        }
        if model.fit.is_none() && !model.is_unlimited() {
            remarks.push(format!(
                "{resource}: no law (it takes four pod counts that reached a limit, five to tell coherency)"
            ));
        }
    }
    remarks.extend(ramp_remark(sizing, models));
    if let Some(enough) = answer.resilient {
        let each = sizing.goal.connections / f64::from(enough.pods);
        remarks.push(format!(
            "rolling update: {} pods while one after the other is replaced (surge 1, unavailable 0), so that {} are there \
             at any time and the loss of the answer is still survived; with each pod about {} clients reconnect",
            enough.pods + 1,
            enough.pods,
            amount(each)
        ));
        if shown.proofs.is_empty() {
            remarks.push("recovery is computed from the steps, and was not played".to_owned());
        }
        if shown.weathered.is_none() {
            remarks.push(
                "what spread and jitter would save is not known: it takes the proof, whose storm is played again with them"
                    .to_owned(),
            );
        }
    }
    if sizing.profile.target.url.is_some() && answer.resilient.is_some() {
        remarks.push(
            "no proof: the pods of a deployment are not ours to kill; play one with a fault of kind \"exec\". There, what \
             spread and jitter save is shown by wavesoak size storm, which takes their streams from a share of the clients"
                .to_owned(),
        );
    }
    remarks.push(format!(
        "sync pages: a live client asks for none; {} is one bridge before each upgrade of the steepest ramp, and \
         traffic.sync_rate; a reconnect after a loss takes {} (what is missed in the time to recover). They were loaded with \
         requests of clients that had missed nothing",
        with_unit(sizing.goal.sync_pages, Resource::SyncPages),
        amount(sizing.goal.pages_per_reconnect)
    ));
    remarks.push(
        "handshakes are upgrades, each behind the sync request that the documented client makes first; measured without \
         permessage-deflate, which browsers offer and servers pay for"
            .to_owned(),
    );
    remarks
}

/// At which load a search ended because nobody could tell, and why.
fn unjudged(model: &Model, evidence: &Evidence) -> Option<String> {
    let resource = model.resource;
    let (pods, found) = model.found.iter().rev().find(|(_, found)| found.is_unjudged())?;
    let mut steps = evidence.steps.iter().filter(|step| (step.resource, step.pods) == (resource, *pods));
    let last = steps.rfind(|step| step.outcome == Outcome::Inconclusive);
    let at_least = found.carried().map_or_else(
        || "nothing could be judged".to_owned(),
        |carried| format!("at least {}", with_unit(carried, resource)),
    );
    let why = match last {
        Some(step) if step.bottleneck => "the generator was the limit".to_owned(),
        Some(step) => {
            let because = step.because.first().map_or("", String::as_str);
            format!("{} could not be judged: {because}", with_unit(step.load, resource))
        }
        None => "a step failed once, and passed or could not be judged when it was played again".to_owned(),
    };
    Some(format!("{resource}, {pods} pods: {at_least}, {why}"))
}

/// Where clients came in faster than pods shake hands, what was meant to fill them was a queue at the door.
fn ramp_remark(sizing: &Sizing, models: &[Model]) -> Option<String> {
    let ramp = sizing.terms.ramp;
    let handshakes = models.iter().find(|model| model.resource == Resource::Handshakes)?;
    let carried = |(pods, found): &(u32, Found)| Some((*pods, found.limit()?));
    let (pods, carried) = handshakes.found.iter().filter_map(carried).find(|(_, carried)| *carried < ramp)?;
    Some(format!(
        "connections: clients came at {ramp:.0}/s, and {pods} pods shake no more than {} hands a second: what was found of \
         connections may be too low; repeat with --ramp below that",
        amount(carried)
    ))
}
