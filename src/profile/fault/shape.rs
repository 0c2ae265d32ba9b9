//! `[[fault]]`: one flat table for all kinds, of which each kind takes the keys it needs and refuses the rest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::error::{Problem, Why};
use super::super::quantity::{self, Share};
use super::super::shape::Text;
use super::{
    Coordinates, Delivery, Events, Exec, Fault, FaultKind, How, Line, Metrics, NAMES, Publish, Strange,
    Stream, Sync, Who, name,
};

/// The keys of all kinds together.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct FaultShape {
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
    tenant: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Text<Vec<u32>>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Text<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    back: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<Text<How>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<Text<Strange>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<Text<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Text<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<Text<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Text<bool>>,
}

impl FaultShape {
    /// The fault; without a name of its own it gets what `named` makes of its kind. `at` is the key path of the table.
    pub(in super::super) fn resolve(
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
        let kind = keys.kind(&word)?;
        let duration =
            if may_last(&kind) { keys.optional("duration", |keys| keys.duration.take()) } else { None };
        keys.refuse_the_rest();
        let begin = match begin {
            Some(begin) => begin,
            // It is planted by coordinates, wherever in time they lie.
            None if kind.is_by_coordinates() => Duration::ZERO,
            None => {
                let write = "when it begins, as in at = \"12s\"";
                problems.push(Problem::absent(format!("{at}.at"), Why::Missing { write }));
                return None;
            }
        };
        Some(Fault { name: name.unwrap_or_else(|| named(&word)), at: begin, duration, kind })
    }

    /// What writes this fault.
    pub(in super::super) fn of(fault: &Fault) -> Self {
        let mut shape = Self {
            name: Some(Text(fault.name.clone())),
            kind: Some(Text(name(&fault.kind).to_owned())),
            at: Some(Text(fault.at)),
            duration: fault.duration.map(Text),
            ..Self::default()
        };
        match &fault.kind {
            FaultKind::Line(who, line) => {
                shape.write_who(who);
                shape.write_line(*line);
            }
            FaultKind::PodKill(pod) => shape.pod = pod.map(Text),
            FaultKind::IdleTimeout(timeout) | FaultKind::MaxAge(timeout) => {
                shape.timeout = Some(Text(*timeout))
            }
            FaultKind::RefusePublishes => {}
            FaultKind::RejectTokens(who) => shape.write_who(who),
            FaultKind::Delivery(events, delivery) => {
                shape.write_events(*events);
                shape.write_delivery(*delivery);
            }
            FaultKind::Publish(events, publish) => {
                shape.write_events(*events);
                shape.write_publish(*publish);
            }
            FaultKind::Stream(who, stream) => {
                shape.write_who(who);
                shape.write_stream(stream);
            }
            FaultKind::Sync(who, sync) => {
                shape.write_who(who);
                shape.write_sync(*sync);
            }
            FaultKind::Metrics(pod, metrics) => {
                shape.pod = pod.map(Text);
                shape.write_metrics(*metrics);
            }
            FaultKind::Exec(exec) => {
                shape.command = Some(Text(exec.command.clone()));
                shape.undo = Some(Text(exec.undo.clone()));
                shape.shell = Some(Text(exec.shell));
                shape.timeout = Some(Text(exec.timeout));
            }
        }
        shape
    }

    fn write_who(&mut self, who: &Who) {
        match who {
            Who::Share(share) => self.share = Some(Text(*share)),
            Who::Tenant(tenant) => self.tenant = Some(Text(*tenant)),
            Who::Clients(clients) => self.clients = Some(Text(clients.clone())),
        }
    }

    fn write_events(&mut self, events: Events) {
        match events {
            Events::Share(share) => self.share = Some(Text(share)),
            Events::Coordinates(at) => {
                self.client = Some(Text(at.client));
                self.room = Some(Text(at.room));
                self.first = Some(Text(at.first));
                self.count = Some(Text(at.count));
            }
        }
    }

