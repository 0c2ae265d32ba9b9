//! Streams and long polls, held side by side against a live path.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use http::header::SERVER;

use super::ladder::Search;
use super::poll::{Came, End, Poll};
use super::streams::{Groups, Streams};
use crate::driver::http::{Answer, Trouble, TroubleKind};
use crate::probe::path::{Path, TALK};
use crate::probe::vigil::{Manner, Party, Publishes, Vigil};
use crate::probe::{ProbeError, Sent, secs, visit};
use crate::profile::Profile;
use crate::profile::quantity::Rate;
use crate::time::Timestamp;
use crate::wire::{Position, error_code};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// How long streams are held.
    pub listen: Duration,
    /// How long polls are held at most.
    pub up_to: Duration,
    /// Publishes while streams are held.
    pub load: Rate,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Measured {
    /// By streams.
    pub streams: Streams,
    /// The vigil of the undisturbed ones, for the checks that a probe makes of it.
    pub undisturbed: Vigil,
    /// For how long streams were held.
    pub listened: Duration,
    /// Publishes meanwhile, and how many of them were acknowledged.
    pub published: (usize, usize),
    /// By long polls.
    pub polls: Search,
    /// When polls had been cut and until when the path then refused everything: what streams and publishes met meanwhile is
    /// left out above.
    pub refusals: Vec<Refusal>,
    /// A poll that did not say for how long; `None`: the bound is too short for it.
    pub unsaid: Option<Poll>,
    /// In the User-Agent of every request.
    pub run_id: String,
    /// The URL.
    pub target: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// From the first request after provisioning to the last answer.
    pub took: Duration,
    /// What was done to the target.
    pub sent: Sent,
}

/// After polls were cut, a balancer took the pods for dead for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When the first poll was cut.
    pub from: Timestamp,
    /// When requests were answered again.
    pub until: Timestamp,
}

impl Refusal {
    /// With a second for what was under way.
    fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until + GRACE
    }
}

/// Documented: a poll that does not say for how long is held for this.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(30);
/// Time on top of it that the bound must allow.
const MARGIN: Duration = Duration::from_secs(3);
/// A poll that somebody's event ends is begun anew so often.
const AGAIN: u32 = 3;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// A path that answers nothing for longer than this has not given its pods up for a while, it is down (ours; nginx: 10 s).
const SETTLED_MAX: Duration = Duration::from_secs(30);
/// Between two questions whether it answers again.
const SETTLING: Duration = Duration::from_millis(500);
/// Holds behind the last event, as the vigil has them; and what is under way when a refusal ends.
const GRACE: Duration = Duration::from_secs(1);

/// Measures the target of a profile that `probe::profile_for` has made.
///
/// # Errors
///
/// When nothing could be measured. What goes wrong later is in what was seen.
pub fn measure(profile: Profile, setup: &Setup, note: Box<dyn Fn(&str)>) -> Result<Measured, ProbeError> {
    let need = profile.client.poll_timeout;
    let visit = visit(profile, setup.listen, note, async |path: &Rc<Path>| {
        let groups = Groups::of(&path.listeners(), &path.provokers());
        path.note(&announcement(path, setup, &groups));
        let listening = Cell::new(true);
        let streams = async {
            let vigil = Vigil::hold(path, &party(&groups, setup)).await;
            listening.set(false);
            vigil
        };
        let polls = poll_all(path, &groups.pollers, setup.up_to, need, &listening);
        let (vigil, polled) = futures::join!(streams, polls);
        (vigil, groups, polled)
    })?;
    let (mut vigil, groups, Polled { polls, unsaid, refusals }) = visit.told;
    let refused = |at: Timestamp| refusals.iter().any(|refusal| refusal.covers(at));
    vigil.watches.iter_mut().for_each(|watch| watch.refused.retain(|(at, _)| !refused(*at)));
    vigil.published.retain(|publish| !refused(publish.sent));
    let acknowledged = vigil.published.iter().filter(|publish| publish.is_stored()).count();
    Ok(Measured {
        streams: Streams::of(&vigil, &groups),
        undisturbed: vigil.of(&[groups.quiet.as_slice(), &groups.pinging].concat()),
        listened: vigil.listened(),
        published: (vigil.published.len(), acknowledged),
        polls,
        unsaid,
        refusals,
        run_id: visit.run_id,
        target: visit.target,
        started_at: visit.started_at,
        took: visit.took,
        sent: visit.sent,
    })
}

