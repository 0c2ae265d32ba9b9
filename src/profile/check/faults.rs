//! The rules for `[[fault]]`.

use crate::plan::Population;

use super::super::error::Why;
use super::super::quantity::{Share, Written as _};
use super::super::{
    BalancerMode, Coordinates, Delivery, Events, Exec, Fault, FaultKind, Line, Metrics, Publish, Stream,
    Sync, Who,
};
use super::{MANY, Rules, course};

impl Rules<'_> {
    pub(super) fn faults(&mut self) {
        let faults = &self.profile.faults;
        self.unique_names("fault", faults.iter().map(|fault| fault.name.as_str()));
        let end = course(self.profile);
        for (index, Fault { at, duration, kind, .. }) in faults.iter().enumerate() {
            let path = Path(index);
            self.require(*at < end, &path.key("at"), at, Why::FaultAfterEnd { end: end.show() });
            if let Some(duration) = duration {
                self.time(&path.key("duration"), *duration);
            }
            self.fault(path, kind);
        }
        let many = u32::try_from(faults.len()).unwrap_or(u32::MAX);
        self.at_most("fault", many, MANY);
    }

    fn exec(&mut self, path: Path, exec: &Exec) {
        self.interval(&path.key("timeout"), exec.timeout);
        for (key, words, needed) in [("command", &exec.command, true), ("undo", &exec.undo, false)] {
            let there = words.first().is_some_and(|program| !program.trim().is_empty());
            let readable = !words.iter().any(|word| word.contains('\0'));
            self.require(
                (there || !needed && words.is_empty()) && readable,
                &path.key(key),
                words,
                Why::NoCommand,
            );
            let one = !exec.shell || words.len() <= 1;
            self.require(one, &path.key(key), words, Why::OneLine);
        }
    }

    fn fault(&mut self, path: Path, kind: &FaultKind) {
        match kind {
            FaultKind::Line(who, line) => {
                self.who(path, who);
                match line {
                    Line::SlowReader(by) => self.interval(&path.key("by"), *by),
                    Line::Reset
                    | Line::Cut
                    | Line::Silent
                    | Line::ExpireToken
                    | Line::NoPongs
                    | Line::SameToken
                    | Line::Outage { .. }
                    | Line::Restart => {}
                }
            }
            FaultKind::PodKill(pod) => self.pod(path, *pod),
            FaultKind::IdleTimeout(timeout) | FaultKind::MaxAge(timeout) => {
                self.interval(&path.key("timeout"), *timeout);
                let proxied = self.profile.target.embedded.balancer.mode == BalancerMode::Proxy;
                self.require(proxied, &path.key("timeout"), timeout, Why::NoBalancer);
            }
            FaultKind::RefusePublishes => {}
            FaultKind::Exec(exec) => self.exec(path, exec),
            FaultKind::RejectTokens(who) => self.who(path, who),
            FaultKind::Delivery(events, delivery) => {
                self.events(path, events);
                match delivery {
                    Delivery::Late(by) => self.time(&path.key("by"), *by),
                    Delivery::Leak { to } => self.leak(path, events, *to),
                    Delivery::Lose { .. }
                    | Delivery::Twice
                    | Delivery::BehindRoom
                    | Delivery::BehindOthers
                    | Delivery::HideFromSync => {}
                }
            }
            FaultKind::Publish(events, publish) => {
                self.events(path, events);
                match publish {
                    Publish::CommitLate(by) => self.time(&path.key("by"), *by),
                    Publish::Renumber { back } => drop(self.count(&path.key("back"), *back)),
                    Publish::DeliverRejected { .. }
                    | Publish::Forget
                    | Publish::NoAnswer
                    | Publish::Twice => {}
                }
            }
            FaultKind::Stream(who, stream) => {
                self.who(path, who);
                self.stream(path, stream);
            }
            FaultKind::Sync(who, sync) => {
                self.who(path, who);
                self.sync(path, *sync);
            }
            FaultKind::Metrics(pod, metrics) => {
                self.pod(path, *pod);
                if let Metrics::Wrong { more } = metrics {
                    self.count(&path.key("more"), *more);
                }
            }
        }
    }

    fn stream(&mut self, path: Path, stream: &Stream) {
        match stream {
            Stream::LateHello(by) | Stream::EarlyHello(by) => self.time(&path.key("by"), *by),
            Stream::Close { code, reason } => {
                let good = matches!(*code, 1000..=1003 | 1007..=1014 | 1016..=4999);
                self.require(good, &path.key("code"), &u32::from(*code), Why::CloseCode);
                let why = Why::CloseReason { most: CLOSE_REASON_MAX };
                self.require(reason.len() <= CLOSE_REASON_MAX, &path.key("reason"), reason, why);
            }
            Stream::Deaf
            | Stream::WrongTenant
            | Stream::NoHello
            | Stream::Stall
            | Stream::NoPings
            | Stream::Drop(_)
            | Stream::Strange(_) => {}
        }
    }

    fn sync(&mut self, path: Path, sync: Sync) {
        match sync {
            Sync::Skip => {}
            Sync::Repeat { back } | Sync::Backwards { back } => drop(self.count(&path.key("back"), back)),
            Sync::Slow(by) => self.time(&path.key("by"), by),
            Sync::Fail { status } => {
                let good = (400..600).contains(&status);
                self.require(good, &path.key("status"), &u32::from(status), Why::FailureStatus);
            }
            Sync::Retain { keep } => drop(self.count(&path.key("keep"), keep)),
        }
    }

    fn who(&mut self, path: Path, who: &Who) {
        let people = &self.profile.population;
        match who {
            Who::Share(share) => self.share(path, *share),
            Who::Tenant(tenant) => self.index(&path.key("tenant"), *tenant, people.tenants, "tenants"),
            Who::Clients(clients) => {
                let key = path.key("clients");
                self.require(!clients.is_empty(), &key, clients, Why::NamesNobody);
                for client in clients {
                    self.index(&key, *client, people.clients, "clients");
                }
            }
        }
    }

    fn events(&mut self, path: Path, events: &Events) {
        let people = &self.profile.population;
        match events {
            Events::Share(share) => self.share(path, *share),
            Events::Coordinates(Coordinates { client, room, first, count }) => {
                self.index(&path.key("client"), *client, people.clients, "clients");
                self.index(&path.key("room"), *room, people.rooms_per_client, "rooms of a client");
                self.count(&path.key("count"), *count);
                let fits = first.checked_add(*count).is_some();
                self.require(fits, &path.key("first"), first, Why::BeyondLastEvent);
            }
        }
    }

    /// To leak is to bring somebody what is not theirs.
    fn leak(&mut self, path: Path, events: &Events, to: u32) {
        let people = &self.profile.population;
        self.index(&path.key("to"), to, people.clients, "clients");
        let counts = [people.tenants, people.members_per_room, people.rooms_per_client];
        let known = !counts.contains(&0) && people.clients >= people.tenants && to < people.clients;
        if let (true, Events::Coordinates(at)) = (known, events) {
            let people = Population::new(people);
            let room = people.rooms_of(at.client).nth(at.room as usize);
            let stranger = room.is_none_or(|room| people.slot_of(to, room).is_none());
            self.require(stranger, &path.key("to"), &to, Why::MemberAlready);
        }
    }

    fn share(&mut self, path: Path, share: Share) {
        let why = Why::NotAboveZero { least: "\"0.01%\"" };
        self.require(share > Share(0.0), &path.key("share"), &share, why);
    }

    fn pod(&mut self, path: Path, pod: Option<u32>) {
        self.index(&path.key("pod"), pod.unwrap_or(0), self.profile.target.embedded.pods, "pods");
    }
}

/// The path of one `[[fault]]`.
#[derive(Clone, Copy)]
struct Path(usize);

impl Path {
    fn key(self, key: &str) -> String {
        format!("fault.{}.{key}", self.0)
    }
}

/// A control frame holds 125 bytes, two of them the code (RFC 6455, section 5.5).
const CLOSE_REASON_MAX: usize = 123;