    fn write_line(&mut self, line: Line) {
        match line {
            Line::SlowReader(by) => self.by = Some(Text(by)),
            Line::Outage { sync } => self.sync = Some(Text(sync)),
            Line::Reset
            | Line::Cut
            | Line::Silent
            | Line::ExpireToken
            | Line::NoPongs
            | Line::SameToken
            | Line::Restart => {}
        }
    }

    fn write_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Lose { store } => self.store = Some(Text(store)),
            Delivery::Late(by) => self.by = Some(Text(by)),
            Delivery::Leak { to } => self.to = Some(Text(to)),
            Delivery::Twice | Delivery::BehindRoom | Delivery::BehindOthers | Delivery::HideFromSync => {}
        }
    }

    fn write_publish(&mut self, publish: Publish) {
        match publish {
            Publish::DeliverRejected { store } => self.store = Some(Text(store)),
            Publish::CommitLate(by) => self.by = Some(Text(by)),
            Publish::Renumber { back } => self.back = Some(Text(back)),
            Publish::Forget | Publish::NoAnswer | Publish::Twice => {}
        }
    }

    fn write_stream(&mut self, stream: &Stream) {
        match stream {
            Stream::LateHello(by) | Stream::EarlyHello(by) => self.by = Some(Text(*by)),
            Stream::Close { code, reason } => {
                self.code = Some(Text(u32::from(*code)));
                self.reason = Some(Text(reason.clone()));
            }
            Stream::Drop(how) => self.how = Some(Text(*how)),
            Stream::Strange(frame) => self.frame = Some(Text(*frame)),
            Stream::Deaf | Stream::WrongTenant | Stream::NoHello | Stream::Stall | Stream::NoPings => {}
        }
    }

    fn write_sync(&mut self, sync: Sync) {
        match sync {
            Sync::Skip => {}
            Sync::Repeat { back } | Sync::Backwards { back } => self.back = Some(Text(back)),
            Sync::Slow(by) => self.by = Some(Text(by)),
            Sync::Fail { status } => self.status = Some(Text(u32::from(status))),
            Sync::Retain { keep } => self.keep = Some(Text(keep)),
        }
    }

    fn write_metrics(&mut self, metrics: Metrics) {
        let word = match metrics {
            Metrics::Missing => SHOWN[0],
            Metrics::Reset => SHOWN[1],
            Metrics::Wrong { .. } => SHOWN[2],
            Metrics::Absent => SHOWN[3],
            Metrics::Leak => SHOWN[4],
        };
        self.show = Some(Text(word.to_owned()));
        if let Metrics::Wrong { more } = metrics {
            self.more = Some(Text(more));
        }
    }
}

/// What a command may take unless it says otherwise (ours).
const EXEC_TIMEOUT: Duration = Duration::from_secs(60);

/// What `show` of a metrics fault can say.
const SHOWN: [&str; 5] = ["missing", "reset", "wrong", "absent", "leak"];

