//! Faults of kind `exec`: commands of the user's own, run at their time and taken back.
//!
//! Rails (contract.md): nothing is run without `--allow-exec`; never through a shell unless the profile says so. What takes
//! a command back is in a [`journal`] before the command starts. It is run at the fault's end, when the run ends however it
//! ends, and by the next run after a crash.

mod journal;
mod process;
mod scale;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use thiserror::Error;
use tokio::sync::Mutex;

use crate::collector::collected::{HookEnd, HookRecord};
use crate::profile::{Exec, Fault, FaultKind, Profile};
use crate::report::run::{RunError, RunObserver, RunOptions};

pub use journal::place;
pub use scale::Scaler;

use journal::{Entry, Journal, JournalError};
use process::{Ran, run};

/// Lines that wait to be written to `run.log`; further ones are let go, and counted.
const LINES_MAX: usize = 1_000;

/// The hooks of a run.
#[derive(Debug)]
pub(super) struct Hooks {
    profile: String,
    faults: Vec<Option<Hook>>,
    /// `None`: the profile has no hook with an undo.
    journal: RefCell<Option<Journal>>,
    records: RefCell<Vec<HookRecord>>,
    lines: RefCell<VecDeque<String>>,
    /// Those that were let go.
    unsaid: Cell<u64>,
}

#[derive(Debug)]
struct Hook {
    fault: String,
    exec: Exec,
    /// Held while a command of it runs, so that what takes it back waits for its end; index of its journal entry.
    begun: Mutex<Option<usize>>,
}

/// Completes "failed to …".
#[derive(Debug, Error)]
pub(super) enum HookError {
    #[error("run the commands of this profile ({faults}): nobody said that it may; say --allow-exec")]
    NotAllowed { faults: String },
    #[error(
        "find a place for the journal of what must be taken back: neither XDG_STATE_HOME nor HOME names one"
    )]
    NoPlace,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "begin a new run: one that was killed has left \"{fault}\" of profile {profile} behind, to be taken back with {argv}; \
         say --allow-exec to have that done now, or do it yourself and remove `{path}`",
        path = .path.display()
    )]
    LeftBehind { fault: String, profile: String, argv: String, path: PathBuf },
    #[error(
        "take back \"{fault}\", which a killed run has left behind: {argv} {end}; do it yourself and remove `{path}`",
        path = .path.display()
    )]
    NotUndone { fault: String, argv: String, end: String, path: PathBuf },
}

impl Hooks {
    /// Takes back what killed runs have left behind, and prepares for the hooks of this profile.
    ///
    /// # Errors
    ///
    /// [`RunError::Preflight`]: nobody has allowed commands, or something left behind cannot be taken back.
    pub(super) async fn prepare(
        profile: &Profile,
        options: &RunOptions,
        observer: &mut dyn RunObserver,
    ) -> Result<Rc<Self>, RunError> {
        let hook = |fault: &Fault| match &fault.kind {
            FaultKind::Exec(exec) => {
                Some(Hook { fault: fault.name.clone(), exec: exec.clone(), begun: Mutex::new(None) })
            }
            _ => None,
        };
        let faults: Vec<Option<Hook>> = profile.faults.iter().map(hook).collect();
        let named: Vec<&str> = faults.iter().flatten().map(|hook| hook.fault.as_str()).collect();
        if !named.is_empty() && !options.hooks.allowed {
            let faults = named.join(", ");
            return Err(RunError::preflight(HookError::NotAllowed { faults }));
        }
        let place = options.hooks.journals.as_ref();
        if let Some(place) = place {
            // A run that stays on this machine and runs no commands has nothing to do with what is left to do elsewhere.
            let harmless = named.is_empty() && profile.target.url.is_none();
            take_back_what_is_left(place, options.hooks.allowed, harmless, observer).await?;
        }
        let journalled = faults.iter().flatten().any(|hook| !hook.exec.undo.is_empty());
        let journal = match place {
            Some(place) if journalled => Some(Journal::create(place).map_err(RunError::preflight)?),
            None if journalled => return Err(RunError::preflight(HookError::NoPlace)),
            _ => None,
        };
        Ok(Rc::new(Self {
            profile: profile.name.clone(),
            faults,
            journal: RefCell::new(journal),
            records: RefCell::default(),
            lines: RefCell::default(),
            unsaid: Cell::default(),
        }))
    }