fn party(groups: &Groups, setup: &Setup) -> Party {
    let as_ = |clients: &[u32], manner| -> Vec<(u32, Manner)> {
        clients.iter().map(|&client| (client, manner)).collect()
    };
    let mut listeners = [
        as_(&groups.quiet, Manner::Quiet),
        as_(&groups.pinging, Manner::Pings),
        as_(&groups.loaded, Manner::Quiet),
        as_(&groups.mute, Manner::Mute),
    ]
    .concat();
    // In the order of their numbers they take turns, so that no manner connects before another.
    listeners.sort_unstable_by_key(|(client, _)| *client);
    let every = Duration::from_secs_f64(1.0 / setup.load.0.max(0.001));
    Party { listeners, publishes: Publishes::Steadily { by: groups.speaker, room: TALK, every } }
}

/// What is about to happen, and for how long.
fn announcement(path: &Path, setup: &Setup, groups: &Groups) -> String {
    let streams = groups.quiet.len() + groups.pinging.len() + groups.loaded.len() + groups.mute.len();
    let held = setup.listen + path.lateness_bound() + GRACE;
    let given_up = setup.up_to * 2 + path.profile.client.sync_deadline;
    format!(
        "{streams} streams are held for {}, beside them long polls for up to {}, and again where some are cut: {} to {} in \
         all; up to {} if polls are lost without a word",
        secs(held),
        secs(setup.up_to),
        clock(held.max(setup.up_to)),
        clock(held.max(setup.up_to * 2)),
        clock(held.max(given_up * 5)),
    )
}

/// `1:35`
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// What polls brought.
struct Polled {
    polls: Search,
    unsaid: Option<Poll>,
    refusals: Vec<Refusal>,
}

/// Round after round; beside the first, a poll that does not say for how long.
async fn poll_all(
    path: &Rc<Path>,
    pollers: &[u32],
    up_to: Duration,
    need: Duration,
    listening: &Cell<bool>,
) -> Polled {
    let (mut polls, mut refusals) = (Search::new(up_to, need), Vec::new());
    let since: Vec<Cell<Position>> =
        pollers.iter().map(|_| Cell::new(path.provisioned.positions[0])).collect();
    let hold = |number: usize, asked: Option<Duration>| {
        let number = number % pollers.len();
        hold(path, pollers[number], &since[number], asked)
    };
    let unsaid = async {
        let long = up_to >= DEFAULT_HOLD + MARGIN;
        if long { Some(hold(0, None).await) } else { None }
    };
    let rounds = async {
        while let Some(round) = polls.next_round() {
            let number = polls.rounds().len() + 1;
            if let Some((least, most)) = round.iter().min().zip(round.iter().max()) {
                let (count, least, most) = (round.len(), secs(*least), secs(*most));
                path.note(&format!("long polls, round {number}: {count} of {least} to {most}"));
            }
            let (up, watch) = (Cell::new(round.len()), Watch::default());
            let holding = join_all(round.iter().enumerate().map(|(index, asked)| {
                let (poll, up, watch) = (hold(index, Some(*asked)), &up, &watch);
                async move {
                    let poll = poll.await;
                    up.set(up.get() - 1);
                    if poll.end() == End::Cut {
                        watch.cut(path.now());
                    }
                    poll
                }
            }));
            let held = tokio::select! {
                held = holding => held,
                never = tell(path, number, &up, listening) => match never {},
                never = watch.look(path, pollers) => match never {},
            };
            polls.tell(held);
            refusals.extend(watch.settle(path, pollers).await);
        }
    };
    let (unsaid, ()) = futures::join!(unsaid, rounds);
    Polled { polls, unsaid, refusals }
}

/// A line now and then; while streams are held, they have it.
async fn tell(path: &Rc<Path>, round: usize, up: &Cell<usize>, listening: &Cell<bool>) -> Infallible {
    let begun = path.now();
    loop {
        path.sleep(PROGRESS).await;
        if !listening.get() {
            let since = secs(path.now().since(begun));
            path.note(&format!("long polls, round {round}: {} are held after {since}", up.get()));
        }
    }
}

