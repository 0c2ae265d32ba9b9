//! What the ledger costs: bytes on the heap per (client, room), and time per arrival.
//!
//! ```text
//! cargo bench --bench ledger                # 10,000 clients, a run and one ten times as long
//! cargo bench --bench ledger -- 2000        # as many clients as one likes
//! ```
//!
//! The ledger alone is played in virtual time, told what sessions and publishers would tell it. Between two readings of
//! the allocator nothing but the ledger keeps anything, so that the difference is the ledger's, to the byte (as asked
//! for; what malloc adds is not in it). It fails when a run ten times as long needs more, or when the bar is missed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use wavesoak::collector::collected::{Deliveries, sum};
use wavesoak::collector::ledger::{Ledger, Rules};
use wavesoak::generator::{Ended, Outcome};
use wavesoak::plan::Population;
use wavesoak::profile;
use wavesoak::session::{Arrival, Cause, Channel, ConnectionInfo, Observation};
use wavesoak::time::Timestamp;
use wavesoak::wire::{Position, Stamp, id_hash};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Virtual seconds of a run; one event a second in each room.
const SECONDS: u32 = 300;
/// A run may need this much more when it is ten times as long.
const FLAT: f64 = 1.02;
/// Tens of bytes for each client and room, whatever the length of the run: the rest is what is known of the events, which
/// all members of a room share.
const BAR_OWN_BYTES: f64 = 100.0;

fn main() -> ExitCode {
    // Without cargo bench's own word it is run as a test: only to see that it runs.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = words.iter().any(|word| word == "--bench");
    let asked = words.iter().find_map(|word| word.parse().ok());
    let (clients, seconds) = (asked.unwrap_or(if is_bench { 10_000 } else { 200 }), SECONDS);
    println!(
        "| traffic | clients | rooms a client | length | events | arrivals | bytes per (client, room) | its own \
         | its share of the events | ns per arrival | x10 / x1 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut good = true;
    for traffic in [Traffic::InOrder, Traffic::Lost, Traffic::Bridged] {
        let once = play(traffic, clients, seconds);
        once.print("");
        let long = play(traffic, clients, if is_bench { seconds * 10 } else { seconds });
        let ratio = long.bytes as f64 / once.bytes as f64;
        long.print(&format!("{ratio:.3}"));
        good &= ratio <= FLAT && (traffic != Traffic::InOrder || long.own_bytes() <= BAR_OWN_BYTES);
    }
    if !is_bench || good {
        ExitCode::SUCCESS
    } else {
        eprintln!("not flat, or more than {BAR_OWN_BYTES} bytes of its own per (client, room) in order");
        ExitCode::FAILURE
    }
}

/// What happens to events on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    /// Every event comes, in order.
    InOrder,
    /// One in a hundred never comes.
    Lost,
    /// In one second of a hundred each client is down; a bridge brings what it missed then.
    Bridged,
}

/// What a run came to.
struct Cost {
    traffic: Traffic,
    people: Population,
    seconds: u32,
    arrivals: u64,
    /// The most at any second.
    bytes: u64,
    /// Of a ledger of the same rooms and events in which there is nobody.
    shared: u64,
    took: Duration,
}

impl Cost {
    fn pairs(&self) -> f64 {
        f64::from(self.people.clients()) * f64::from(self.people.rooms_per_client())
    }

    /// Per (client, room), without what all members of a room share.
    fn own_bytes(&self) -> f64 {
        (self.bytes - self.shared) as f64 / self.pairs()
    }

    fn print(&self, ratio: &str) {
        let Self { traffic, people, seconds, arrivals, .. } = self;
        println!(
            "| {} | {} | {} | {seconds} s | {} | {arrivals} | {:.0} | {:.0} | {:.0} | {:.0} | {ratio} |",
            match traffic {
                Traffic::InOrder => "in order",
                Traffic::Lost => "1 % lost for good",
                Traffic::Bridged => "1 % lost, then bridged",
            },
            people.clients(),
            people.rooms_per_client(),
            u64::from(*seconds) * u64::from(people.rooms()),
            self.bytes as f64 / self.pairs(),
            self.own_bytes(),
            self.shared as f64 / self.pairs(),
            self.took.as_nanos() as f64 / *arrivals as f64,
        );
    }
}

