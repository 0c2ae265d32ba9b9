//! A probe that a person ends: what it made is put away, and who cannot wait for that need not.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::far::Far;
use crate::pods::{EXE, Pods};

/// A probe that listens for longer than any test takes.
struct Listening {
    child: Child,
    stderr: BufReader<ChildStderr>,
    _place: TempDir,
}

impl Listening {
    fn start(port: u16, pods: &Pods) -> Self {
        let place = tempfile::tempdir().expect("a place");
        let key_file = place.path().join("key");
        fs::write(&key_file, &pods.key).expect("written");
        let mut command = Command::new(EXE);
        command.args([
            "probe",
            &format!("http://127.0.0.1:{port}"),
            "--listen",
            "5m",
            "--only",
            "drops,undocumented",
        ]);
        command.arg("--key-file").arg(&key_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut own = Self { child, stderr, _place: place };
        own.says("listening for 300 s");
        own
    }

    /// Reads what it says until it says this.
    fn says(&mut self, words: &str) {
        let mut all = String::new();
        while !all.contains(words) {
            let read = self.stderr.read_line(&mut all).expect("text");
            assert!(read > 0, "it ended without \"{words}\": {all}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Its exit code, and what else it had to say.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("a child").code(), rest)
    }
}

#[test]
fn an_interrupted_probe_puts_its_rooms_away() {
    for signal in [Signal::INT, Signal::TERM] {
        let pods = Pods::start(1);
        let port = pods.addresses[0].rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let probe = Listening::start(port, &pods);
        probe.signal(signal);
        let (code, said) = probe.ended();
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("interrupted: putting the rooms away"), "{said}");
        assert!(
            said.contains("rooms put away: 2 archived, 0 left by everybody, 0 already gone, 0 refused"),
            "{said}"
        );
    }
}

#[test]
fn a_second_signal_ends_a_probe_whose_target_has_gone_silent() {
    let pods = Pods::start(1);
    let port = pods.addresses[0].rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let path = Far::start(port, Duration::ZERO);
    let mut probe = Listening::start(path.port(), &pods);
    path.lose_everything();
    probe.signal(Signal::INT);
    probe.says("interrupted: putting the rooms away");
    probe.signal(Signal::INT);
    let (code, said) = probe.ended();
    assert_eq!(code, Some(130), "{said}");
    // It did not wait for its own patience to run out.
    assert!(!said.contains("could not be put away in time") && !said.contains("archived"), "{said}");
}
