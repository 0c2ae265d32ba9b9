//! One part of an embedded target as a child process: the pods, or the balancer.
//!
//! The first line of stdin says which and how ([`Order`]), every further one is a [`Command`]; each answer is
//! one line of stdout ([`Answer`]). It ends with its stdin, so that a killed parent leaves no orphans.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::secret::Secret;

use super::config::Config;
use super::proxy::Proxy;
use super::server::Pods;
use super::truth::Truth;

/// The hidden subcommand: what the child process runs.
pub const SUBCOMMAND: &str = "target-part";

/// The first line of a part's stdin.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Be the pods.
    Pods {
        config: Config,
        /// The signing key: it comes by this way only, never by flag or environment.
        key: String,
        log: Option<PathBuf>,
        /// Of the first pod; absent: any.
        port: Option<u16>,
    },
    /// Be the balancer.
    Balancer { config: Config, pods: Vec<SocketAddr>, port: Option<u16> },
}

/// Every further line of a part's stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Command {
    /// Begin the fault with this index in the profile.
    Begin(u32),
    /// End it.
    End(u32),
    /// Say what the faults have done.
    Truth,
}

/// A line of a part's stdout.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To the order: it listens there.
    Ready(Vec<SocketAddr>),
    /// To the order: it cannot.
    Failed(String),
    /// To begin and end: what was hit since the last such answer; none if the fault is not this part's.
    Affected(Option<u64>),
    /// To truth.
    Truth(Truth),
    /// Unasked, once: the first stream has been said hello to.
    FirstHello,
}

/// Runs a part to the end of its stdin.
pub fn main() -> ExitCode {
    let mut first = String::new();
    let order = match io::stdin().lock().read_line(&mut first) {
        Ok(_) => serde_json::from_str::<Order>(&first),
        Err(error) => Err(serde_json::Error::io(error)),
    };
    let order = match order {
        Ok(order) => order,
        // Without the text: it may hold the key.
        Err(_) => {
            eprintln!("{SUBCOMMAND} is a part of wavesoak's own target and is not meant to be called");
            return ExitCode::from(2);
        }
    };
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let local = LocalSet::new();
    match local.block_on(&runtime, run(order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(order: Order) -> io::Result<()> {
    let (hello, mut first_hello) = mpsc::unbounded_channel();
    let mut part = Part::start(order, hello)?;
    answer(&Answer::Ready(part.addresses()))?;
    let mut commands = read_commands();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => answer(&part.obey(command).await)?,
                None => break,
            },
            Some(()) = first_hello.recv() => answer(&Answer::FirstHello)?,
        }
    }
    part.finish();
    Ok(())
}

enum Part {
    Pods(Pods),
    Balancer(Proxy),
}

impl Part {
    fn start(order: Order, first_hello: mpsc::UnboundedSender<()>) -> io::Result<Self> {
        Ok(match order {
            Order::Pods { config, key, log, port } => {
                let log = log.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
                Self::Pods(Pods::start(&config, &Secret::new(key), log, port, first_hello)?)
            }
            Order::Balancer { config, pods, port } => Self::Balancer(Proxy::start(&config, pods, port)?),
        })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Pods(pods) => pods.addresses(),
            Self::Balancer(proxy) => vec![proxy.address()],
        }
    }

    async fn obey(&mut self, command: Command) -> Answer {
        match (self, command) {
            (Self::Pods(pods), Command::Begin(index)) => Answer::Affected(pods.begin_fault(index).await),
            (Self::Pods(pods), Command::End(index)) => Answer::Affected(pods.end_fault(index).await),
            (Self::Pods(pods), Command::Truth) => Answer::Truth(pods.truth()),
            (Self::Balancer(proxy), Command::Begin(index)) => Answer::Affected(proxy.begin_fault(index)),
            (Self::Balancer(proxy), Command::End(index)) => Answer::Affected(proxy.end_fault(index)),
            (Self::Balancer(proxy), Command::Truth) => Answer::Truth(proxy.truth()),
        }
    }

    fn finish(&self) {
        if let Self::Pods(pods) = self {
            pods.finish();
        }
    }
}

/// Reads commands on a thread of its own (stdin has no other way); the channel closes at the end of stdin, and
/// at a line that is no command.
fn read_commands() -> mpsc::Receiver<Command> {
    let (sender, receiver) = mpsc::channel(COMMANDS_WAITING);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Some(command) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
            if sender.blocking_send(command).is_err() {
                break;
            }
        }
    });
    receiver
}

fn answer(answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

fn fail(error: &io::Error) -> ExitCode {
    // A parent that has gone needs no answer.
    let _ = answer(&Answer::Failed(error.to_string()));
    ExitCode::FAILURE
}

/// Every stream costs a descriptor here, and two in the balancer: take all that may be had.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the old limit holds, which the harness's preflight knows.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

const COMMANDS_WAITING: usize = 16;
