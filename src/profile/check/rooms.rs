//! The rules of rooms that are there already, of those that are made, and of runs that only listen in them.

use toml::Value;

use super::super::error::{Problem, Why};
use super::super::keys::dotted;
use super::super::{RoomType, Subject, TrafficMode};
use super::Rules;

impl Rules<'_> {
    /// What cannot be done, or known, by who only listens.
    pub(super) fn observing(&mut self) {
        let profile = self.profile;
        if profile.traffic.mode != TrafficMode::Observe {
            return;
        }
        let rooms = profile.population.rooms.is_some();
        self.require(rooms, "traffic.mode", &profile.traffic.mode, Why::NothingToObserve);
        for (index, fault) in profile.faults.iter().enumerate() {
            if fault.kind.is_target_side() {
                let key = format!("fault.{index}.kind");
                self.problems.push(Problem::new(
                    key,
                    Value::from(fault.kind.name()),
                    Why::FaultNotObservable,
                ));
            }
        }
        for objective in &profile.objectives {
            let subject = Subject::parse(&objective.name);
            if let Some(why) = subject.ok().and_then(Subject::not_observable) {
                let key = dotted(["objectives", &objective.name]);
                self.require(false, &key, &objective.limit, Why::NotObservable { why });
            }
        }
    }

    pub(super) fn rooms(&mut self) {
        let people = &self.profile.population;
        let Some(given) = &people.rooms else { return };
        if self.profile.target.url.is_none() {
            self.require(false, "population.rooms", given, Why::NoDeployment);
        }
        let made = people.room_type != RoomType::Public;
        self.require(!made, "population.room_type", &people.room_type, Why::NothingIsMade);
        if let Some(path) = &people.kept_rooms {
            self.require(false, "population.kept_rooms", path, Why::NothingIsMade);
        }
    }
}
