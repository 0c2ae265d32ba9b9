//! Putting rooms away: archived, or where that is refused, left by everybody, their maker last.

use std::collections::HashMap;

use super::super::api;
use super::super::http::Call;
use super::job::{Failed, Job, Note};
use super::made::members;
use super::remembered::{Remembered, Room, State};
use super::{Paces, ProvisionError};
use crate::wire::Registered;

/// What became of the rooms.
#[derive(Debug, Default)]
pub struct PutAway {
    /// Archived.
    pub archived: usize,
    /// Archiving was refused, and everybody of the plan has left.
    pub left: usize,
    /// The target did not have them any more.
    pub gone: usize,
    /// Neither could be done: name or id, and why.
    pub refused: Vec<(String, String)>,
    /// Names of rooms that were asked for and whose answer never came: whether they exist, nothing can tell.
    pub unknown: Vec<String>,
}

/// What could be done with one room.
enum Done {
    Archived,
    Left,
    Gone,
    Refused(String),
}

impl PutAway {
    /// Lines for people: how many, and each that is still there.
    pub fn told(&self) -> Vec<String> {
        let Self { archived, left, gone, refused, unknown } = self;
        let mut lines = vec![format!(
            "rooms put away: {archived} archived, {left} left by everybody, {gone} already gone, {} refused, {} unknown",
            refused.len(),
            unknown.len()
        )];
        lines.extend(refused.iter().map(|(room, why)| format!("still there: {room}: {why}")));
        lines.extend(unknown.iter().map(|name| {
            format!("perhaps there: \"{name}\" was asked for, and the answer never came; the API cannot look it up, and it \
                 is forgotten now")
        }));
        lines
    }

    /// Nothing of a run is left, as far as anybody knows.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.unknown.is_empty()
    }
}

/// Puts these rooms away, and writes down which are gone.
pub(super) async fn put_away(
    job: &Job<'_>,
    registered: &[Registered],
    remembered: &Remembered,
    rooms: &[Room],
    paces: Paces,
    note: &mut Note<'_>,
) -> Result<PutAway, ProvisionError> {
    let people = People::new(job, registered);
    let one = |index: u32| {
        let room = &rooms[index as usize];
        let people = &people;
        async move {
            match &room.room_id {
                Some(id) => Ok(Some(people.put_away(room, id).await)),
                None => Ok(None),
            }
        }
    };
    let done = job.all("putting rooms away", paces.rooms, rooms.len() as u32, note, one).await?;
    let mut put_away = PutAway::default();
    for (room, done) in rooms.iter().zip(done) {
        let named = || format!("\"{}\" ({})", room.name, room.room_id.as_deref().unwrap_or_default());
        match done {
            Some(Done::Archived) => put_away.archived += 1,
            Some(Done::Left) => put_away.left += 1,
            Some(Done::Gone) => put_away.gone += 1,
            Some(Done::Refused(why)) => {
                put_away.refused.push((named(), why));
                continue;
            }
            // Told once, and then forgotten: nothing can be done about it.
            None => put_away.unknown.push(room.name.clone()),
        }
        if !remembered.tell(Room { state: State::Gone, ..room.clone() }) {
            return Err(ProvisionError::Unremembered(room.name.clone()));
        }
    }
    Ok(put_away)
}

/// The identities at hand, by what the server calls them.
struct People<'a> {
    job: &'a Job<'a>,
    by_participant: HashMap<&'a str, u32>,
    /// Rooms of the plan by those who stand for their members.
    by_members: HashMap<String, u32>,
}

impl<'a> People<'a> {
    fn new(job: &'a Job<'a>, registered: &'a [Registered]) -> Self {
        let own = (0..).zip(registered).map(|(client, own)| (&*own.participant_id, client));
        let rooms = 0..job.population.rooms();
        let by_members = rooms.map(|room| (members(job.population, registered, room), room)).collect();
        Self { job, by_participant: own.collect(), by_members }
    }

    async fn put_away(&self, room: &Room, id: &str) -> Done {
        let planned = self.by_members.get(&room.members).copied();
        let members: Vec<u32> =
            planned.map_or_else(Vec::new, |room| self.job.population.members(room).collect());
        let maker = self.by_participant.get(&*room.maker).copied().or_else(|| members.first().copied());
        let Some(maker) = maker else {
            return Done::Refused(format!(
                "nobody of this profile's identities made it: participant {} did",
                room.maker
            ));
        };
        let path = api::archive(id);
        let refused = match self.job.try_to(maker, true, || Call::post(&path, "{}")).await {
            Ok(_) => return Done::Archived,
            Err(failed) if failed.is("SW_ROOM_FROZEN") => return Done::Archived,
            Err(failed) if failed.is_of_a_room_that_is_gone() => return Done::Gone,
            Err(failed @ (Failed::Unanswered(_) | Failed::Unreadable)) => {
                return Done::Refused(failed.to_string());
            }
            Err(failed) => failed,
        };
        if planned.is_none() {
            return Done::Refused(format!(
                "archiving it as {}: {refused}; and who else is in it, this profile does not say",
                self.job.who(maker)
            ));
        }
        // The maker last: until then somebody is there who may do something about the room.
        let others = members.iter().copied().filter(|&client| client != maker);
        for client in others.chain([maker]) {
            if let Err(failed) = self.leave(client, id).await {
                let who = self.job.who(client);
                return Done::Refused(format!(
                    "archiving it as {}: {refused}; leaving it as {who}: {failed}",
                    self.job.who(maker)
                ));
            }
        }
        Done::Left
    }

