//! What the streams of a vigil say about time: how regularly pings come, which silences were survived, and by which rule
//! streams ended (pure).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::probe::drops::{self, Rule};
use crate::probe::ending_words;
use crate::probe::lifetimes::Cluster;
use crate::probe::tape::{Survived, Tape};
use crate::probe::vigil::Vigil;
use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN};

/// Who does what, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Streams in a room in which nobody publishes.
    pub quiet: Vec<u32>,
    /// Likewise, and they ping by themselves.
    pub pinging: Vec<u32>,
    /// Streams in a room in which somebody publishes all the time.
    pub loaded: Vec<u32>,
    /// Likewise, and they answer no ping.
    pub mute: Vec<u32>,
    /// Long polls, and no stream.
    pub pollers: Vec<u32>,
    /// Who publishes.
    pub speaker: u32,
}

impl Groups {
    /// Of the members of the quiet room and of the other, in which the first one speaks. A third of the quiet ones poll, a
    /// third of the rest ping; a sixth of the others is mute.
    pub fn of(quiet: &[u32], others: &[u32]) -> Self {
        let (speaker, others) = others.split_first().map_or((0, others), |(first, rest)| (*first, rest));
        let (streams, pollers) = quiet.split_at(quiet.len() - (quiet.len() / 3).max(1).min(quiet.len()));
        let (loaded, mute) = others.split_at(others.len() - (others.len() / 6).max(1).min(others.len()));
        let by_turns = |pings: bool| {
            let own = streams.iter().enumerate().filter(|(index, _)| (index % 3 == 1) == pings);
            own.map(|(_, client)| *client).collect()
        };
        Self {
            quiet: by_turns(false),
            pinging: by_turns(true),
            loaded: loaded.to_vec(),
            mute: mute.to_vec(),
            pollers: pollers.to_vec(),
            speaker,
        }
    }
}

/// Times of one kind, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cadence {
    /// How many.
    pub count: usize,
    /// The shortest.
    pub min_s: f64,
    /// The median.
    pub p50_s: f64,
    /// Of a hundred, the second longest.
    pub p99_s: f64,
    /// The longest.
    pub max_s: f64,
}

impl Cadence {
    /// `None`: there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let rank = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.max(1) - 1).copied().map(seconds)
        };
        Some(Self {
            count: times.len(),
            min_s: rank(0.0)?,
            p50_s: rank(0.5)?,
            p99_s: rank(0.99)?,
            max_s: rank(1.0)?,
        })
    }
}

/// To a millisecond, for nobody measures better.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connection {
    /// Number of its identity.
    pub client: u32,
    /// `quiet`, `pinging`, `loaded` or `mute`.
    pub manner: &'static str,
    /// `server_name` of hello.
    pub server: String,
    /// Pings of the server.
    pub pings: usize,
    /// The longest time without one, also before the first and, on a stream that lived, after the last; null: none came.
    pub worst_gap_s: Option<f64>,
    /// From upgrade to end, or to the end of listening.
    pub lived_s: f64,
    /// How it ended; null: we left.
    pub ended: Option<String>,
}

/// All that streams said.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Gaps between pings where nobody publishes.
    pub quiet: Option<Cadence>,
    /// And where somebody does, all the time.
    pub loaded: Option<Cadence>,
    /// The worst of all; `None`: no ping came on any stream.
    pub worst_gap: Option<Duration>,
    /// Every stream, in the order of identities and times.
    pub connections: Vec<Connection>,
    /// The longest silences that any of them survived.
    pub survived: Survived,
    /// By which rule quiet streams ended.
    pub(crate) rule: Rule,
    /// Streams that were talked to ended after this time without a word of theirs.
    pub(crate) one_way: Option<Cluster>,
    /// How quiet streams ended while we listened.
    pub endings: BTreeMap<String, usize>,
    /// After which time since their upgrade.
    pub lifetimes: Option<Cadence>,
    /// The same of streams that were talked to.
    pub loaded_endings: BTreeMap<String, usize>,
    /// A client that answered no ping was closed with 4003 so long after its upgrade; the longest of those.
    pub server_patience: Option<Duration>,
    /// How mute clients ended otherwise; empty: none did.
    pub mute_endings: BTreeMap<String, usize>,
    /// For how long a mute client was kept at the most.
    pub mute_kept: Duration,
}

