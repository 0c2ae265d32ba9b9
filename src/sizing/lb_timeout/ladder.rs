//! Which long polls are held, round after round, until the time is known at which they are cut (pure).
//!
//! ```text
//! ladder: hold times up to the bound ──cut, and one timeout explains it──────> confirm: three just below, three just above
//!           │      └──cut, and several would; or unanswered──> refine: eight between the longest held and the shortest not ──┘
//!           └──nothing of the kind──> the longest that was held is the bound that is proven
//! ```
//!
//! Something that cuts a poll says when by doing so; but a balancer may try a second pod before it gives up (nginx does, by
//! proxy_next_upstream), and then the poll ends after two timeouts, or three. Which polls are cut tells the timeout in any
//! case: those that ask for more than it. What loses a poll in silence tells nothing else.

use std::time::Duration;

use super::poll::{End, Poll};

/// Steps of the ladder.
const STEPS: u32 = 12;
/// Steps are a little short of their share of the bound: people set round numbers, and a poll that asks for exactly the
/// timeout is cut or not as it happens.
const SHORT: f64 = 0.97;
/// Polls that are held for the whole bound, and on either side of a value that is to be confirmed.
const REPEATS: usize = 3;
/// Polls between two neighbours of a round that left it open.
const REFINING: u32 = 8;
/// Rounds of refining, at most: eight polls each leave less than a hundredth of a step.
const REFINED_MAX: u32 = 3;
/// A balancer tries so many pods, at most (ours: nobody waits for more).
const TRIES_MAX: u32 = 8;

/// What is asked for next, and what is known in the end. Feed [`Search::tell`] with what [`Search::next_round`] asked for.
#[derive(Clone, Debug)]
pub struct Search {
    up_to: Duration,
    need: Duration,
    stage: Stage,
    rounds: Vec<Vec<Poll>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Ladder,
    Refine { low: Duration, high: Duration, left: u32 },
    Confirm(Confirm),
    Done(Found),
}

/// Polls on either side of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Confirm {
    below: Duration,
    above: Duration,
    /// Cut by this; `None`: above they are lost in silence.
    cuts: Option<Cuts>,
    /// The second try, with twice the distance.
    wide: bool,
}

/// What is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Polls that ask for more than this are cut.
    Cut {
        /// The timeout.
        at: Duration,
        /// How often the poll is begun by the time it ends: 1, where no second pod is tried.
        tries: u32,
        /// The earliest end.
        lowest: Duration,
        /// The latest.
        highest: Duration,
        /// How many.
        count: usize,
        /// The longest poll that was held, of those below.
        survived: Duration,
        /// Most polls just below were held, and most just above were cut.
        confirmed: bool,
        /// Some polls were held for longer: not every way has that timeout.
        mixed: usize,
    },
    /// Polls of more than this are never answered.
    Silent {
        /// The longest that was answered.
        low: Duration,
        /// The shortest that was not.
        high: Duration,
        /// Both were repeated.
        confirmed: bool,
    },
    /// The server ends every poll by itself after this time: the path is not asked to bear more.
    Capped {
        /// The median.
        cap: Duration,
    },
    /// Nothing ends a poll up to the bound.
    Above {
        /// The longest that was held.
        survived: Duration,
    },
    /// Nobody can tell.
    Unclear {
        /// Why, in a sentence.
        why: String,
        /// The longest that was held; zero: none.
        survived: Duration,
    },
}

impl Search {
    /// Up to this hold time; `need` is the one that clients ask for.
    pub fn new(up_to: Duration, need: Duration) -> Self {
        Self { up_to, need, stage: Stage::Ladder, rounds: Vec::new() }
    }

    /// Hold times of the next round; `None`: it is over.
    pub fn next_round(&self) -> Option<Vec<Duration>> {
        match &self.stage {
            Stage::Ladder => Some(self.ladder()),
            Stage::Refine { low, high, .. } => {
                let step = (*high - *low) / (REFINING + 1);
                Some((1..=REFINING).map(|number| *low + step * number).collect())
            }
            Stage::Confirm(Confirm { below, above, .. }) => {
                let below = (!below.is_zero()).then_some([*below; REPEATS]);
                Some(below.into_iter().flatten().chain([*above; REPEATS]).collect())
            }
            Stage::Done(_) => None,
        }
    }

