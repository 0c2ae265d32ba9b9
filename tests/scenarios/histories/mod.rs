//! Random histories: the ledger alone, told what no sane network would do, against the same oracle.
//!
//! A random plan can only show what the simulated target does. Here a history is drawn directly: what sessions may
//! report by their contract, and any server behind it: events that come late, twice, out of order, on the wrong
//! connection, at the wrong client; pages that omit, repeat and skip; cursors that stand still, jump or go back;
//! publishes that are stored without an answer, rejected and delivered all the same, or stored twice; sweeps whenever.
//!
//! ```text
//! WAVESOAK_SEED=0 WAVESOAK_HISTORIES=100000 cargo test --release --test scenarios random_histories -- --nocapture
//! ```

mod clients;
mod draw;
mod publishing;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use wavesoak::collector::ledger::{Ledger, Rules, Word};
use wavesoak::plan::Population;
use wavesoak::profile::{BridgeOrder, Profile};
use wavesoak::session::{Observation, Order};
use wavesoak::simulator::trace::{Step, Store, Trace, What};
use wavesoak::time::Timestamp;

use crate::asked::{asked, over_numbers, say};
use crate::compare::{counts, unbalanced};
use crate::oracle::{self, Judged, Key};
use crate::play::parse;

use clients::Client;
use draw::{Draw, Mischief};
use publishing::Publishing;
use server::Server;

/// Histories played where nothing else is asked for.
const HISTORIES: u64 = 3_000;

#[test]
fn random_histories() {
    let first = asked("WAVESOAK_SEED").unwrap_or(0);
    let histories = asked("WAVESOAK_HISTORIES").unwrap_or(HISTORIES);
    let threads = asked("WAVESOAK_THREADS").unwrap_or(1);
    let (numbers, apart) = (first..first + histories, SetApart::default());
    let (failed, took) = over_numbers(numbers.clone(), threads, |number| {
        disagreements(number, STEPS, &apart).is_some_and(|wrong| !wrong.is_empty())
    });
    let count = failed.len();
    say(&format!(
        "random histories: {histories} histories, {count} disagreements, {apart}, seeds {numbers:?}, {took:.1?}"
    ));
    if let Some(&number) = failed.first() {
        show(number);
    }
    assert!(failed.is_empty(), "the ledger and the oracle disagree on the histories {failed:?}");
}

/// Steps of a history; the first so many of a longer one are a history of their own.
const STEPS: u32 = 400;

/// What is judged less strictly than the rest, or not at all.
#[derive(Debug, Default)]
struct SetApart {
    /// Histories in which the ledger had to let go of something for its bounds: they are not judged.
    beyond_bounds: AtomicU64,
    /// Histories in which something came of an event that the ledger had forgotten: they are not judged either.
    with_old_news: AtomicU64,
    /// Histories with vague events, and how often a client had to do with one.
    with_vague: AtomicU64,
    vague: AtomicU64,
}

impl fmt::Display for SetApart {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [beyond, old_news, histories, vague] =
            [&self.beyond_bounds, &self.with_old_news, &self.with_vague, &self.vague]
                .map(|count| count.load(Ordering::Relaxed));
        write!(
            to,
            "set apart: {beyond} beyond the ledger's bounds, {old_news} with old news, {vague} vague events in {histories}"
        )
    }
}

/// The shortest beginning of the history that still fails, and what happened in it.
fn show(number: u64) {
    let wrong = |steps: u32| disagreements(number, steps, &SetApart::default()).unwrap_or_default();
    let steps = (1..=STEPS).find(|&steps| !wrong(steps).is_empty()).unwrap_or(STEPS);
    println!("\nhistory {number}, {steps} steps:\n  {}", wrong(steps).join("\n  "));
    println!(
        "repeat with: WAVESOAK_SEED={number} WAVESOAK_HISTORIES=1 cargo test --release --test scenarios random_histories -- --nocapture"
    );
    for Step { at, what } in &play(number, steps).trace.steps {
        println!("{:9.3} {what:?}", at.as_secs_f64());
    }
}

