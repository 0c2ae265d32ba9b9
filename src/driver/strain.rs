//! How the harness itself fares: whether its loop is served in time, its CPU time, its memory.

#![expect(clippy::disallowed_methods, reason = "the probe reads /proc")]

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;
use crate::worker::conductor::Strain;

/// Time between two looks.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// A loop that is served later than this reads late: what it reads proves nothing about what did not come.
const LATE: Duration = Duration::from_millis(100);

/// The probe of one worker's loop.
pub struct Probe {
    /// When the next look is due.
    due: Cell<Timestamp>,
    /// What is read before this may have waited for us.
    late_until: Cell<Timestamp>,
    statm: Option<File>,
    schedstat: Option<File>,
    page: u64,
}

impl Probe {
    /// A probe of the loop on this thread, whose first look is due one interval after `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            due: Cell::new(now + PROBE_INTERVAL),
            late_until: Cell::new(Timestamp::ZERO),
            statm: File::open("/proc/self/statm").ok(),
            // Of the thread that opens it, whoever reads it.
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
            page: rustix::param::page_size() as u64,
        }
    }

    /// Begins to look: whatever kept the loop busy before `now` was no client's business.
    pub fn begin(&self, now: Timestamp) {
        self.due.set(now + PROBE_INTERVAL);
        self.late_until.set(Timestamp::ZERO);
    }

    /// When the next look is due.
    pub fn due(&self) -> Timestamp {
        self.due.get()
    }

    /// Whether what is read from a socket now may have waited for this loop.
    pub fn is_late(&self, now: Timestamp) -> bool {
        now < self.late_until.get() || now.since(self.due.get()) > LATE
    }

    /// One look, at its due time or later. The next one is due an interval after this one was, or after `now` when
    /// looks were missed altogether.
    pub fn look(&self, now: Timestamp) -> Strain {
        let lag = now.since(self.due.get());
        if lag > LATE {
            // Tasks that were woken with us may still be waiting for their turn: a whole good interval must pass.
            self.late_until.set(now + PROBE_INTERVAL);
        }
        let next = self.due.get() + PROBE_INTERVAL;
        self.due.set(if next > now { next } else { now + PROBE_INTERVAL });
        Strain { loop_lag: lag, cpu: cpu_time(), busy: self.busy(), rss: self.resident() }
    }

    /// The first number of schedstat is the time that the thread ran, the second the time that it was ready to and did not,
    /// both in nanoseconds.
    fn busy(&self) -> Option<Duration> {
        let [ran, waited] = numbers(self.schedstat.as_ref()?)?;
        Some(Duration::from_nanos(ran.saturating_add(waited)))
    }

    /// The second number of statm is the pages that are resident.
    fn resident(&self) -> u64 {
        let [_, pages] = self.statm.as_ref().and_then(numbers).unwrap_or_default();
        pages * self.page
    }
}

/// The first two numbers of such a file.
fn numbers(file: &File) -> Option<[u64; 2]> {
    let mut text = [0; 128];
    let read = file.read_at(&mut text, 0).ok()?;
    let mut words = std::str::from_utf8(&text[..read]).ok()?.split_ascii_whitespace();
    let mut number = || words.next()?.parse().ok();
    Some([number()?, number()?])
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_was_held_up_reads_late_until_an_interval_has_gone_well() {
        let probe = Probe::new(Timestamp::ZERO);
        assert!(!probe.is_late(Timestamp::from_millis(150)));
        assert!(probe.is_late(Timestamp::from_millis(900)), "the look at 100 ms has not come yet");
        let strain = probe.look(Timestamp::from_millis(900));
        assert_eq!(strain.loop_lag, Duration::from_millis(800));
        assert!(probe.is_late(Timestamp::from_millis(950)));
        assert_eq!(probe.look(Timestamp::from_millis(1000)).loop_lag, Duration::ZERO);
        assert!(!probe.is_late(Timestamp::from_millis(1001)));
    }

    #[test]
    fn the_process_has_memory_and_has_used_time() {
        let strain = Probe::new(Timestamp::ZERO).look(Timestamp::from_millis(100));
        assert!(strain.rss > 0);
        assert!(strain.cpu > Duration::ZERO);
    }

    #[test]
    fn a_thread_that_works_is_busy_and_no_longer_than_it_lives() {
        let begun = std::time::Instant::now();
        std::thread::spawn(move || {
            let probe = Probe::new(Timestamp::ZERO);
            let before = probe.busy().expect("Linux tells");
            while probe.busy().expect("still") < before + Duration::from_millis(20) {
                std::hint::black_box(numbers(probe.statm.as_ref().expect("Linux tells")));
            }
            assert!(probe.busy().expect("still") <= begun.elapsed() + Duration::from_millis(20));
        })
        .join()
        .expect("no panic");
    }
}
