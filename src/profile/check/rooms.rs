//! The rules of rooms that are there already, and of those that are made.

use super::super::RoomType;
use super::super::error::Why;
use super::Rules;

impl Rules<'_> {
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