/// Whoever has cut polls may have given up the pods behind it for a while (nginx: max_fails, fail_timeout), and refuses
/// everything meanwhile: polls of the next round as well, and what others ask for.
#[derive(Default)]
struct Watch {
    /// When a poll was last cut, until everybody who polls was answered again after that.
    cut: Cell<Option<Timestamp>>,
    refusal: Cell<Option<Refusal>>,
}

impl Watch {
    fn cut(&self, at: Timestamp) {
        self.cut.set(Some(at));
    }

    /// Looks on while polls are held.
    async fn look(&self, path: &Rc<Path>, pollers: &[u32]) -> Infallible {
        loop {
            path.sleep(SETTLING).await;
            self.ask(path, pollers).await;
        }
    }

    /// Waits until the path answers again, but not for ever; what was refused since the round began.
    async fn settle(&self, path: &Rc<Path>, pollers: &[u32]) -> Option<Refusal> {
        let latest = path.now() + SETTLED_MAX;
        while self.cut.get().is_some() && path.now() < latest {
            self.ask(path, pollers).await;
            if self.cut.get().is_some() {
                path.sleep(SETTLING).await;
            }
        }
        let refusal = self.refusal.get();
        if let Some(Refusal { from, until }) = refusal {
            let time = secs(until.since(from));
            path.note(&format!("long polls were cut, and then everything was refused for {time}"));
        }
        refusal
    }

    /// Asks in the name of everybody who polls, if a poll was cut.
    async fn ask(&self, path: &Rc<Path>, pollers: &[u32]) {
        let Some(cut) = self.cut.get() else { return };
        let (since, patience) = (path.provisioned.positions[0], path.profile.client.sync_deadline);
        for &client in pollers {
            let now = Duration::ZERO;
            let (_, answer) = path.poll_alone(client, since, Some(now), now, patience).await;
            if !matches!(read(answer).0, Came::Page { .. }) {
                let from = self.refusal.get().map_or(cut, |refusal| refusal.from);
                self.refusal.set(Some(Refusal { from, until: path.now() }));
                return;
            }
        }
        // One that was cut meanwhile is looked after next time.
        if self.cut.get() == Some(cut) {
            self.cut.set(None);
        }
    }
}

/// One poll, begun anew when somebody's event ends it.
async fn hold(path: &Rc<Path>, client: u32, since: &Cell<Position>, asked: Option<Duration>) -> Poll {
    let held = asked.unwrap_or(DEFAULT_HOLD);
    let mut woken = 0;
    loop {
        // A balancer that tries a second pod ends a poll after twice its timeout, which is less than what was asked for:
        // who gives up before that would take it for silence.
        let patience = held + path.profile.client.sync_deadline;
        let (took, answer) = path.poll_alone(client, since.get(), asked, held, patience).await;
        let (came, cursor) = read(answer);
        let poll = Poll { asked: held, took, came, woken };
        if poll.end() != End::Woken || woken == AGAIN {
            return poll;
        }
        woken += 1;
        since.set(since.get().max(cursor.unwrap_or(0)));
    }
}

fn read(answer: Result<Answer, Trouble>) -> (Came, Option<Position>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(trouble) => return (no_answer(&trouble), None),
    };
    match Path::page(&answer, false) {
        Ok(page) => (Came::Page { events: page.events.len() + page.malformed as usize }, page.next_cursor),
        Err(_) if answer.is_success() => (Came::NoPage, None),
        Err(_) => {
            let server = answer.headers.get(SERVER).and_then(|value| value.to_str().ok());
            let server = server.map(|value| value[..value.floor_char_boundary(40)].into());
            let code = error_code(&answer.body);
            (Came::Status { status: answer.status, code, server }, None)
        }
    }
}

fn no_answer(trouble: &Trouble) -> Came {
    match trouble.kind {
        TroubleKind::Broken => Came::Broken { reset: trouble.reset },
        TroubleKind::TimedOut { written: true } => Came::Nothing,
        TroubleKind::TooLarge => Came::NoPage,
        TroubleKind::Local | TroubleKind::NotWritten | TroubleKind::TimedOut { written: false } => {
            Came::Unsent
        }
    }
}