    /// What became of the round, in any order.
    pub fn tell(&mut self, polls: Vec<Poll>) {
        self.rounds.push(polls);
        self.stage = match self.stage.clone() {
            Stage::Ladder => self.after_search(REFINED_MAX),
            Stage::Refine { left, .. } => self.after_search(left.saturating_sub(1)),
            Stage::Confirm(confirm) => self.after_confirm(&confirm),
            done @ Stage::Done(_) => done,
        };
    }

    /// What is known; only when the last round is over.
    pub fn found(&self) -> Option<&Found> {
        match &self.stage {
            Stage::Done(found) => Some(found),
            _ => None,
        }
    }

    /// Every poll, round by round.
    pub fn rounds(&self) -> &[Vec<Poll>] {
        &self.rounds
    }

    /// Every poll.
    pub fn polls(&self) -> impl Iterator<Item = &Poll> {
        self.rounds.iter().flatten()
    }

    /// Even steps, the bound several times, and what clients ask for.
    fn ladder(&self) -> Vec<Duration> {
        let mut holds: Vec<Duration> =
            (1..STEPS).map(|step| (self.up_to * step / STEPS).mul_f64(SHORT)).collect();
        holds.extend([self.up_to; REPEATS]);
        if self.need < self.up_to {
            holds.push(self.need);
        }
        holds.sort_unstable();
        holds
    }

    fn after_search(&self, left: u32) -> Stage {
        if let Some(useless) = self.useless() {
            return Stage::Done(useless);
        }
        match self.cuts() {
            Some(Ok(cuts)) => return Stage::Confirm(Confirm::around(cuts, tolerance(cuts.at) / 2, false)),
            Some(Err((low, high))) if left > 0 => return Stage::Refine { low, high, left },
            Some(Err(_)) => {
                return Stage::Done(
                    self.unclear("long polls are cut, and no one timeout explains which".to_owned()),
                );
            }
            None => {}
        }
        let unanswered = self.polls().filter(|poll| poll.end() == End::Unanswered);
        if let Some(high) = unanswered.map(|poll| poll.asked).min() {
            let low = self.longest_held(high).unwrap_or_default();
            if low.is_zero() && (left == 0 || high <= tolerance(high) / 2) {
                return Stage::Done(self.unclear("no long poll was ever answered".to_owned()));
            }
            return if high - low > tolerance(high) / 2 && left > 0 {
                Stage::Refine { low, high, left }
            } else {
                Stage::Confirm(Confirm { below: low, above: high, cuts: None, wide: false })
            };
        }
        let survived = self.longest_held(Duration::MAX).unwrap_or_default();
        let capped = self.polls().filter(|poll| poll.end() == End::Capped);
        if let Some(cap) = median(capped.map(|poll| poll.took)) {
            return Stage::Done(Found::Capped { cap });
        }
        Stage::Done(if survived >= self.up_to {
            Found::Above { survived }
        } else {
            self.unclear(format!(
                "no poll of {} s came to an end that says anything",
                self.up_to.as_secs_f64()
            ))
        })
    }

    fn after_confirm(&self, confirm: &Confirm) -> Stage {
        let last = self.rounds.last().map_or(&[][..], Vec::as_slice);
        let most = |asked: Duration, end: &dyn Fn(&Poll) -> bool| {
            let of: Vec<&Poll> = last.iter().filter(|poll| poll.asked == asked).collect();
            of.iter().filter(|poll| end(poll)).count() * 2 > of.len()
        };
        let Confirm { below, above, cuts, wide } = *confirm;
        let held = below.is_zero() || most(below, &|poll| poll.end() == End::Held);
        let Some(before) = cuts else {
            let confirmed = held && most(above, &|poll| poll.end() == End::Unanswered);
            return Stage::Done(Found::Silent { low: below, high: above, confirmed });
        };
        // Pods that a balancer has given up for a while are not tried again.
        let ended = |poll: &Poll| {
            let after = |tries: u32| poll.took.abs_diff(before.at * tries) <= tolerance(before.at * tries);
            poll.end() == End::Cut && (1..=before.tries).any(after)
        };
        let confirmed = held && most(above, &ended);
        // What was cut in this round may have moved it; what nothing cut any more was none.
        let cuts = match self.cuts() {
            Some(Ok(cuts)) => cuts,
            _ if confirmed => before,
            _ => {
                return Stage::Done(self.unclear(format!(
                    "some polls broke after about {:.1} s, and others did not",
                    before.at.as_secs_f64()
                )));
            }
        };
        if !confirmed && !wide {
            return Stage::Confirm(Confirm::around(cuts, tolerance(cuts.at), true));
        }
        let Cuts { at, tries, lowest, highest, count } = cuts;
        let survived = self.longest_held(at).unwrap_or_default();
        Stage::Done(Found::Cut {
            at,
            tries,
            lowest,
            highest,
            count,
            survived,
            confirmed,
            mixed: self.outlived(at),
        })
    }