impl Streams {
    /// Of everything that was heard.
    pub fn of(vigil: &Vigil, groups: &Groups) -> Self {
        let undisturbed = vigil.of(&[groups.quiet.as_slice(), &groups.pinging].concat());
        let talked_to = vigil.of(&[groups.loaded.as_slice(), &groups.mute].concat());
        let (quiet, loaded) = (vigil.of(&groups.quiet), vigil.of(&groups.loaded));
        let mute = vigil.of(&groups.mute);
        let gaps = |vigil: &Vigil| -> Vec<Duration> { vigil.tapes().flat_map(Tape::ping_gaps).collect() };
        let closed = |tape: &&Tape| tape.close_code() == Some(CLOSE_ABORTED);
        Self {
            quiet: Cadence::of(gaps(&undisturbed)),
            loaded: Cadence::of(gaps(&talked_to)),
            worst_gap: vigil.tapes().filter_map(worst_gap).max(),
            connections: connections(vigil, groups),
            survived: vigil.tapes().map(|tape| tape.survived).reduce(Survived::or).unwrap_or_default(),
            rule: drops::rule(&undisturbed),
            one_way: one_way(&loaded, &vigil.of(&groups.pinging)),
            endings: endings(&quiet),
            lifetimes: Cadence::of(dropped(&quiet).map(Tape::age).collect()),
            loaded_endings: endings(&loaded),
            server_patience: mute.tapes().filter(closed).map(Tape::age).max(),
            mute_endings: endings(&mute),
            mute_kept: mute.tapes().map(Tape::age).max().unwrap_or_default(),
        }
    }
}

/// Those that ended while we listened, and not because the server had something against their client.
fn dropped(vigil: &Vigil) -> impl Iterator<Item = &Tape> {
    let until = vigil.until;
    vigil.tapes().filter(move |tape| {
        let in_time = tape.end.as_ref().is_some_and(|(at, _)| *at < until);
        in_time && !matches!(tape.close_code(), Some(CLOSE_INVALID_TOKEN | CLOSE_ABORTED))
    })
}

fn endings(vigil: &Vigil) -> BTreeMap<String, usize> {
    let mut by = BTreeMap::new();
    for (_, ending) in dropped(vigil).filter_map(|tape| tape.end.as_ref()) {
        *by.entry(ending_words(ending)).or_insert(0) += 1;
    }
    by
}

/// The longest time without a ping, of a stream that had one. A stream that was there to the end waited after its last one
/// as well.
fn worst_gap(tape: &Tape) -> Option<Duration> {
    let last = tape.all_pings().last().copied()?;
    let open = if tape.end.is_none() { asked_last(tape).since(last) } else { Duration::ZERO };
    tape.ping_gaps().into_iter().max().map(|worst| worst.max(open))
}

/// When we last asked whether it was there, and it was: until then the gap had lasted.
fn asked_last(tape: &Tape) -> Timestamp {
    let answered = tape.own_pings.iter().rev().find_map(|(asked, answer)| answer.map(|_| *asked));
    answered.unwrap_or(Timestamp::ZERO)
}

fn connections(vigil: &Vigil, groups: &Groups) -> Vec<Connection> {
    let manner = |client: u32| {
        let of = [
            ("quiet", &groups.quiet),
            ("pinging", &groups.pinging),
            ("loaded", &groups.loaded),
            ("mute", &groups.mute),
        ];
        of.into_iter().find(|(_, clients)| clients.contains(&client)).map_or("", |(manner, _)| manner)
    };
    let told = |tape: &Tape| Connection {
        client: tape.client,
        manner: manner(tape.client),
        server: tape.server().to_owned(),
        pings: tape.all_pings().len(),
        worst_gap_s: worst_gap(tape).map(seconds),
        lived_s: seconds(tape.age()),
        ended: tape.end.as_ref().map(|(_, ending)| ending_words(ending)),
    };
    vigil.tapes().map(told).collect()
}

