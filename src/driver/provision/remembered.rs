//! Rooms that runs have made on a deployment, remembered so that the next run uses them again and a cleanup finds them: the
//! API has no way to look a room up by its name.
//!
//! One line of JSON for each thing that happens to a room, in a private file (`population.kept_rooms`). A room is asked for
//! in the file before it is asked for on the target, so that one whose answer never came is known at least by its name. The
//! file may hold rooms of several targets; a run sees those of its own. Without the file, rooms can only be found by people:
//! their names begin with `wavesoak` and the first digits of the run that made them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::private_lines::{PrivateFileError, PrivateLines, Purpose};

/// What is remembered of one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The target that has it.
    pub target: String,
    /// Its name there; it begins with [`Room::prefix`].
    pub name: String,
    /// What has become of it.
    pub state: State,
    /// The server's id of its tenant.
    pub tenant_id: String,
    /// `room_type`
    pub room_type: String,
    /// Stands for those whom the plan put there: equal for equal ones.
    pub members: String,
    /// The participant that made it, or tried to.
    pub maker: String,
    /// The server's id of it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
}

/// What has become of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was asked for, and no answer was written down: it may exist.
    Asked,
    /// It is there.
    Made,
    /// The target refused to make it, has forgotten it, or it was put away.
    Gone,
}

/// The rooms of one target, held by this run.
#[derive(Debug)]
pub struct Remembered {
    target: String,
    /// `None`: nothing outlives the run.
    lines: Option<PrivateLines>,
    /// Those that are not gone, by their names.
    rooms: RefCell<BTreeMap<String, Room>>,
    /// Names of those that this run uses.
    used: RefCell<BTreeSet<String>>,
}

const PURPOSE: Purpose = Purpose {
    what: "in which rooms are remembered",
    shared: "two runs would use the same rooms",
    instead: " (population.kept_rooms names another file)",
};

impl Room {
    /// What the names of all rooms that one run made begin with.
    pub fn prefix(&self) -> &str {
        self.name.split(INFIX).next().unwrap_or(&self.name)
    }
}

/// The name of a room; the run's id has 36 letters.
pub(super) fn name(run: &str, room: u32) -> String {
    format!("wavesoak {}{INFIX}{room}", run.get(..8).unwrap_or(run))
}

const INFIX: &str = " room ";

impl Remembered {
    /// Takes hold of the file, making it when it is not there. What is gone is dropped from it.
    ///
    /// # Errors
    ///
    /// Another run has it, others may read it, or the system says no.
    pub fn open(path: &Path, target: &str) -> Result<Self, PrivateFileError> {
        let target = of_target(target);
        let mut own = BTreeMap::new();
        let lines = PrivateLines::open(path, PURPOSE, |lines| {
            let all = read(lines);
            let text = all.values().map(line).collect();
            own = all.into_values().filter(|room| room.target == target).map(by_name).collect();
            text
        })?;
        Ok(Self { target, lines: Some(lines), rooms: own.into(), used: RefCell::default() })
    }

    /// Looks into the file without taking hold of it.
    ///
    /// # Errors
    ///
    /// Others may read it, or the system says no.
    pub fn look(path: &Path, target: &str) -> Result<Vec<Room>, PrivateFileError> {
        let target = of_target(target);
        let lines = PrivateLines::look(path, PURPOSE)?;
        let all = read(lines.iter().map(String::as_str)).into_values();
        Ok(all.filter(|room| room.target == target).collect())
    }

    /// Remembers for as long as the run lasts.
    pub fn for_this_run(target: &str) -> Self {
        let target = of_target(target);
        Self { target, lines: None, rooms: RefCell::default(), used: RefCell::default() }
    }

    /// The target whose rooms these are.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Those that are not gone, by name; those of this run alone, if only they are wanted.
    pub fn rooms(&self, used_only: bool) -> Vec<Room> {
        let used = self.used.borrow();
        let wanted = |room: &&Room| !used_only || used.contains(&room.name);
        self.rooms.borrow().values().filter(wanted).cloned().collect()
    }

