//! `[[fault]]`: one flat table for all kinds, of which each kind takes the keys it needs and refuses the rest.
//!
//! A new kind is a variant of [`FaultKind`], a name, an arm that takes its keys and an arm that writes them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Problem, Why};
use super::quantity::Share;
use super::shape::Text;
use super::{Fault, FaultKind, Lose};

/// As `kind` writes it.
pub(super) fn name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Reset(_) => "reset",
        FaultKind::Silent(_) => "silent",
        FaultKind::ExpireToken(_) => "expire-token",
        FaultKind::PodKill(_) => "pod-kill",
        FaultKind::IdleTimeout(_) => "idle-timeout",
        FaultKind::RefusePublishes => "refuse-publishes",
        FaultKind::RejectTokens(_) => "reject-tokens",
        FaultKind::Lose(_) => "lose",
    }
}

/// Every kind, as `kind` writes it.
pub(super) const NAMES: [&str; 8] = [
    "reset",
    "silent",
    "expire-token",
    "pod-kill",
    "idle-timeout",
    "refuse-publishes",
    "reject-tokens",
    "lose",
];

/// The keys of all kinds together.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FaultShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Text<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<Text<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Text<Share>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Text<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Text<bool>>,
}

impl FaultShape {
    /// The fault; without a name of its own it gets what `named` makes of its kind. `at` is the key path of the table.
    pub(super) fn resolve(
        mut self,
        at: &str,
        named: impl FnOnce(&str) -> String,
        problems: &mut Vec<Problem>,
    ) -> Option<Fault> {
        let name = self.name.take().map(|name| name.0);
        let word = self.kind.take().map(|kind| kind.0);
        let begin = self.at.take().map(|begin| begin.0);
        let Some(word) = word else {
            let write = "kind = \"reset\" or another kind";
            problems.push(Problem::absent(format!("{at}.kind"), Why::Missing { write }));
            return None;
        };
        let mut keys = Keys { shape: self, kind: "", taken: Vec::new(), at, problems };
        let (kind, duration) = keys.kind(&word)?;
        keys.refuse_the_rest();
        let begin = match (begin, &kind) {
            (Some(begin), _) => begin,
            // It is planted by coordinates, wherever in time they lie.
            (None, FaultKind::Lose(_)) => Duration::ZERO,
            (None, _) => {
                let write = "when it begins, as in at = \"12s\"";
                problems.push(Problem::absent(format!("{at}.at"), Why::Missing { write }));
                return None;
            }
        };
        Some(Fault { name: name.unwrap_or_else(|| named(&word)), at: begin, duration, kind })
    }

    /// What writes this fault.
    pub(super) fn of(fault: &Fault) -> Self {
        let mut shape = Self {
            name: Some(Text(fault.name.clone())),
            kind: Some(Text(name(&fault.kind).to_owned())),
            at: Some(Text(fault.at)),
            duration: fault.duration.map(Text),
            ..Self::default()
        };
        match &fault.kind {
            FaultKind::Reset(share)
            | FaultKind::Silent(share)
            | FaultKind::ExpireToken(share)
            | FaultKind::RejectTokens(share) => shape.share = Some(Text(*share)),
            FaultKind::PodKill(pod) => shape.pod = pod.map(Text),
            FaultKind::IdleTimeout(timeout) => shape.timeout = Some(Text(*timeout)),
            FaultKind::RefusePublishes => {}
            FaultKind::Lose(lose) => {
                shape.client = Some(Text(lose.client));
                shape.room = Some(Text(lose.room));
                shape.first = Some(Text(lose.first));
                shape.count = Some(Text(lose.count));
                shape.store = Some(Text(lose.store));
            }
        }
        shape
    }
}