/// What ledger and oracle differ in; `None` when the ledger had to let go of something for its bounds.
fn disagreements(number: u64, steps: u32, apart: &SetApart) -> Option<Vec<String>> {
    let world = play(number, steps);
    if !world.ledger.refused().is_empty() {
        let only_old_news = world.ledger.refused().keys().eq(["ledger_old_news"].iter());
        let count = if only_old_news { &apart.with_old_news } else { &apart.beyond_bounds };
        count.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    let judged = oracle::judge(&world.profile, &world.trace);
    let vague = world.vague(&judged);
    if !vague.is_empty() {
        apart.with_vague.fetch_add(1, Ordering::Relaxed);
        apart.vague.fetch_add(vague.len() as u64, Ordering::Relaxed);
    }
    let mut found = Vec::new();
    for (tenant, deliveries) in (0..).zip(world.ledger.deliveries()) {
        let (mut told, mut should) = (counts(deliveries), counts(&judged.deliveries[tenant as usize]));
        found.extend(unbalanced(&told).filter(|name| !name.contains("stores")).map(str::to_owned));
        told.insert("double_stored".to_owned(), world.ledger.double_stored()[tenant as usize].into());
        should.insert("double_stored".to_owned(), judged.double_stored[tenant as usize].into());
        let vague = vague.iter().filter(|(client, _)| world.people.tenant_of(*client) == tenant).count();
        let differ = should.iter().filter(|(name, should)| !agree(name, &told[*name], should, vague as u64));
        found.extend(differ.map(|(name, should)| {
            format!("tenant {tenant}: {name}: the ledger has {}, the oracle {should}", told[name])
        }));
    }
    let should: BTreeMap<_, _> = judged.missed.iter().map(|(&at, missed)| (at, missed.place)).collect();
    for at in should.keys().chain(world.missed.keys()).collect::<BTreeSet<_>>() {
        let (told, should) = (world.missed.get(at), should.get(at));
        if told != should && !vague.contains(at) {
            found.push(format!("{at:?}: {should:?}, and for the ledger {told:?}"));
        }
    }
    found.extend(judged.positions.iter().map(|wrong| format!("the history itself is wrong: {wrong:?}")));
    Some(found)
}

/// Whether a count is right. Where so many events are vague, it may be wrong by as many, if it is one that depends on
/// where and when an event was missed.
fn agree(name: &str, told: &Value, should: &Value, vague: u64) -> bool {
    let [told, should] = [told, should].map(|count| count.as_u64().unwrap_or(0));
    match name {
        // A vague event that counts as arrived, and not as resurrected, is what later ones may be out of order with.
        "out_of_order" | "interleaved" if vague > 0 => true,
        "missed_after_bridging"
        | "undecided"
        | "missed_on_stream"
        | "missed_in_sync"
        | "missed_in_seam"
        | "missed_behind_cursor"
        | "missed_unplaced"
        | "resurrected"
        | "live"
        | "bridged"
        | "late_live"
        | "late_bridged"
        | "stream_omitted"
        | "below_cursor" => told.abs_diff(should) <= vague,
        _ => told == should,
    }
}

/// A history on its way.
struct World {
    now: Timestamp,
    draw: Draw,
    mischief: Mischief,
    profile: Profile,
    people: Population,
    ledger: Ledger,
    trace: Trace,
    clients: Vec<Client>,
    server: Server,
    publishing: Publishing,
    missed: BTreeMap<(u32, Key), &'static str>,
    /// Look-ups that the ledger wants: (room, n, when it is answered).
    look_ups: Vec<(u32, u32, Timestamp)>,
}

fn play(number: u64, steps: u32) -> World {
    let mut world = World::new(number);
    for _ in 0..steps {
        world.step();
    }
    world.finish();
    world
}

impl World {
    fn new(number: u64) -> Self {
        let mut draw = Draw::of(number);
        let mut profile = parse(PROFILE);
        profile.client.bridge = draw.pick(&[BridgeOrder::SyncFirst, BridgeOrder::StreamFirst]);
        profile.client.lateness_bound = draw.pick(&[50, 300, 1_000].map(Duration::from_millis));
        // A publish may end with any answer: the last one that there is ends it.
        (profile.traffic.send_attempts, profile.traffic.max_send_lateness) = (1, Duration::ZERO);
        profile.population.tenants = draw.pick(&[1, 1, 2]);
        profile.population.clients = profile.population.tenants * draw.pick(&[1, 2, 3]);
        profile.population.rooms_per_client = draw.pick(&[1, 2]);
        profile.population.rooms_per_tenant = Some(profile.population.rooms_per_client + draw.pick(&[0, 1]));
        let people = Population::new(&profile.population);
        let rules = Rules {
            lateness_bound: profile.client.lateness_bound,
            outcome_within: publishing::OUTCOME_WITHIN,
            window: 100_000,
            // In every other history what nobody waits for is forgotten on the way.
            remember: Duration::from_secs(draw.pick(&[5, 20, 1_000, 1_000])),
            sync_first: profile.client.bridge == BridgeOrder::SyncFirst,
        };
        let positions = vec![1; people.clients() as usize];
        Self {
            now: Timestamp::from_millis(10),
            mischief: Mischief::of(&mut draw),
            draw,
            ledger: Ledger::new(people.clone(), rules),
            trace: Trace {
                positions: positions.clone(),
                stores: vec![Store::default(); positions.len()],
                ..Trace::default()
            },
            clients: positions.iter().map(|&position| Client::at(position)).collect(),
            server: Server::new(&people),
            publishing: Publishing::new(&people),
            missed: BTreeMap::new(),
            look_ups: Vec::new(),
            people,
            profile,
        }
    }

    fn step(&mut self) {
        let pause = self.draw.pick(&[0, 1, 3, 20, 100, 400]);
        let until =
            self.now + Duration::from_millis(pause) + Duration::from_nanos(u64::from(self.draw.below(1000)));
        self.leaves_until(until);
        self.now = until;
        match self.draw.below(13) {
            0 | 1 => self.publish_something(),
            2 | 3 => self.publishing_goes_on(),
            4 => self.sweep(),
            5 => self.answer_look_ups(),
            6 => self.flush(),
            _ => {
                let client = self.draw.below(self.people.clients());
                self.client_goes_on(client);
            }
        }
        self.end_overdue_publishes();
    }

    /// The plan's leaves come to the nanosecond: the ledger was told when.
    fn leaves_until(&mut self, until: Timestamp) {
        while let Some((at, client)) = (0..)
            .zip(&self.clients)
            .filter_map(|(number, client)| Some((client.leaves_at?, number)))
            .min()
            .filter(|&(at, _)| at <= until)
        {
            self.now = at;
            self.leave(client);
        }
    }

    fn sweep(&mut self) {
        self.ledger.sweep(self.now);
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(word) = self.ledger.poll() {
            match word {
                Word::Missed(missed) => {
                    self.missed.insert((missed.client, (missed.room, missed.n)), missed.place.name());
                }
                Word::LookUp { room, n, .. } => {
                    let after = Duration::from_millis(u64::from(self.draw.below(1500)));
                    self.look_ups.push((room, n, self.now + after));
                }
                Word::Stray { .. } => {}
            }
        }
    }

    fn finish(&mut self) {
        self.ledger.sweep(self.now);
        self.note(What::BooksClosed);
        self.ledger.end_spans(self.now, |_| false);
        self.listen();
        // The network goes on when the books are closed.
        for _ in 0..20 {
            let client = self.draw.below(self.people.clients());
            self.client_goes_on(client);
        }
        self.end_all_publishes();
    }

    /// Clients with events of their rooms that are *vague*: acknowledged without a position. Until somebody tells it, such an
    /// event is judged by the range in which its position must lie (design.md). When it is told, it may turn out that
    /// another proof would have held, or that the gap was final earlier: the oracle, which asks when a span ends and at
    /// arrivals, and the ledger, which asks at sweeps as well, may then both be right.
    fn vague(&self, judged: &Judged) -> BTreeSet<(u32, Key)> {
        let members = |&key: &Key| self.people.members(key.0).map(move |client| (client, key));
        judged.vague.iter().flat_map(members).collect()
    }

    fn note(&mut self, what: What) {
        self.trace.steps.push(Step { at: self.now, what });
    }

    /// Tells the ledger what a session would.
    fn observe(&mut self, client: u32, observation: &Observation) {
        let (now, publishing) = (self.now, &self.publishing);
        let leaves_at = self.clients[client as usize].leaves_at;
        self.ledger.observe(now, client, observation, |room| publishing.first_from(room, now), || leaves_at);
    }

    fn order(&mut self, client: u32, order: Order) {
        self.note(What::Ordered { client, order });
    }
}

const PROFILE: &str =
    "name = \"history\"\n[[phase]]\nname = \"only\"\nduration = \"10s\"\nclients = \"100%\"\n";