fn on_the_heap() -> u64 {
    HEAP.current_usage() as u64
}

fn play(traffic: Traffic, clients: u32, seconds: u32) -> Cost {
    let people = population(clients);
    let shared = Run::new(&people, Traffic::InOrder).play(seconds, false).0;
    let (bytes, run, took) = Run::new(&people, traffic).play(seconds, true);
    run.check(traffic);
    let arrivals = run.arrivals;
    Cost { traffic, people, seconds, arrivals, bytes, shared, took }
}

/// Ten tenants, fifty members a room, two rooms a client.
fn population(clients: u32) -> Population {
    Population::new(&profile::Population {
        tenants: 10,
        clients,
        members_per_room: 50,
        rooms_per_tenant: None,
        rooms_per_client: 2,
        ..profile::Population::default()
    })
}

struct Run {
    before: u64,
    people: Population,
    /// The members of each room.
    members: Vec<Vec<u32>>,
    ledger: Ledger,
    traffic: Traffic,
    /// The next position of each tenant.
    next: Vec<Position>,
    /// The position of each client.
    positions: Vec<Position>,
    arrivals: u64,
}

/// An event that was published in this second.
#[derive(Clone, Copy)]
struct Event {
    room: u32,
    stamp: Stamp,
    position: Position,
    id: u64,
}

impl Run {
    fn new(people: &Population, traffic: Traffic) -> Self {
        let members = (0..people.rooms()).map(|room| people.members(room).collect()).collect();
        let (next, positions) = (vec![1; people.tenants() as usize], vec![1; people.clients() as usize]);
        let rules = Rules {
            lateness_bound: Duration::from_secs(5),
            outcome_within: Duration::from_secs(46),
            window: 65_536,
            // As the collector has it: lateness bounds, outcome and some time.
            remember: Duration::from_secs(86),
            sync_first: true,
        };
        let people = people.clone();
        let before = on_the_heap();
        let ledger = Ledger::new(people.clone(), rules);
        Self { before, ledger, people, members, traffic, next, positions, arrivals: 0 }
    }

    /// The most that the ledger had on the heap after any second, the run, and how long it took.
    #[expect(clippy::disallowed_methods, reason = "a bench asks how long it took")]
    fn play(mut self, seconds: u32, with_clients: bool) -> (u64, Self, Duration) {
        let (mut most, began) = (0, Instant::now());
        let mut events = Vec::with_capacity(self.people.rooms() as usize);
        // What the run itself has is not the ledger's.
        let own = on_the_heap();
        let ledger = own - self.before - (events.capacity() * size_of::<Event>()) as u64;
        for second in 1..=seconds {
            let now = Timestamp::from_secs(u64::from(second));
            if with_clients {
                if second == 1 {
                    (0..self.people.clients()).for_each(|client| self.hello(now, client));
                }
                (0..self.people.clients()).for_each(|client| self.go_down(now, client, second));
            }
            events.clear();
            (0..self.people.rooms()).for_each(|room| events.push(self.publish(now, room, second)));
            if with_clients {
                events.iter().for_each(|event| self.deliver(now, *event, second));
                (0..self.people.clients()).for_each(|client| self.come_back(now, client, second, &events));
            }
            // Everybody's position is flushed once a second.
            for (client, &position) in (0..).zip(&self.positions) {
                self.ledger.stored(client, position);
            }
            self.ledger.sweep(now + Duration::from_millis(900));
            while self.ledger.poll().is_some() {}
            most = most.max(ledger + on_the_heap() - own);
        }
        (most, self, began.elapsed())
    }

    fn publish(&mut self, now: Timestamp, room: u32, second: u32) -> Event {
        let (n, tenant) = (second - 1, self.people.tenant_of_room(room) as usize);
        self.next[tenant] += 1;
        let position = self.next[tenant];
        self.ledger.issue(room, n);
        self.ledger.sending(room, n);
        let id = format!("{room:08x}-0000-4000-8000-{n:012x}");
        let hash = id_hash(&id);
        let outcome = Outcome::Acknowledged { id: Some(id.into()), position: Some(position) };
        let publisher = self.members[room as usize][0];
        let ended =
            Ended { room, n: Some(n), publisher, due: now, sent: Some(now), outcome, own_fault: false };
        self.ledger.ended(now + Duration::from_millis(5), &ended);
        Event { room, stamp: Stamp { room, n: Some(n), due: now, sent: now }, position, id: hash }
    }

