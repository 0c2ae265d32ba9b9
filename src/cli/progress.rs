//! How a run goes, on stderr: one line that is redrawn on a terminal, one plain line per interval otherwise.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::report::run::{ProgressView, RunObserver};
use crate::report::sheet::grouped;

/// The renderer that suits stderr.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For the stderr of this process.
    pub(super) fn new() -> Self {
        Self { bar: io::stderr().is_terminal().then(bar) }
    }

    /// Takes the line away, so that what follows starts on a clean one.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress {
    /// Shows how a run goes where that takes the place of what was shown before, and nowhere else.
    pub(super) fn redraw(&self, view: &ProgressView) {
        if let Some(bar) = &self.bar {
            bar.set_message(line(view));
        }
    }
}

impl RunObserver for Progress {
    fn interval(&mut self, view: &ProgressView) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line(view));
            }
            None => output::talk(line(view)),
        }
    }

    fn note(&mut self, note: &str) {
        match &self.bar {
            Some(bar) => bar.println(note),
            None => output::talk(note),
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// The same words in both renderings; what is 0 and would only be noise is left out.
fn line(view: &ProgressView) -> String {
    let mut parts = vec![format!("{:>6} {}", clock(view.at), view.phase)];
    // What a narrow terminal cuts off is at the end.
    if let Some(left) = view.time_left {
        parts.push(format!("{} left", clock(left)));
    }
    parts.extend([
        format!("{} of {} live", grouped(view.live), grouped(view.wanted)),
        format!("{} publishes/s", per_second(view.publishes_per_s)),
        format!("{} events/s", per_second(view.events_per_s)),
        format!("{} open gaps", grouped(view.open_gaps)),
    ]);
    if view.missed > 0 {
        parts.push(format!("{} missed", grouped(view.missed)));
    }
    if view.disconnects > 0 {
        parts.push(format!("{} disconnects", grouped(view.disconnects)));
    }
    if !view.faults.is_empty() {
        parts.push(format!("fault {}", view.faults));
    }
    parts.join(" · ")
}

fn per_second(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}

/// `0:07`, `12:34`, `11:22:33`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_line_says_where_the_run_is() {
        let view = ProgressView::from_row(
            &sample::row(12.0),
            Duration::from_secs(1),
            Some(Duration::from_secs(3_725)),
            3,
        );
        assert_eq!(
            line(&view),
            "  0:12 hold · 1:02:05 left · 100 of 100 live · 50 publishes/s · 2,500 events/s · 0 open gaps · 3 missed"
        );
    }
}