    /// The one timeout that explains the cuts best; or between which holds it must lie, where several do. `None`: nothing was
    /// cut, or more polls speak against every one than were cut.
    fn cuts(&self) -> Option<Result<Cuts, (Duration, Duration)>> {
        let cut = || self.polls().filter(|poll| poll.end() == End::Cut);
        let (lowest, highest, end, count) = densest(cut().map(|poll| poll.took).collect())?;
        let shortest = cut().map(|poll| poll.asked).min()?;
        // Polls that were held for longer, or cut though they asked for less: another way, or an accident.
        let against = |at: Duration| {
            let slack = (at / 100).max(Duration::from_millis(100));
            let contradicts = |poll: &&Poll| match poll.end() {
                End::Held => poll.asked > at + slack,
                End::Cut => poll.asked + slack < at,
                _ => false,
            };
            self.polls().filter(contradicts).count()
        };
        let best = (1..=TRIES_MAX).map(|tries| against(end / tries)).min()?;
        if best > count {
            return None;
        }
        let mut fitting = (1..=TRIES_MAX).filter(|tries| against(end / *tries) == best);
        Some(match (fitting.next(), fitting.next()) {
            (Some(tries), None) => Ok(Cuts { at: end / tries, tries, lowest, highest, count }),
            _ => Err((self.longest_held(shortest).unwrap_or_default(), shortest)),
        })
    }

    /// Polls that were held though they asked for clearly more than this.
    fn outlived(&self, at: Duration) -> usize {
        self.polls().filter(|poll| poll.end() == End::Held && poll.asked > at + tolerance(at)).count()
    }

    fn longest_held(&self, below: Duration) -> Option<Duration> {
        self.polls().filter(|poll| poll.end() == End::Held && poll.asked < below).map(|poll| poll.asked).max()
    }

    /// More than half of the round says nothing about time.
    fn useless(&self) -> Option<Found> {
        let last = self.rounds.last()?;
        let of = |end: End| last.iter().filter(|poll| poll.end() == end).count();
        let (woken, refused, odd) = (of(End::Woken), of(End::Refused), of(End::Odd));
        if (woken + refused + odd) * 2 <= last.len() {
            return None;
        }
        let most = woken.max(refused).max(odd);
        let example = last.iter().find(|poll| matches!(poll.end(), End::Refused | End::Odd));
        let example = example.map_or_else(String::new, |poll| format!(" ({})", poll.words()));
        Some(self.unclear(if most == woken {
            format!(
                "somebody publishes in this tenant all the time: {woken} of {} polls were ended by events",
                last.len()
            )
        } else if most == refused {
            format!("the server refused {refused} of {} long polls{example}", last.len())
        } else {
            format!("{odd} of {} long polls failed, and not for their time{example}", last.len())
        }))
    }

    fn unclear(&self, why: String) -> Found {
        Found::Unclear { why, survived: self.longest_held(Duration::MAX).unwrap_or_default() }
    }
}

