//! Small runs over sockets: the harness and its own target, as `wavesoak run` has them.

use std::path::PathBuf;
use std::sync::Arc;

use wavesoak::profile;
use wavesoak::report::run::{ProgressView, RunError, RunObserver, RunOptions, RunOutcome};
use wavesoak::worker::coordinator;

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Vec<String>);

impl RunObserver for Notes {
    fn interval(&mut self, view: &ProgressView) {
        self.0.push(format!("{view:?}"));
    }

    fn note(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

fn run(text: &str) -> (Result<RunOutcome, RunError>, Notes) {
    let loaded = profile::parse(text, "test.toml", &[]).expect("a good profile");
    let out = tempfile::tempdir().expect("a place for reports");
    let options = RunOptions {
        out: out.path().to_owned(),
        shared: false,
        exe: PathBuf::from(env!("CARGO_BIN_EXE_wavesoak")),
        profile_toml: String::new(),
    };
    let mut notes = Notes::default();
    let outcome = coordinator::run(Arc::new(loaded.profile), &options, &mut notes);
    (outcome, notes)
}

const SMALL: &str = r#"
name = "small"
seed = 3

[population]
tenants = 2
clients = 20
members_per_room = 5
rooms_per_client = 2

[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"

[[phase]]
name = "hold"
duration = "4s"

[traffic]
rate = "40/s"

[client]
lateness_bound = "1s"
"#;

#[test]
fn a_quiet_run_delivers_everything_and_balances_its_books() {
    let (outcome, notes) = run(SMALL);
    let summary = outcome.unwrap_or_else(|error| panic!("{error:?}: {:#?}", notes.0)).summary;
    eprintln!("{}", serde_json::to_string_pretty(&summary).unwrap());
    eprintln!("{:#?}", notes.0);
    assert!(summary.books().is_ok());
}