/// Keys on their way from the table into a kind.
struct Keys<'a> {
    shape: FaultShape,
    kind: &'static str,
    taken: Vec<&'static str>,
    at: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Keys<'_> {
    /// The kind of this name and how long it lasts; instants and coordinates take no duration.
    fn kind(&mut self, word: &str) -> Option<(FaultKind, Option<Duration>)> {
        let Some(kind) = NAMES.into_iter().find(|name| *name == word) else {
            let why = super::quantity::unknown_word(word, &NAMES);
            self.problems.push(Problem::new(format!("{}.kind", self.at), format!("{word:?}"), why));
            return None;
        };
        self.kind = kind;
        let kind = match kind {
            "reset" => (FaultKind::Reset(self.share()?), None),
            "silent" => (FaultKind::Silent(self.share()?), self.duration()),
            "expire-token" => (FaultKind::ExpireToken(self.share()?), None),
            "pod-kill" => (FaultKind::PodKill(self.optional("pod", |keys| keys.pod.take())), self.duration()),
            "idle-timeout" => {
                let timeout = self.needed("timeout", "timeout = \"20s\"", |keys| keys.timeout.take())?;
                (FaultKind::IdleTimeout(timeout), self.duration())
            }
            "refuse-publishes" => (FaultKind::RefusePublishes, self.duration()),
            "reject-tokens" => (FaultKind::RejectTokens(self.share()?), self.duration()),
            _ => (FaultKind::Lose(self.lose()?), None),
        };
        Some(kind)
    }

    fn lose(&mut self) -> Option<Lose> {
        let client = self.needed("client", "client = 0", |keys| keys.client.take());
        let first = self.needed("first", "first = 10", |keys| keys.first.take());
        let count = self.needed("count", "count = 7", |keys| keys.count.take());
        let room = self.optional("room", |keys| keys.room.take()).unwrap_or(0);
        let store = self.optional("store", |keys| keys.store.take()).unwrap_or(false);
        Some(Lose { client: client?, room, first: first?, count: count?, store })
    }

    fn share(&mut self) -> Option<Share> {
        self.needed("share", "share = \"20%\"", |keys| keys.share.take())
    }

    fn duration(&mut self) -> Option<Duration> {
        self.optional("duration", |keys| keys.duration.take())
    }

    fn optional<T>(&mut self, key: &'static str, take: fn(&mut FaultShape) -> Option<Text<T>>) -> Option<T> {
        self.taken.push(key);
        take(&mut self.shape).map(|text| text.0)
    }

    fn needed<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        take: fn(&mut FaultShape) -> Option<Text<T>>,
    ) -> Option<T> {
        let found = self.optional(key, take);
        if found.is_none() {
            let why = Why::FaultNeeds { kind: self.kind, example };
            self.problems.push(Problem::absent(format!("{}.{key}", self.at), why));
        }
        found
    }

    /// What is left was written for another kind.
    fn refuse_the_rest(self) {
        let Ok(rest) = toml::Table::try_from(&self.shape) else { return };
        let takes = match self.taken.as_slice() {
            [] => "only `at`".to_owned(),
            keys => keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
        };
        for (key, value) in &rest {
            let why = Why::FaultKey { kind: self.kind, takes: takes.clone() };
            self.problems.push(Problem::new(format!("{}.{key}", self.at), value, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Fault, Vec<String>> {
        let shape: FaultShape = toml::from_str(text).unwrap();
        let mut problems = Vec::new();
        let fault = shape.resolve("fault.0", str::to_owned, &mut problems);
        match problems.as_slice() {
            [] => Ok(fault.unwrap()),
            many => Err(many.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn every_kind_is_read_and_written_back() {
        for text in [
            "kind = 'reset'\nat = '3s'\nshare = '20%'",
            "kind = 'silent'\nat = '3s'\nshare = '20%'\nduration = '9s'",
            "kind = 'expire-token'\nat = '3s'\nshare = '20%'",
            "kind = 'pod-kill'\nat = '3s'",
            "kind = 'pod-kill'\nat = '3s'\npod = 1\nduration = '9s'",
            "kind = 'idle-timeout'\nat = '3s'\ntimeout = '9s'",
            "kind = 'refuse-publishes'\nat = '3s'",
            "kind = 'reject-tokens'\nat = '3s'\nshare = '40%'",
            "kind = 'lose'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'lose'\nat = '1s'\nclient = 3\nroom = 1\nfirst = 5\ncount = 7\nstore = true",
        ] {
            let fault = resolved(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            let written = toml::to_string(&FaultShape::of(&fault)).unwrap();
            assert_eq!(resolved(&written), Ok(fault), "{written}");
        }
    }

    #[test]
    fn every_name_is_the_name_of_its_kind() {
        for name in NAMES {
            let all = "at = '1s'\nshare = '1%'\ntimeout = '1s'\nclient = 0\nfirst = 0\ncount = 1";
            let shape: FaultShape = toml::from_str(&format!("kind = '{name}'\n{all}")).unwrap();
            assert_eq!(shape.resolve("", str::to_owned, &mut Vec::new()).unwrap().kind.name(), name);
        }
    }

    #[test]
    fn a_key_that_the_kind_does_not_use_is_named_with_the_kind_and_what_it_takes() {
        assert_eq!(
            resolved("kind = 'pod-kill'\nat = '3s'\nshare = '20%'\ncount = 1").unwrap_err(),
            [
                "`fault.0.share` = \"20%\": is not used by the kind `pod-kill`, which takes `pod`, `duration`: leave it out",
                "`fault.0.count` = 1: is not used by the kind `pod-kill`, which takes `pod`, `duration`: leave it out",
            ]
        );
        assert_eq!(
            resolved("kind = 'reset'\nat = '3s'\nshare = '20%'\nduration = '1s'").unwrap_err(),
            [
                "`fault.0.duration` = \"1s\": is not used by the kind `reset`, which takes `share`: leave it out"
            ]
        );
    }

    #[test]
    fn a_key_that_the_kind_needs_is_named_with_an_example() {
        assert_eq!(
            resolved("kind = 'reset'\nat = '3s'").unwrap_err(),
            ["`fault.0.share`: is missing: the kind `reset` needs it, as in share = \"20%\""]
        );
        assert_eq!(resolved("kind = 'lose'").unwrap_err().len(), 3);
        assert_eq!(
            resolved("kind = 'pod-kill'").unwrap_err(),
            ["`fault.0.at`: is missing: write when it begins, as in at = \"12s\""]
        );
    }

    #[test]
    fn an_unknown_kind_is_answered_with_the_kinds_there_are() {
        let problems = resolved("kind = 'pod-kil'\nat = '3s'").unwrap_err();
        assert!(
            problems[0].starts_with("`fault.0.kind` = \"pod-kil\": is not one of `reset`, "),
            "{problems:?}"
        );
        assert!(problems[0].ends_with("did you mean `pod-kill`?"), "{problems:?}");
        assert_eq!(
            resolved("at = '3s'").unwrap_err(),
            ["`fault.0.kind`: is missing: write kind = \"reset\" or another kind"]
        );
    }
}