impl Confirm {
    fn around(cuts: Cuts, distance: Duration, wide: bool) -> Self {
        Self { below: cuts.at.saturating_sub(distance), above: cuts.at + distance, cuts: Some(cuts), wide }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cuts {
    at: Duration,
    tries: u32,
    lowest: Duration,
    highest: Duration,
    count: usize,
}

/// The densest place among times: its lowest, its highest, its median, and how many lie there. The first of the densest:
/// what comes behind a timeout is delay.
fn densest(mut times: Vec<Duration>) -> Option<(Duration, Duration, Duration, usize)> {
    times.sort_unstable();
    let end = |first: usize| times.partition_point(|time| *time <= times[first] + tolerance(times[first]));
    let (first, end) = (0..times.len())
        .map(|first| (first, end(first)))
        .reduce(|best, other| if other.1 - other.0 > best.1 - best.0 { other } else { best })?;
    let own = &times[first..end];
    Some((own[0], own[own.len() - 1], own[own.len() / 2], own.len()))
}

/// To this a value is found: half a second, or 3 % (balancers look at their timers every so often, and so do we).
pub fn tolerance(at: Duration) -> Duration {
    at.mul_f64(0.03).max(Duration::from_millis(500))
}

fn median(values: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut values: Vec<Duration> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::poll::Came;
    use super::*;

    /// A path, as polls meet it.
    #[derive(Clone, Copy, Debug, Default)]
    struct Path {
        /// It answers 504 after this.
        cut: Option<Duration>,
        /// It loses the poll after this, and says nothing.
        lost: Option<Duration>,
        /// The server holds none for longer.
        cap: Option<Duration>,
        /// Whatever it does comes so much later, by turns up to this.
        late: Duration,
        /// Before it answers 504 it tries so many pods more.
        more: u32,
    }

    impl Path {
        fn poll(self, number: u32, asked: Duration) -> Poll {
            let late = self.late * (number % 4) / 3;
            let held = asked.min(self.cap.unwrap_or(asked));
            let first = |limit: Option<Duration>| limit.filter(|limit| *limit < held);
            let (took, came) = match (first(self.cut), first(self.lost)) {
                (Some(cut), lost) if lost.is_none_or(|lost| cut < lost) => {
                    (cut * (1 + self.more), Came::Status { status: 504, code: None, server: None })
                }
                (_, Some(_)) => (asked + Duration::from_secs(10), Came::Nothing),
                _ => (held, Came::Page { events: 0 }),
            };
            Poll { asked, took: took + late, came, woken: 0 }
        }
    }

    fn searched(up_to: Duration, path: Path) -> Search {
        play(up_to, |number, asked| path.poll(number, asked))
    }

    fn play(up_to: Duration, poll: impl Fn(u32, Duration) -> Poll) -> Search {
        let mut search = Search::new(up_to, Duration::from_secs(30));
        let mut number = 0;
        while let Some(round) = search.next_round() {
            assert!(search.rounds().len() < 7, "it ends: {search:?}");
            let polls = round.into_iter().map(|asked| {
                number += 1;
                poll(number, asked)
            });
            let polls = polls.collect();
            search.tell(polls);
        }
        search
    }

    fn found(up_to_s: u64, path: Path) -> Found {
        searched(Duration::from_secs(up_to_s), path).found().expect("it is over").clone()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_cut_is_found_where_it_is_and_confirmed_on_both_sides() {
        for seconds in [12, 20, 45, 115] {
            let path = Path { cut: Some(SECOND * seconds), late: SECOND / 10, ..Path::default() };
            let Found::Cut { at, confirmed, survived, mixed, .. } = found(120, path) else {
                panic!("{seconds}: {:?}", found(120, path))
            };
            assert!(at.abs_diff(SECOND * seconds) <= Duration::from_millis(150), "{seconds}: {at:?}");
            assert!(
                confirmed && mixed == 0 && survived < at && survived + SECOND * 2 > at,
                "{survived:?} {at:?}"
            );
        }
    }

    #[test]
    fn a_balancer_that_tries_a_second_pod_is_seen_through() {
        for (seconds, more) in [(12, 1), (12, 2), (20, 1), (45, 1), (45, 2), (3, 1), (3, 2)] {
            let path = Path { cut: Some(SECOND * seconds), more, late: SECOND / 20, ..Path::default() };
            let Found::Cut { at, tries, confirmed, lowest, .. } = found(120, path) else {
                panic!("{seconds}: {:?}", found(120, path))
            };
            assert!(at.abs_diff(SECOND * seconds) <= SECOND / 10, "{seconds} {more}: {at:?}");
            assert!(
                confirmed && tries == more + 1 && lowest >= SECOND * seconds * tries,
                "{tries} {lowest:?}"
            );
        }
    }

    #[test]
    fn what_bears_everything_is_above_and_what_the_server_ends_is_its_cap() {
        assert_eq!(found(120, Path::default()), Found::Above { survived: SECOND * 120 });
        let capped = Path { cap: Some(SECOND * 50), ..Path::default() };
        assert_eq!(found(120, capped), Found::Capped { cap: SECOND * 50 });
        // A cut above the cap can never be seen.
        let both = Path { cut: Some(SECOND * 90), ..capped };
        assert_eq!(found(120, both), Found::Capped { cap: SECOND * 50 });
    }

    #[test]
    fn what_is_lost_in_silence_is_closed_in_on_and_our_own_deadline_is_never_its_time() {
        let Found::Silent { low, high, confirmed } =
            found(120, Path { lost: Some(SECOND * 37), ..Path::default() })
        else {
            panic!("silence")
        };
        assert!(
            confirmed && low <= SECOND * 37 && SECOND * 37 <= high && high - low <= SECOND,
            "{low:?} {high:?}"
        );
    }

    #[test]
    fn one_poll_that_breaks_is_no_timeout_and_a_way_of_two_is_told() {
        let whole = Path::default();
        let search = play(SECOND * 120, |number, asked| match number {
            2 => Path { cut: Some(SECOND * 3), ..whole }.poll(number, asked),
            _ => whole.poll(number, asked),
        });
        assert_eq!(search.found(), Some(&Found::Above { survived: SECOND * 120 }));
        let cut = Path { cut: Some(SECOND * 20), ..whole };
        let mixed =
            play(SECOND * 120, |number, asked| if number % 3 == 0 { whole } else { cut }.poll(number, asked));
        assert!(matches!(mixed.found(), Some(Found::Cut { mixed: 1.., .. })), "{:?}", mixed.found());
    }

    #[test]
    fn a_busy_tenant_and_a_server_that_refuses_are_said_to_be_so() {
        let all = |came: &Came| {
            let search =
                play(SECOND * 120, |_, asked| Poll { asked, took: SECOND, came: came.clone(), woken: 3 });
            match search.found() {
                Some(Found::Unclear { why, survived }) if survived.is_zero() => why.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert!(all(&Came::Page { events: 2 }).contains("publishes in this tenant all the time"));
        let limited = Came::Status { status: 429, code: Some("SW_RATE_LIMIT_EXCEEDED".into()), server: None };
        assert!(
            all(&limited).contains("refused 15 of 15 long polls (429 SW_RATE_LIMIT_EXCEEDED)"),
            "{}",
            all(&limited)
        );
        let odd = Came::Status { status: 503, code: None, server: None };
        assert!(all(&odd).contains("failed, and not for their time (503"));
        assert!(all(&Came::Nothing).contains("ever answered"));
    }

    #[test]
    fn what_does_not_happen_again_is_not_confirmed() {
        // Cut in the ladder, and by the time it is repeated somebody has raised the timeout.
        let search = play(SECOND * 120, |number, asked| {
            let cut = (number <= 15).then_some(SECOND * 20);
            Path { cut, ..Path::default() }.poll(number, asked)
        });
        assert!(matches!(search.found(), Some(Found::Cut { confirmed: false, .. })), "{:?}", search.found());
    }

    proptest! {
        #[test]
        fn any_timeout_below_the_bound_is_found_within_tolerance_and_none_is_invented(
            up_to in 5_u64..200, share in 0.05_f64..1.5, late in 0_u64..100, more in 0_u32..3,
        ) {
            let up_to = SECOND * up_to as u32;
            let cut = up_to.mul_f64(share);
            let late = Duration::from_millis(late);
            let path = Path { cut: Some(cut), late, more, ..Path::default() };
            match searched(up_to, path).found().expect("it is over") {
                Found::Cut { at, confirmed, .. } => {
                    prop_assert!(cut < up_to && *confirmed && at.abs_diff(cut) <= tolerance(cut), "{at:?} {cut:?}");
                }
                Found::Above { survived } => prop_assert!(*survived == up_to && cut >= up_to),
                // What falls at once is told from a timeout by being one, which this is not.
                other => prop_assert!(cut < Duration::from_millis(250), "{other:?}"),
            }
        }

        #[test]
        fn any_silence_below_the_bound_is_closed_in_on(up_to in 5_u64..200, share in 0.1_f64..0.99) {
            let up_to = SECOND * up_to as u32;
            let lost = up_to.mul_f64(share);
            let path = Path { lost: Some(lost), ..Path::default() };
            match searched(up_to, path).found().expect("it is over") {
                Found::Silent { low, high, confirmed } => {
                    prop_assert!(*confirmed && *low <= lost && lost <= *high, "{low:?} {lost:?} {high:?}");
                    prop_assert!(*high - *low <= tolerance(*high));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
