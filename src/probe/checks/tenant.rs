//! "Wrong tenant scope: are you signed in as a different tenant than the one with traffic? Check the hello frame's
//! tenant_id." It is compared with what `register` says, not with the token's claim: those are two ids (protocol.md, 2).

use std::collections::BTreeMap;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::vigil::Vigil;

/// What every hello says against the tenant that the identities are registered in.
pub(super) fn judge(vigil: &Vigil, registered: &str) -> Judgement {
    let mut judgement = Judgement::default();
    let (mut right, mut silent) = (0, 0);
    let mut wrong: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    for tape in vigil.tapes() {
        let Some((_, hello)) = &tape.hello else { continue };
        match hello.tenant.as_deref() {
            Some(tenant) if tenant == registered => right += 1,
            Some(tenant) => wrong.entry(tenant).or_insert((0, tape.server())).0 += 1,
            None => silent += 1,
        }
    }
    let total = right + silent + wrong.values().map(|(count, _)| count).sum::<u32>();
    if total == 0 {
        judgement.unclear("no stream was said hello to");
    }
    if right > 0 {
        judgement.saw(format!("{right} of {total} hellos name the tenant that register names, {registered}"));
    }
    if silent > 0 {
        judgement.unclear(format!("{silent} of {total} hellos name no tenant"));
    }
    if !wrong.is_empty() {
        let mut finding = Finding::new(
            "wrong-tenant",
            "hello names another tenant than the identity is registered in",
            "Wrong tenant scope: sign in as the tenant with the traffic (check the identity's tenant in ScaiKey, and which \
             tenant its token is issued for).",
        )
        .with("hellos", f64::from(total));
        for (tenant, (count, server)) in wrong {
            finding = finding.because(format!(
                "{count} of {total} hellos name {tenant} (for example from {server}); register says {registered}"
            ));
        }
        judgement.found(finding);
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::{Greeting, Heard};
    use crate::probe::judgement::Outcome;
    use crate::probe::tape::Tape;
    use crate::probe::vigil::Watch;
    use crate::time::Timestamp;

    fn judged(tenants: &[Option<&str>]) -> Judgement {
        let tape = |tenant: &Option<&str>| {
            let mut tape = Tape::new(1, Timestamp::ZERO);
            let tenant = tenant.map(Box::from);
            tape.hear(Timestamp::ZERO, Heard::Hello(Greeting { tenant, ..Greeting::default() }));
            tape
        };
        let tapes = tenants.iter().map(tape).collect();
        let watch = Watch { client: 1, pings: false, tapes, refused: Vec::new() };
        judge(&Vigil { watches: vec![watch], ..Vigil::default() }, "ours")
    }

    #[test]
    fn one_hello_of_another_tenant_is_enough() {
        assert_eq!(judged(&[Some("ours"); 3]).outcome(), Outcome::Healthy);
        let wrong = judged(&[Some("ours"), Some("theirs")]);
        assert_eq!(wrong.findings[0].name, "wrong-tenant");
        assert!(wrong.findings[0].evidence[0].starts_with("1 of 2 hellos name theirs"), "{wrong:?}");
    }

    #[test]
    fn hellos_that_name_no_tenant_tell_nothing() {
        assert_eq!(judged(&[Some("ours"), None]).outcome(), Outcome::Inconclusive);
        assert_eq!(judged(&[]).outcome(), Outcome::Inconclusive);
    }
}