    /// Runs the command of this fault, or takes it back; answers with what that hits: 1 when the command has succeeded.
    pub(super) async fn play(&self, fault: u32, begin: bool) -> u64 {
        let Some(hook) = self.faults.get(fault as usize).and_then(Option::as_ref) else { return 0 };
        let mut begun = hook.begun.lock().await;
        if begin { self.begin(hook, &mut begun).await } else { self.take_back(hook, &mut begun).await }
    }

    /// The run ends: everything that was begun is taken back, the last first.
    pub(super) async fn take_back_all(&self) {
        loop {
            let newest = self.journal.borrow().as_ref().and_then(|journal| Some(journal.open().next()?.0));
            let Some(newest) = newest else { break };
            let mut taken = false;
            for hook in self.faults.iter().flatten() {
                let mut begun = hook.begun.lock().await;
                if *begun == Some(newest) {
                    self.take_back(hook, &mut begun).await;
                    taken = true;
                }
            }
            let journal = self.journal.borrow();
            let still = journal
                .as_ref()
                .and_then(|journal| journal.open().next())
                .is_some_and(|(at, _)| at == newest);
            // What cannot be taken back stays in the journal, and the ones before it stay with it: their order matters.
            if still || !taken {
                break;
            }
        }
    }

    /// Lets go of the journal; with something still in it, it stays for the next run.
    pub(super) fn close(&self) -> Option<PathBuf> {
        let journal = self.journal.borrow_mut().take()?;
        let left = journal.open().next().map(|_| journal.path().to_owned());
        journal.close();
        left
    }

    /// What was run, in order.
    pub(super) fn records(&self) -> Vec<HookRecord> {
        self.records.borrow().clone()
    }

    /// Lines for `run.log`, once.
    pub(super) fn take_lines(&self) -> Vec<String> {
        let unsaid = self.unsaid.take();
        let more = (unsaid > 0)
            .then(|| format!("… and {unsaid} lines more, of which there was no room to keep any"));
        self.lines.borrow_mut().drain(..).chain(more).collect()
    }

    async fn begin(&self, hook: &Hook, begun: &mut Option<usize>) -> u64 {
        if !hook.exec.undo.is_empty() {
            let entry = Entry {
                fault: hook.fault.clone(),
                profile: self.profile.clone(),
                argv: hook.exec.argv(&hook.exec.undo),
                timeout: hook.exec.timeout,
            };
            let written = self.journal.borrow_mut().as_mut().map(|journal| journal.begin(entry));
            match written {
                Some(Ok(index)) => *begun = Some(index),
                // What could not be taken back after a crash is not begun.
                Some(Err(error)) => return self.not_begun(hook, &error.to_string()),
                None => return self.not_begun(hook, "the run is over"),
            }
        }
        let argv = hook.exec.argv(&hook.exec.command);
        let ran = run(&argv, hook.exec.timeout, &self.names(hook)).await;
        self.keep(hook, &argv, false, &ran);
        u64::from(ran.end == HookEnd::Done)
    }

    async fn take_back(&self, hook: &Hook, begun: &mut Option<usize>) -> u64 {
        let Some(index) = *begun else { return 0 };
        let argv = hook.exec.argv(&hook.exec.undo);
        let ran = run(&argv, hook.exec.timeout, &self.names(hook)).await;
        self.keep(hook, &argv, true, &ran);
        if ran.end == HookEnd::Done {
            *begun = None;
            let written = self.journal.borrow_mut().as_mut().map(|journal| journal.undone(index));
            if let Some(Err(error)) = written {
                self.say(format!("{}: not crossed out in the journal: {error}", hook.fault));
            }
        }
        0
    }