/// Events came all the time, and the stream was cut all the same, after the same time without a word of ours; those that
/// speak more often outlived that.
fn one_way(loaded: &Vigil, pinging: &Vigil) -> Option<Cluster> {
    let cluster = Cluster::of(dropped(loaded).map(Tape::unsaid).collect())?;
    let heard = dropped(loaded).filter(|tape| tape.idle() * 2 < tape.unsaid()).count();
    let outlived = pinging.tapes().map(Tape::age).max()?;
    (heard >= cluster.count && outlived > cluster.at * 2).then_some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::Heard;
    use crate::probe::vigil::Watch;
    use crate::session::Ending;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Opened at 0, pinged by the server at these times (s), ended at that one; to the end of listening: asked, and there.
    fn tape(client: u32, pings: &[u64], end: Option<(u64, Ending)>) -> Tape {
        let mut tape = Tape::new(client, at(0));
        tape.hear(at(0), Heard::Hello(Default::default()));
        pings.iter().for_each(|&ping| tape.hear(at(ping * 1000), Heard::Ping));
        match end {
            Some((end, ending)) => tape.hear(at(end * 1000), Heard::End(ending)),
            None => {
                tape.pings(at(95_000));
                tape.hear(at(95_001), Heard::Pong(0));
            }
        }
        tape
    }

    fn vigil(tapes: Vec<Tape>) -> Vigil {
        let watch = |tape: Tape| Watch {
            client: tape.client,
            pings: tape.client == 1,
            tapes: vec![tape],
            refused: Vec::new(),
        };
        Vigil { watches: tapes.into_iter().map(watch).collect(), until: at(95_000), ..Vigil::default() }
    }

    fn groups() -> Groups {
        Groups { quiet: vec![0], pinging: vec![1], loaded: vec![2], mute: vec![3], ..Groups::default() }
    }

    #[test]
    fn everybody_has_a_part_and_nobody_two() {
        let (quiet, others): (Vec<u32>, Vec<u32>) = (1..=24).partition(|client| client % 2 == 1);
        let groups = Groups::of(&quiet, &others);
        let counts =
            [&groups.quiet, &groups.pinging, &groups.loaded, &groups.mute, &groups.pollers].map(Vec::len);
        assert_eq!((counts, groups.speaker), ([5, 3, 10, 1, 4], 2));
        let few = Groups::of(&[1, 3, 5], &[0, 2, 4]);
        let counts = [&few.quiet, &few.pinging, &few.loaded, &few.mute, &few.pollers].map(Vec::len);
        assert_eq!(counts, [1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_worst_gap_is_of_one_connection_and_counts_the_beginning_and_an_end_without_pings() {
        let streams = Streams::of(
            &vigil(vec![tape(0, &[30, 60, 90], None), tape(1, &[31, 60], None), tape(2, &[], None)]),
            &groups(),
        );
        let worst: Vec<_> = streams.connections.iter().map(|connection| connection.worst_gap_s).collect();
        assert_eq!(worst, [Some(30.0), Some(35.0), None]);
        assert_eq!(streams.worst_gap, Some(Duration::from_secs(35)));
        let quiet = streams.quiet.expect("pings");
        assert_eq!((quiet.count, quiet.p50_s, quiet.max_s), (5, 30.0, 31.0));
        assert_eq!(streams.loaded, None, "none came: nothing is known");
    }

    #[test]
    fn the_servers_patience_is_that_of_a_mute_client_that_was_closed_with_4003() {
        let closed = |code| Some((90, Ending::Close { code, reason: "ping_timeout".into() }));
        let of = |ending| Streams::of(&vigil(vec![tape(3, &[30, 60], ending)]), &groups());
        assert_eq!(of(closed(4003)).server_patience, Some(Duration::from_secs(90)));
        let other = of(Some((45, Ending::Reset)));
        assert_eq!((other.server_patience, other.mute_endings["reset"]), (None, 1));
        assert_eq!(of(None).server_patience, None, "it was never closed");
    }

    #[test]
    fn a_stream_that_is_talked_to_and_cut_for_its_own_silence_is_told_from_one_that_was_idle() {
        let cut = |events: bool| {
            let mut tape = Tape::new(2, at(0));
            let times = if events { 1..20 } else { 0..1 };
            times.for_each(|second| tape.hear(at(second * 1000), Heard::Other));
            tape.hear(at(20_000), Heard::End(Ending::Eof));
            tape
        };
        let one_way = |events, pinging| {
            let mut vigil = vigil(vec![cut(events), pinging]);
            vigil.watches[0].tapes = vec![cut(events); 3];
            Streams::of(&vigil, &groups()).one_way.map(|cluster| cluster.at.as_secs())
        };
        let live = || tape(1, &[30, 60, 90], None);
        assert_eq!(one_way(true, live()), Some(20));
        assert_eq!(one_way(false, live()), None, "nothing came either");
        assert_eq!(one_way(true, tape(1, &[], Some((20, Ending::Eof)))), None, "an age spares nobody");
    }
}
