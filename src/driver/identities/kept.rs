//! Refresh tokens that outlive a run: each is written down the moment it arrives, because the one before it is spent.
//!
//! A file of lines (JSON, mode 0600) that grows while a run goes on, and is rewritten at the start of the next and whenever most
//! of it is spent tokens: its size does not grow with the length of a run. A line is given to the system before its token is
//! used. A lock beside it keeps a second run from using the same identities.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::private_lines::{PrivateFileError, PrivateLines, Purpose};
use crate::secret::Secret;

/// The file, held by this run.
#[derive(Debug)]
pub struct KeptTokens {
    lines: PrivateLines,
    newest: RefCell<BTreeMap<String, Kept>>,
}

/// What is kept of one identity.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Its newest refresh token, never used.
    Unused(Secret),
    /// It had been sent, and no answer was written down: spent, or not.
    UnderWay(Secret),
    /// The server has refused it.
    Refused,
}

/// What happens to a refresh token.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// It arrived.
    Got(&'a Secret),
    /// It is about to be sent.
    Asking(&'a Secret),
    /// The server refused it.
    Refused,
}

const PURPOSE: Purpose = Purpose {
    what: "in which refresh tokens are kept",
    shared: "two runs with these credentials would evict each other's clients",
    instead: "",
};

impl KeptTokens {
    /// Takes hold of the file, making it when it is not there; what is left of a half-written line is dropped.
    ///
    /// # Errors
    ///
    /// Another run has it, others may read it, or the system says no.
    pub fn open(path: &Path) -> Result<Self, PrivateFileError> {
        let mut newest = BTreeMap::new();
        let lines = PrivateLines::open(path, PURPOSE, |lines| {
            newest = read(lines);
            text(&newest)
        })?;
        Ok(Self { lines, newest: newest.into() })
    }

    /// What is kept of this identity.
    pub fn newest(&self, key: &str) -> Option<Kept> {
        self.newest.borrow().get(key).cloned()
    }

    /// Writes down what happens to its refresh token. A line that cannot be written is counted: the run goes on, and the
    /// next one may have to sign this identity in anew.
    pub fn tell(&self, key: &str, told: Told<'_>) {
        let kept = match told {
            Told::Got(token) => Kept::Unused(token.clone()),
            Told::Asking(token) => Kept::UnderWay(token.clone()),
            Told::Refused => Kept::Refused,
        };
        self.lines.write(&line(key, &kept));
        let mut newest = self.newest.borrow_mut();
        newest.insert(key.to_owned(), kept);
        if self.lines.is_long() {
            self.lines.renew(&text(&newest));
        }
    }

    /// Lines that could not be written.
    pub fn unwritten(&self) -> u64 {
        self.lines.unwritten()
    }
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    identity: &'a str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Unused,
    UnderWay,
    Refused,
}

fn line(key: &str, kept: &Kept) -> String {
    let (state, token) = match kept {
        Kept::Unused(token) => (State::Unused, Some(token.expose())),
        Kept::UnderWay(token) => (State::UnderWay, Some(token.expose())),
        Kept::Refused => (State::Refused, None),
    };
    let line = Line { identity: key, state, refresh_token: token };
    let mut text = serde_json::to_string(&line).expect("plain texts are JSON");
    text.push('\n');
    text
}

fn text(newest: &BTreeMap<String, Kept>) -> String {
    newest.iter().map(|(key, kept)| line(key, kept)).collect()
}

/// The last state of every identity. A line that is none says nothing.
fn read<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Kept> {
    let mut newest = BTreeMap::new();
    for line in lines {
        let Ok(Owned { identity, state, refresh_token }) = serde_json::from_str(line) else { continue };
        let kept = match (state, refresh_token) {
            (State::Unused, Some(token)) => Kept::Unused(Secret::new(token)),
            (State::UnderWay, Some(token)) => Kept::UnderWay(Secret::new(token)),
            _ => Kept::Refused,
        };
        newest.insert(identity, kept);
    }
    newest
}

#[derive(Deserialize)]
struct Owned {
    identity: String,
    state: State,
    refresh_token: Option<String>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the file is looked at")]

    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::super::private_lines::whole_lines;
    use super::*;

    fn said(kept: Option<Kept>) -> String {
        match kept {
            None => "nothing".to_owned(),
            Some(Kept::Unused(token)) => format!("unused {}", token.expose()),
            Some(Kept::UnderWay(token)) => format!("under way {}", token.expose()),
            Some(Kept::Refused) => "refused".to_owned(),
        }
    }

    #[test]
    fn the_last_word_counts_and_survives() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("people.csv.tokens");
        let kept = KeptTokens::open(&path).expect("made");
        let (one, two) = (Secret::new("one"), Secret::new("two"));
        kept.tell("anna", Told::Got(&one));
        kept.tell("anna", Told::Asking(&one));
        kept.tell("anna", Told::Got(&two));
        kept.tell("ben", Told::Got(&one));
        kept.tell("ben", Told::Asking(&one));
        kept.tell("carl", Told::Refused);
        drop(kept);
        for _ in 0..2 {
            let kept = KeptTokens::open(&path).expect("there");
            let all = ["anna", "ben", "carl", "dora"].map(|key| said(kept.newest(key)));
            assert_eq!(all, ["unused two", "under way one", "refused", "nothing"]);
        }
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn whatever_is_left_of_the_file_holds_no_wrong_token() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("tokens");
        let kept = KeptTokens::open(&path).expect("made");
        let tokens: Vec<Secret> = (0..5).map(|number| Secret::new(format!("token-{number}"))).collect();
        for token in &tokens {
            kept.tell("anna", Told::Got(token));
        }
        drop(kept);
        let whole = fs::read(&path).expect("there");
        let mut last = 0;
        for length in 0..=whole.len() {
            let text = String::from_utf8_lossy(&whole[..length]).into_owned();
            let lines = text.matches('\n').count();
            let expected =
                if lines == 0 { "nothing".to_owned() } else { format!("unused token-{}", lines - 1) };
            assert_eq!(said(read(whole_lines(&text)).remove("anna")), expected, "{length}");
            last = lines;
        }
        assert_eq!(last, 5);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_run_goes_on() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("tokens");
        let kept = KeptTokens::open(&path).expect("made");
        // A file that takes nothing any more.
        kept.lines.replace(File::open(&path).expect("for reading"));
        kept.tell("anna", Told::Got(&Secret::new("one")));
        assert_eq!((kept.unwritten(), said(kept.newest("anna"))), (1, "unused one".to_owned()));
    }

    #[test]
    fn a_line_behind_one_that_was_written_in_part_is_whole() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("tokens");
        let kept = KeptTokens::open(&path).expect("made");
        let all = File::options().append(true).open(&path).expect("for writing");
        // A disk that is full in the middle of a line, and then has room again.
        std::io::Write::write_all(&mut &all, b"{\"identity\":\"anna\",\"sta").expect("written");
        kept.lines.replace(File::open(&path).expect("for reading"));
        kept.tell("anna", Told::Got(&Secret::new("one")));
        kept.lines.replace(all);
        kept.tell("anna", Told::Got(&Secret::new("two")));
        kept.tell("ben", Told::Got(&Secret::new("three")));
        assert_eq!(kept.unwritten(), 1);
        drop(kept);
        let kept = KeptTokens::open(&path).expect("there");
        let all = ["anna", "ben"].map(|key| said(kept.newest(key)));
        assert_eq!(all, ["unused two", "unused three"]);
    }

    #[test]
    fn the_file_of_a_long_run_stays_as_small_as_what_it_keeps() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("tokens");
        let kept = KeptTokens::open(&path).expect("made");
        kept.tell("ben", Told::Got(&Secret::new("bens")));
        let token = |number: u32| Secret::new(format!("{number}{}", "x".repeat(10_000)));
        let size = || fs::metadata(&path).expect("there").len();
        let mut largest = 0;
        for number in 0..1_500 {
            kept.tell("anna", Told::Got(&token(number)));
            largest = largest.max(size());
        }
        assert!(largest < 5 * 1024 * 1024, "{largest} bytes of 15 MB");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        drop(kept);
        let kept = KeptTokens::open(&path).expect("there");
        let all = ["anna", "ben"].map(|key| said(kept.newest(key)));
        assert_eq!(all, [format!("unused {}", token(1_499).expose()), "unused bens".to_owned()]);
    }

    #[test]
    fn a_second_run_and_a_file_for_everybody_are_refused() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("tokens");
        let held = KeptTokens::open(&path).expect("made");
        let refused = KeptTokens::open(&path).expect_err("locked").to_string();
        assert!(refused.contains("another run"), "{refused}");
        drop(held);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let refused = KeptTokens::open(&path).expect_err("for everybody").to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