    fn names<'a>(&'a self, hook: &'a Hook) -> [(&'static str, &'a str); 2] {
        [("WAVESOAK_PROFILE", &self.profile), ("WAVESOAK_FAULT", &hook.fault)]
    }

    fn not_begun(&self, hook: &Hook, why: &str) -> u64 {
        self.say(format!("{}: not begun, for the journal cannot be written: {why}", hook.fault));
        self.records.borrow_mut().push(HookRecord {
            fault: hook.fault.clone(),
            undo: false,
            end: HookEnd::NotStarted,
            exit: None,
            took_s: 0.0,
        });
        0
    }

    fn keep(&self, hook: &Hook, argv: &[String], undo: bool, ran: &Ran) {
        self.say(format!(
            "{}: {}{} {}",
            hook.fault,
            if undo { "undo: " } else { "" },
            shown(argv),
            told(ran)
        ));
        for line in String::from_utf8_lossy(&ran.output).lines() {
            self.say(format!("{}: | {line}", hook.fault));
        }
        if ran.unkept > 0 {
            self.say(format!("{}: | … and {} bytes more", hook.fault, ran.unkept));
        }
        self.records.borrow_mut().push(HookRecord {
            fault: hook.fault.clone(),
            undo,
            end: ran.end,
            exit: ran.exit,
            took_s: ran.took.as_secs_f64(),
        });
    }

    fn say(&self, line: String) {
        let mut lines = self.lines.borrow_mut();
        if lines.len() < LINES_MAX {
            lines.push_back(line);
        } else {
            self.unsaid.set(self.unsaid.get() + 1);
        }
    }
}

async fn take_back_what_is_left(
    place: &std::path::Path,
    allowed: bool,
    harmless: bool,
    observer: &mut dyn RunObserver,
) -> Result<(), RunError> {
    for mut journal in Journal::left_behind(place).map_err(RunError::preflight)? {
        let path = journal.path().to_owned();
        while let Some((index, Entry { fault, profile, argv, timeout })) = journal.newest() {
            let shown = shown(&argv);
            if !allowed {
                let left = HookError::LeftBehind { fault, profile, argv: shown, path: path.clone() };
                if harmless {
                    observer.note(&format!("warning: not done before this run: {left}"));
                    break;
                }
                return Err(RunError::preflight(left));
            }
            observer.note(&format!(
                "taking back \"{fault}\", which a killed run of {profile} has left behind: {shown}"
            ));
            let names = [("WAVESOAK_PROFILE", profile.as_str()), ("WAVESOAK_FAULT", fault.as_str())];
            let ran = run(&argv, timeout, &names).await;
            for line in String::from_utf8_lossy(&ran.output).lines().take(20) {
                observer.note(&format!("  | {line}"));
            }
            if ran.end != HookEnd::Done {
                let end = told(&ran);
                return Err(RunError::preflight(HookError::NotUndone { fault, argv: shown, end, path }));
            }
            // If that cannot be written down, the next run will take it back once more.
            let _ = journal.undone(index);
        }
        journal.close();
    }
    Ok(())
}

fn told(ran: &Ran) -> String {
    let took = ran.took.as_secs_f64();
    match (ran.end, ran.exit, &ran.error) {
        (HookEnd::Done, ..) => format!("succeeded after {took:.1} s"),
        (HookEnd::TimedOut, ..) => format!("was killed after {took:.1} s, for it took too long"),
        (_, Some(code), _) => format!("failed with exit status {code} after {took:.1} s"),
        (HookEnd::NotStarted, _, Some(error)) => format!("did not start: {error}"),
        (_, None, Some(error)) => format!("failed: {error}"),
        (_, None, None) => format!("was ended by a signal after {took:.1} s"),
    }
}

fn shown(argv: &[String]) -> String {
    let word = |word: &String| {
        let plain = !word.is_empty()
            && !word.contains(|letter: char| letter.is_whitespace() || "'\"\\$`".contains(letter));
        if plain { word.clone() } else { format!("{word:?}") }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}