    fn deliver(&mut self, now: Timestamp, event: Event, second: u32) {
        for index in 0..self.members[event.room as usize].len() {
            let client = self.members[event.room as usize][index];
            let lost = match self.traffic {
                Traffic::InOrder => false,
                Traffic::Lost => is_one_in_a_hundred(client, event.room, second),
                Traffic::Bridged => is_down(client, second),
            };
            if !lost {
                self.arrive(now + Duration::from_millis(10), client, event, Channel::Stream { late: false });
            }
        }
    }

    fn arrive(&mut self, now: Timestamp, client: u32, event: Event, channel: Channel) {
        let held = &mut self.positions[client as usize];
        if matches!(channel, Channel::Stream { .. }) {
            *held = event.position.max(*held);
        }
        let arrival = Arrival {
            channel,
            stamp: Some(event.stamp),
            position: Some(event.position),
            id: event.id,
            room: 0,
            client_position: *held,
        };
        self.ledger.arrived(now, client, &arrival);
        self.arrivals += 1;
    }

    fn go_down(&mut self, now: Timestamp, client: u32, second: u32) {
        if self.traffic == Traffic::Bridged && is_down(client, second) {
            self.tell(
                now,
                client,
                &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true },
            );
        }
    }

    fn come_back(&mut self, now: Timestamp, client: u32, second: u32, events: &[Event]) {
        if self.traffic != Traffic::Bridged || !is_down(client, second) {
            return;
        }
        let (now, since) = (now + Duration::from_millis(500), self.positions[client as usize]);
        self.tell(now, client, &Observation::BridgeBegan { position: since, poll: false });
        self.tell(now, client, &Observation::SyncSent { since });
        let rooms: Vec<u32> = self.people.rooms_of(client).collect();
        let last = rooms.iter().map(|&room| events[room as usize].position).max();
        let page = Observation::SyncPage { took: Duration::ZERO, next_cursor: last, regressed: false };
        self.tell(now, client, &page);
        for room in rooms {
            self.arrive(now, client, events[room as usize], Channel::Sync { since });
        }
        self.positions[client as usize] = last.unwrap_or(since);
        let over = Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll: false };
        self.tell(now, client, &over);
        self.hello(now + Duration::from_millis(50), client);
    }

    fn hello(&mut self, now: Timestamp, client: u32) {
        let info = ConnectionInfo {
            session_id: Some("9f1c2b7e-5a44-4d0e-9f53-3f1f6f6f0a11".into()),
            server_name: Some("scaiwave-api-7c9d6b5f4-x2x9q".into()),
            tenant_id: Some("0d9a3c1e-8e7b-4b52-a1a5-2f6d1c0b9e77".into()),
            slow: false,
        };
        let (position, took) = (self.positions[client as usize], Duration::ZERO);
        self.tell(now, client, &Observation::Hello { position, took, info: Box::new(info) });
        self.tell(now, client, &Observation::Ready);
    }

    fn tell(&mut self, now: Timestamp, client: u32, fact: &Observation) {
        self.ledger.observe(now, client, fact, |_| 0, || None);
    }

    /// The books of what was played: a bench of something else would be no bench.
    fn check(&self, traffic: Traffic) {
        let Deliveries { live, bridged, missed_after_bridging: missed, .. } = sum(self.ledger.deliveries());
        let share = |part: u64| part as f64 / (live + bridged + missed) as f64;
        let (bridged, missed) = (share(bridged), share(missed));
        match traffic {
            Traffic::InOrder => assert_eq!((bridged, missed), (0.0, 0.0)),
            Traffic::Lost => assert!(bridged == 0.0 && (0.008..0.012).contains(&missed), "{missed}"),
            Traffic::Bridged => assert!((0.008..0.012).contains(&bridged) && missed == 0.0, "{bridged}"),
        }
        assert!(self.ledger.refused().is_empty(), "{:?}", self.ledger.refused());
    }
}

fn is_down(client: u32, second: u32) -> bool {
    (client + second) % 100 == 99
}

fn is_one_in_a_hundred(client: u32, room: u32, second: u32) -> bool {
    let mixed = u64::from(client) << 40 ^ u64::from(room) << 20 ^ u64::from(second);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 100 == 0
}