/// Instants take no duration, and neither do coordinates.
fn may_last(kind: &FaultKind) -> bool {
    !kind.is_instant() && !kind.is_by_coordinates()
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
    /// The kind of this name.
    fn kind(&mut self, word: &str) -> Option<FaultKind> {
        let Some(kind) = NAMES.into_iter().find(|name| *name == word) else {
            let why = quantity::unknown_word(word, &NAMES);
            self.problems.push(Problem::new(format!("{}.kind", self.at), format!("{word:?}"), why));
            return None;
        };
        self.kind = kind;
        let line = |line: Line| move |who| FaultKind::Line(who, line);
        let stream = |stream: Stream| move |who| FaultKind::Stream(who, stream);
        let sync = |sync: Sync| move |who| FaultKind::Sync(who, sync);
        let delivery = |delivery: Delivery| move |events| FaultKind::Delivery(events, delivery);
        let publish = |publish: Publish| move |events| FaultKind::Publish(events, publish);
        match kind {
            "reset" => self.who().map(line(Line::Reset)),
            "cut" => self.who().map(line(Line::Cut)),
            "silent" => self.who().map(line(Line::Silent)),
            "expire-token" => self.who().map(line(Line::ExpireToken)),
            "slow-reader" => {
                self.who().zip(self.by()).map(|(who, by)| FaultKind::Line(who, Line::SlowReader(by)))
            }
            "no-pongs" => self.who().map(line(Line::NoPongs)),
            "same-token" => self.who().map(line(Line::SameToken)),
            "outage" => {
                let sync = self.flag("sync", |keys| keys.sync.take());
                self.who().map(line(Line::Outage { sync }))
            }
            "restart" => self.who().map(line(Line::Restart)),
            "exec" => self.exec().map(FaultKind::Exec),
            "pod-kill" => Some(FaultKind::PodKill(self.pod())),
            "idle-timeout" => {
                let timeout = self.needed("timeout", "timeout = \"20s\"", |keys| keys.timeout.take())?;
                Some(FaultKind::IdleTimeout(timeout))
            }
            "max-age" => {
                let timeout = self.needed("timeout", "timeout = \"60s\"", |keys| keys.timeout.take())?;
                Some(FaultKind::MaxAge(timeout))
            }
            "refuse-publishes" => Some(FaultKind::RefusePublishes),
            "reject-tokens" => self.who().map(FaultKind::RejectTokens),
            "lose" => {
                let store = self.flag("store", |keys| keys.store.take());
                self.events().map(delivery(Delivery::Lose { store }))
            }
            "duplicate" => self.events().map(delivery(Delivery::Twice)),
            "reorder" => self.events().map(delivery(Delivery::BehindRoom)),
            "reorder-rooms" => self.events().map(delivery(Delivery::BehindOthers)),
            "delay" => {
                let (events, by) = self.events().zip(self.by())?;
                Some(FaultKind::Delivery(events, Delivery::Late(by)))
            }
            "leak" => {
                let to = self.needed("to", "to = 1", |keys| keys.to.take());
                let (events, to) = self.events().zip(to)?;
                Some(FaultKind::Delivery(events, Delivery::Leak { to }))
            }
            "sync-omit" => self.events().map(delivery(Delivery::HideFromSync)),
            "deliver-rejected" => {
                let store = self.flag("store", |keys| keys.store.take());
                self.events().map(publish(Publish::DeliverRejected { store }))
            }
            "accept-unstored" => self.events().map(publish(Publish::Forget)),
            "store-unanswered" => self.events().map(publish(Publish::NoAnswer)),
            "store-twice" => self.events().map(publish(Publish::Twice)),
            "commit-late" => {
                let (events, by) = self.events().zip(self.by())?;
                Some(FaultKind::Publish(events, Publish::CommitLate(by)))
            }
            "renumber" => {
                let (events, back) = self.events().zip(self.back())?;
                Some(FaultKind::Publish(events, Publish::Renumber { back }))
            }
            "deaf" => self.who().map(stream(Stream::Deaf)),
            "wrong-tenant" => self.who().map(stream(Stream::WrongTenant)),
            "no-hello" => self.who().map(stream(Stream::NoHello)),
            "late-hello" => {
                self.who().zip(self.by()).map(|(who, by)| FaultKind::Stream(who, Stream::LateHello(by)))
            }
            "early-hello" => {
                self.who().zip(self.by()).map(|(who, by)| FaultKind::Stream(who, Stream::EarlyHello(by)))
            }
            "stall" => self.who().map(stream(Stream::Stall)),
            "no-pings" => self.who().map(stream(Stream::NoPings)),
            "close" => {
                let code = self.needed("code", "code = 4003", |keys| keys.code.take());
                let reason = self.optional("reason", |keys| keys.reason.take()).unwrap_or_default();
                let (who, code) = self.who().zip(code)?;
                // What does not fit is no close code, and the rules say so.
                let code = u16::try_from(code).unwrap_or(u16::MAX);
                Some(FaultKind::Stream(who, Stream::Close { code, reason }))
            }
            "drop" => {
                let how = self.needed("how", "how = \"silent\"", |keys| keys.how.take());
                self.who().zip(how).map(|(who, how)| FaultKind::Stream(who, Stream::Drop(how)))
            }
            "strange-frame" => {
                let frame = self.needed("frame", "frame = \"malformed\"", |keys| keys.frame.take());
                self.who().zip(frame).map(|(who, frame)| FaultKind::Stream(who, Stream::Strange(frame)))
            }
            "sync-skip" => self.who().map(sync(Sync::Skip)),
            "sync-repeat" => {
                self.who().zip(self.back()).map(|(who, back)| FaultKind::Sync(who, Sync::Repeat { back }))
            }
            "sync-backwards" => {
                self.who().zip(self.back()).map(|(who, back)| FaultKind::Sync(who, Sync::Backwards { back }))
            }
            "sync-slow" => self.who().zip(self.by()).map(|(who, by)| FaultKind::Sync(who, Sync::Slow(by))),
            "sync-fail" => {
                let status = self.needed("status", "status = 503", |keys| keys.status.take());
                let (who, status) = self.who().zip(status)?;
                // What does not fit is no status, and the rules say so.
                let status = u16::try_from(status).unwrap_or(u16::MAX);
                Some(FaultKind::Sync(who, Sync::Fail { status }))
            }
            "sync-retain" => {
                let keep = self.needed("keep", "keep = 100", |keys| keys.keep.take());
                self.who().zip(keep).map(|(who, keep)| FaultKind::Sync(who, Sync::Retain { keep }))
            }
            _ => {
                let pod = self.pod();
                self.metrics().map(|metrics| FaultKind::Metrics(pod, metrics))
            }
        }
    }

    /// One of the three ways to say which clients.
    fn who(&mut self) -> Option<Who> {
        self.taken.extend(["share", "tenant", "clients"]);
        let share = self.shape.share.take().map(|share| ("share", Who::Share(share.0)));
        let tenant = self.shape.tenant.take().map(|tenant| ("tenant", Who::Tenant(tenant.0)));
        let clients = self.shape.clients.take().map(|clients| ("clients", Who::Clients(clients.0)));
        self.one_of([share, tenant, clients])
    }

    /// One of the two ways to say which events.
    fn events(&mut self) -> Option<Events> {
        if let Some(share) = self.optional("share", |keys| keys.share.take()) {
            return Some(Events::Share(share));
        }
        let client = self.needed("client", "client = 0", |keys| keys.client.take());
        let first = self.needed("first", "first = 10", |keys| keys.first.take());
        let count = self.needed("count", "count = 7", |keys| keys.count.take());
        let room = self.optional("room", |keys| keys.room.take()).unwrap_or(0);
        Some(Events::Coordinates(Coordinates { client: client?, room, first: first?, count: count? }))
    }

    fn exec(&mut self) -> Option<Exec> {
        let command = self.needed(
            "command",
            "command = [\"kubectl\", \"rollout\", \"restart\", \"deployment/scaiwave\"]",
            |keys| keys.command.take(),
        );
        let undo =
            self.needed("undo", "undo = [], where there is nothing to take back", |keys| keys.undo.take());
        let shell = self.flag("shell", |keys| keys.shell.take());
        let timeout = self.optional("timeout", |keys| keys.timeout.take()).unwrap_or(EXEC_TIMEOUT);
        Some(Exec { command: command?, undo: undo?, shell, timeout })
    }

    fn metrics(&mut self) -> Option<Metrics> {
        let word = self.needed("show", "show = \"missing\"", |keys| keys.show.take())?;
        match word.as_str() {
            "missing" => Some(Metrics::Missing),
            "reset" => Some(Metrics::Reset),
            "wrong" => {
                let more = self.needed("more", "more = 5", |keys| keys.more.take())?;
                Some(Metrics::Wrong { more })
            }
            "absent" => Some(Metrics::Absent),
            "leak" => Some(Metrics::Leak),
            other => {
                let why = quantity::unknown_word(other, &SHOWN);
                self.problems.push(Problem::new(format!("{}.show", self.at), format!("{other:?}"), why));
                None
            }
        }
    }

    fn pod(&mut self) -> Option<u32> {
        self.optional("pod", |keys| keys.pod.take())
    }

    fn by(&mut self) -> Option<Duration> {
        self.needed("by", "by = \"3s\"", |keys| keys.by.take())
    }

    fn back(&mut self) -> Option<u32> {
        self.needed("back", "back = 5", |keys| keys.back.take())
    }

    fn flag(&mut self, key: &'static str, take: fn(&mut FaultShape) -> Option<Text<bool>>) -> bool {
        self.optional(key, take).unwrap_or(false)
    }

    /// The one that is there; a second one is one too many.
    fn one_of<T, const N: usize>(&mut self, given: [Option<(&'static str, T)>; N]) -> Option<T> {
        let mut given = given.into_iter().flatten();
        let Some((key, value)) = given.next() else {
            let why = Why::FaultNeeds { kind: self.kind, example: "share = \"20%\"" };
            self.problems.push(Problem::absent(format!("{}.share", self.at), why));
            return None;
        };
        for (other, _) in given {
            self.problems.push(Problem::absent(format!("{}.{other}", self.at), Why::SaidTwice { by: key }));
        }
        Some(value)
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
            "kind = 'cut'\nat = '3s'\ntenant = 2",
            "kind = 'silent'\nat = '3s'\nshare = '20%'\nduration = '9s'",
            "kind = 'expire-token'\nat = '3s'\nclients = [1, 2]",
            "kind = 'slow-reader'\nat = '3s'\nclients = [1, 2]\nby = '2s'\nduration = '9s'",
            "kind = 'no-pongs'\nat = '3s'\nshare = '20%'",
            "kind = 'same-token'\nat = '3s'\nshare = '20%'",
            "kind = 'outage'\nat = '3s'\nshare = '20%'\nsync = true\nduration = '9s'",
            "kind = 'outage'\nat = '3s'\nshare = '20%'",
            "kind = 'restart'\nat = '3s'\nshare = '20%'\nduration = '2s'",
            "kind = 'restart'\nat = '3s'\ntenant = 0",
            "kind = 'pod-kill'\nat = '3s'",
            "kind = 'pod-kill'\nat = '3s'\npod = 1\nduration = '9s'",
            "kind = 'idle-timeout'\nat = '3s'\ntimeout = '9s'",
            "kind = 'max-age'\nat = '3s'\ntimeout = '9s'",
            "kind = 'refuse-publishes'\nat = '3s'",
            "kind = 'reject-tokens'\nat = '3s'\nshare = '40%'",
            "kind = 'lose'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'lose'\nat = '1s'\nclient = 3\nroom = 1\nfirst = 5\ncount = 7\nstore = true",
            "kind = 'lose'\nat = '1s'\nshare = '1%'\nduration = '9s'",
            "kind = 'duplicate'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'reorder'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'reorder-rooms'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'delay'\nclient = 3\nfirst = 5\ncount = 7\nby = '2s'",
            "kind = 'leak'\nclient = 3\nfirst = 5\ncount = 7\nto = 4",
            "kind = 'sync-omit'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'deliver-rejected'\nclient = 3\nfirst = 5\ncount = 7\nstore = true",
            "kind = 'accept-unstored'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'store-unanswered'\nat = '3s'\nshare = '0.5%'",
            "kind = 'store-twice'\nclient = 3\nfirst = 5\ncount = 7",
            "kind = 'commit-late'\nclient = 3\nfirst = 5\ncount = 7\nby = '2s'",
            "kind = 'renumber'\nclient = 3\nfirst = 5\ncount = 7\nback = 9",
            "kind = 'deaf'\nat = '3s'\nshare = '20%'\nduration = '9s'",
            "kind = 'wrong-tenant'\nat = '3s'\nshare = '20%'",
            "kind = 'no-hello'\nat = '3s'\nshare = '20%'",
            "kind = 'late-hello'\nat = '3s'\nshare = '20%'\nby = '2s'",
            "kind = 'early-hello'\nat = '3s'\nshare = '20%'\nby = '2s'",
            "kind = 'stall'\nat = '3s'\nshare = '20%'",
            "kind = 'no-pings'\nat = '3s'\nshare = '20%'",
            "kind = 'close'\nat = '3s'\nshare = '20%'\ncode = 4003\nreason = 'ping_timeout'",
            "kind = 'close'\nat = '3s'\nshare = '20%'\ncode = 4001",
            "kind = 'drop'\nat = '3s'\nshare = '20%'\nhow = 'fin'",
            "kind = 'strange-frame'\nat = '3s'\nshare = '20%'\nframe = 'oversized'",
            "kind = 'sync-skip'\nat = '3s'\nshare = '20%'",
            "kind = 'sync-repeat'\nat = '3s'\nshare = '20%'\nback = 9",
            "kind = 'sync-backwards'\nat = '3s'\nshare = '20%'\nback = 9",
            "kind = 'sync-slow'\nat = '3s'\nshare = '20%'\nby = '2s'",
            "kind = 'sync-fail'\nat = '3s'\nshare = '20%'\nstatus = 503",
            "kind = 'sync-retain'\nat = '3s'\nshare = '20%'\nkeep = 9",
            "kind = 'metrics'\nat = '3s'\nshow = 'missing'",
            "kind = 'metrics'\nat = '3s'\nshow = 'reset'\npod = 1",
            "kind = 'metrics'\nat = '3s'\nshow = 'wrong'\nmore = 3\nduration = '9s'",
            "kind = 'metrics'\nat = '3s'\nshow = 'absent'",
            "kind = 'metrics'\nat = '3s'\nshow = 'leak'",
            "kind = 'exec'\nat = '3s'\ncommand = ['a', 'b c']\nundo = []",
            "kind = 'exec'\nat = '3s'\nduration = '9s'\ncommand = ['a']\nundo = ['b']\nshell = true\ntimeout = '5s'",
        ] {
            let fault = resolved(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            let written = toml::to_string(&FaultShape::of(&fault)).unwrap();
            assert_eq!(resolved(&written), Ok(fault), "{written}");
        }
    }

    #[test]
    fn every_name_is_the_name_of_its_kind() {
        for name in NAMES {
            let all = "at = '1s'\nshare = '1%'\ntimeout = '1s'\nby = '1s'\nback = 1\nto = 1\ncode = 4001\n\
                       how = 'fin'\nframe = 'binary'\nstatus = 500\nkeep = 1\nshow = 'missing'\ncommand = ['true']\n\
                       undo = []";
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
                "`fault.0.duration` = \"1s\": is not used by the kind `reset`, which takes `share`, `tenant`, `clients`: leave it out"
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
    fn whom_it_hits_is_said_once() {
        assert_eq!(
            resolved("kind = 'cut'\nat = '3s'\ntenant = 1\nclients = [1]").unwrap_err(),
            ["`fault.0.clients`: says whom it hits, as `tenant` does: write one of them"]
        );
        let both = resolved("kind = 'lose'\nat = '3s'\nshare = '1%'\nclient = 1").unwrap_err();
        assert!(both[0].starts_with("`fault.0.client` = 1: is not used"), "{both:?}");
    }

    #[test]
    fn what_metrics_show_is_one_of_four_words() {
        let problems = resolved("kind = 'metrics'\nat = '3s'\nshow = 'mising'").unwrap_err();
        assert!(problems[0].ends_with("did you mean `missing`?"), "{problems:?}");
        assert_eq!(
            resolved("kind = 'metrics'\nat = '3s'\nshow = 'wrong'").unwrap_err(),
            ["`fault.0.more`: is missing: the kind `metrics` needs it, as in more = 5"]
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