    /// A room that is there, for these members, and that this run does not use yet; from now on it does.
    pub(super) fn take(&self, tenant_id: &str, room_type: &str, members: &str) -> Option<Room> {
        let mut used = self.used.borrow_mut();
        let rooms = self.rooms.borrow();
        let fits = |room: &&Room| {
            room.state == State::Made
                && (room.tenant_id.as_str(), room.room_type.as_str()) == (tenant_id, room_type)
                && room.members == members
                && !used.contains(&room.name)
        };
        let room = rooms.values().find(fits)?.clone();
        used.insert(room.name.clone());
        Some(room)
    }

    /// Writes down what has become of a room of this run; `false`: it could not be written.
    pub(super) fn tell(&self, room: Room) -> bool {
        let written = self.lines.as_ref().is_none_or(|lines| lines.write(&line(&room)));
        if room.state == State::Gone {
            self.rooms.borrow_mut().remove(&room.name);
        } else {
            self.used.borrow_mut().insert(room.name.clone());
            self.rooms.borrow_mut().insert(room.name.clone(), room);
        }
        written
    }
}

/// One target has one spelling, as far as that can be told from its URL.
fn of_target(url: &str) -> String {
    url.trim_end_matches('/').to_ascii_lowercase()
}

fn line(room: &Room) -> String {
    let mut text = serde_json::to_string(room).expect("plain texts are JSON");
    text.push('\n');
    text
}

/// What has become of every room last, by target and name; what is gone, and lines that are none, are left out.
fn read<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<(String, String), Room> {
    let mut rooms = BTreeMap::new();
    for room in lines.filter_map(|line| serde_json::from_str::<Room>(line).ok()) {
        let key = (room.target.clone(), room.name.clone());
        if room.state == State::Gone {
            rooms.remove(&key);
        } else {
            rooms.insert(key, room);
        }
    }
    rooms
}

fn by_name(room: Room) -> (String, Room) {
    (room.name.clone(), room)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "https://chat.example.com";

    fn room(number: u32, state: State) -> Room {
        Room {
            target: TARGET.to_owned(),
            name: name("3f2a77c1-0000", number),
            state,
            tenant_id: "t".to_owned(),
            room_type: "public".to_owned(),
            members: "m".to_owned(),
            maker: "p".to_owned(),
            room_id: (state == State::Made).then(|| format!("r{number}")),
        }
    }

    #[test]
    fn what_is_there_is_taken_once_and_by_those_it_was_made_for() {
        let remembered = Remembered::for_this_run(TARGET);
        for number in 0..2 {
            assert!(remembered.tell(room(number, State::Asked)));
            assert!(remembered.tell(room(number, State::Made)));
        }
        assert_eq!(remembered.take("t", "public", "m"), None, "this run uses them already");
        remembered.used.borrow_mut().clear();
        assert_eq!(remembered.take("t", "public", "others"), None);
        assert_eq!(remembered.take("t", "incognito", "m"), None);
        assert_eq!(remembered.take("u", "public", "m"), None);
        let taken = [(); 3].map(|()| remembered.take("t", "public", "m").and_then(|room| room.room_id));
        assert_eq!(taken, [Some("r0".to_owned()), Some("r1".to_owned()), None]);
    }

    #[test]
    fn the_file_keeps_what_is_not_gone_of_every_target() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("people.csv.rooms");
        let first = Remembered::open(&path, "https://Chat.example.com/").expect("made");
        assert!(first.tell(room(0, State::Made)) && first.tell(room(1, State::Asked)));
        assert!(first.tell(room(2, State::Made)) && first.tell(room(2, State::Gone)));
        let locked = Remembered::open(&path, TARGET).expect_err("held").to_string();
        assert!(locked.contains("another run (or a cleanup) has locked"), "{locked}");
        drop(first);
        let other = Remembered::open(&path, "http://localhost:1").expect("there");
        assert_eq!(other.rooms(false), []);
        assert!(other.tell(Room { target: other.target().to_owned(), ..room(5, State::Made) }));
        drop(other);
        let again = Remembered::open(&path, TARGET).expect("there");
        assert_eq!(again.rooms(false), [room(0, State::Made), room(1, State::Asked)]);
        assert_eq!((again.rooms(true).len(), again.rooms(false)[0].prefix()), (0, "wavesoak 3f2a77c1"));
    }
}
