//! `run.log`: lines for people, a bounded number per kind and second.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;

/// Lines of one kind that one second may have.
const LINES_PER_SECOND: u32 = 20;
/// Bytes of a line.
const LINE_MAX: usize = 1_000;

/// The open log.
#[derive(Debug)]
pub(super) struct RunLog {
    file: File,
    second: i64,
    seen: BTreeMap<&'static str, u32>,
}

impl RunLog {
    pub(super) fn new(file: File) -> Self {
        Self { file, second: i64::MIN, seen: BTreeMap::new() }
    }

    /// Writes a line, or counts it as suppressed.
    pub(super) fn line(&mut self, now: jiff::Timestamp, kind: &'static str, line: &str) {
        if now.as_second() != self.second {
            self.say_what_was_suppressed();
            self.second = now.as_second();
        }
        let seen = self.seen.entry(kind).or_default();
        *seen = seen.saturating_add(1);
        if *seen <= LINES_PER_SECOND {
            // The log is for reading along: what a full disk refuses is reported by the files that count.
            let _ = writeln!(self.file, "{now:.3} {kind} {}", harmless(line));
        }
    }

    fn say_what_was_suppressed(&mut self) {
        for (kind, seen) in std::mem::take(&mut self.seen) {
            if seen > LINES_PER_SECOND {
                let at = jiff::Timestamp::from_second(self.second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
                let more = seen - LINES_PER_SECOND;
                let _ = writeln!(self.file, "{at:.3} {kind} {more} more lines suppressed in this second");
            }
        }
    }
}

impl Drop for RunLog {
    fn drop(&mut self) {
        self.say_what_was_suppressed();
    }
}

/// One line, not too long, and without the tokens that a careless error text could bring along. Secrets have
/// their own type; this is the second wall.
fn harmless(line: &str) -> String {
    let mut safe = String::with_capacity(line.len().min(LINE_MAX));
    for (index, word) in line.split([' ', '\n', '\r', '\t']).enumerate() {
        if index > 0 {
            safe.push(' ');
        }
        match secret_from(word) {
            Some(from) => {
                safe.push_str(&word[..from]);
                safe.push_str("***");
            }
            None => safe.extend(word.chars().map(|c| if c.is_control() { '?' } else { c })),
        }
        if safe.len() > LINE_MAX {
            let cut = safe.floor_char_boundary(LINE_MAX);
            safe.truncate(cut);
            safe.push('…');
            break;
        }
    }
    safe
}

/// Where in a word a token begins: behind `token=`, or a JWT by its first letters.
fn secret_from(word: &str) -> Option<usize> {
    let parameter = word.find("token=").map(|at| at + "token=".len());
    let jwt = word.find("eyJ");
    match (parameter, jwt) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the log is a file")]
    fn a_flood_of_one_kind_is_counted_and_hides_no_other() {
        let out = tempfile::tempdir().expect("a place");
        let path = out.path().join("run.log");
        let mut log = RunLog::new(File::create_new(&path).expect("made"));
        let second = jiff::Timestamp::from_second(1_700_000_000).expect("a time");
        for n in 0..50 {
            log.line(second, "refused", &format!("line {n}"));
        }
        log.line(second, "scrape", "pod 2 does not answer");
        log.line(second + jiff::SignedDuration::from_secs(1), "refused", "again");
        drop(log);
        let text = std::fs::read_to_string(path).expect("there");
        assert_eq!(text.lines().count(), 20 + 1 + 1 + 1, "{text}");
        assert!(
            text.contains("2023-11-14T22:13:20.000Z refused 30 more lines suppressed in this second"),
            "{text}"
        );
        assert!(text.contains("scrape pod 2 does not answer"));
    }

    #[test]
    fn a_line_stays_one_line_and_keeps_no_token() {
        assert_eq!(
            harmless("GET ws://h/v1/stream?token=abc failed\nBearer eyJhbGciOi.x.y"),
            "GET ws://h/v1/stream?token=*** failed Bearer ***"
        );
        assert!(harmless(&"ä".repeat(5_000)).len() < LINE_MAX + 10);
    }
}