    async fn leave(&self, client: u32, id: &str) -> Result<(), Failed> {
        let path = api::leave(id);
        match self.job.try_to(client, true, || Call::post(&path, "{}")).await {
            Err(failed) if !failed.is("SW_NOT_MEMBER") => Err(failed),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use http::header::HeaderValue;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;
    use uuid::Uuid;

    use super::super::remembered::name;
    use super::super::tests::population;
    use super::*;
    use crate::driver::clock::Clock;
    use crate::driver::cookies::Cookies;
    use crate::driver::endpoint::Endpoint;
    use crate::driver::line::Line;
    use crate::driver::minter::Minter;
    use crate::driver::strain::Probe;
    use crate::driver::tokens::{Source, Tokens};
    use crate::plan::Population;
    use crate::secret::Secret;

    const REFUSED: &str = "403 Forbidden";

    /// A server that answers each path with a status of the script, and its requests: (path, client).
    async fn server(script: fn(&str) -> (&'static str, &'static str)) -> (String, Rc<RefCell<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&asked);
        spawn_local(async move {
            loop {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let mut request = vec![0; 8192];
                let read = socket.read(&mut request).await.expect("a request");
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).expect("a path").to_owned();
                let (status, code) = script(&path);
                seen.borrow_mut().push(path);
                let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"\"}}}}");
                let answer = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.expect("an open connection");
            }
        });
        (url, asked)
    }

    async fn line(url: &str, population: &Population) -> Line {
        let (clock, agent) = (Clock::start(), HeaderValue::from_static("wavesoak/0 (test)"));
        let life = Duration::from_secs(3600);
        let clients = population.clients();
        let minter =
            Minter::new(&Secret::new("key"), Uuid::nil(), population.clone(), clock.epoch_unix_s(), life);
        let endpoint = Rc::new(Endpoint::parse(url).expect("a good URL"));
        endpoint.resolve().await.expect("an address");
        Line {
            clock,
            agent: agent.clone(),
            endpoints: vec![endpoint],
            tokens: Rc::new(Tokens::new(clock, Source::Minted(minter), agent, life, clients)),
            probe: Rc::new(Probe::new(clock.now())),
            cookies: RefCell::new(vec![Cookies::default(); clients as usize]),
            names_pods: crate::driver::line::NamesPods::default(),
            read_buffer: RefCell::default(),
            connect_deadline: life,
            sync_deadline: life,
        }
    }

    /// Two rooms of two members each, made by participant `maker`, and one whose making was never answered.
    fn put_away_with(
        maker: &str,
        script: fn(&str) -> (&'static str, &'static str),
    ) -> (PutAway, Vec<String>, Vec<Room>) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let people = population(1, 2);
            let registered: Vec<Registered> =
                ["p0", "p1"].map(|id| Registered { participant_id: id.into(), tenant_id: "t".into() }).into();
            let remembered = Remembered::for_this_run("x");
            for room in 0..3 {
                let made = room < 2;
                assert!(remembered.tell(Room {
                    target: "x".to_owned(),
                    name: name("3f2a77c1-0000", room),
                    state: if made { State::Made } else { State::Asked },
                    tenant_id: "t".to_owned(),
                    room_type: "public".to_owned(),
                    members: members(&people, &registered, room % people.rooms()),
                    maker: maker.to_owned(),
                    room_id: made.then(|| format!("r{room}")),
                }));
            }
            let (url, asked) = server(script).await;
            let line = line(&url, &people).await;
            let job = Job::new(&line, &people, Uuid::nil());
            let rooms = remembered.rooms(false);
            let note = &mut |_: &str| ();
            let done = put_away(&job, &registered, &remembered, &rooms, Paces::default(), note).await;
            let asked = asked.borrow().clone();
            (done.expect("it can be written down"), asked, remembered.rooms(false))
        })
    }

    #[test]
    fn a_room_that_cannot_be_archived_is_left_by_everybody() {
        let script = |path: &str| {
            if path.ends_with("/archive") {
                (REFUSED, "SW_AUTH_INSUFFICIENT_PERMISSION")
            } else {
                ("200 OK", "")
            }
        };
        let (done, asked, rest) = put_away_with("p1", script);
        assert_eq!((done.archived, done.left, done.refused.len()), (0, 2, 0));
        assert_eq!(asked.iter().filter(|path| path.as_str() == "/v1/rooms/r0/leave").count(), 2);
        assert_eq!(done.unknown, ["wavesoak 3f2a77c1 room 2"]);
        assert!(!done.is_complete() && rest.is_empty(), "told once");
    }

    #[test]
    fn what_can_be_neither_archived_nor_left_is_named_and_stays_remembered() {
        let script = |path: &str| match path {
            "/v1/rooms/r1/archive" => ("404 Not Found", "SW_ROOM_NOT_FOUND"),
            _ => (REFUSED, "SW_AUTH_INSUFFICIENT_PERMISSION"),
        };
        let (done, _, rest) = put_away_with("p0", script);
        assert_eq!((done.gone, done.left, done.refused.len(), rest.len()), (1, 0, 1, 1));
        let told = done.told().join("\n");
        assert!(
            told.contains("still there: \"wavesoak 3f2a77c1 room 0\" (r0): archiving it as ws-000000"),
            "{told}"
        );
        assert!(told.contains("leaving it as ws-000001: SW_AUTH_INSUFFICIENT_PERMISSION (403)"), "{told}");
    }

    #[test]
    fn a_room_that_somebody_has_frozen_already_is_away() {
        let (done, asked, rest) = put_away_with("p0", |_| ("409 Conflict", "SW_ROOM_FROZEN"));
        assert_eq!((done.archived, asked.len(), rest.len()), (2, 2, 0));
    }
}
