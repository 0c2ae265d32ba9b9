//! An embedded target from its parent's side: child processes, started, commanded and ended.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command as Process};
use tokio::sync::{mpsc, watch};

use crate::secret::Secret;

use super::config::Config;
use super::part::{Answer, Command, Order, SUBCOMMAND};
use super::token::fresh_key;
use super::truth::Truth;

/// A running target: its pods in one child process, its balancer, if it has one, in another.
///
/// Dropping it kills the children; [`Embedded::shutdown`] ends them in good order.
#[derive(Debug)]
pub struct Embedded {
    pods: Part,
    balancer: Option<Part>,
    pod_addresses: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    key: Secret,
}

/// How to start a target.
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    /// Where the pods' JSON log lines are appended; `None`: nowhere.
    pub log: Option<PathBuf>,
    /// The port of the balancer, or without one that of the first pod; `None`: any.
    pub port: Option<u16>,
}

/// Fragments that complete "failed to …".
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The child did not start.
    #[error("start the target's {part}")]
    Start {
        /// Which.
        part: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The child said that it cannot.
    #[error("get the target's {part} ready: {reason}")]
    NotReady {
        /// Which.
        part: &'static str,
        /// What it said.
        reason: String,
    },
    /// The child ended, or does not speak as it should.
    #[error("talk to the target's {part}: it has ended")]
    Gone {
        /// Which.
        part: &'static str,
    },
    /// The child does not answer.
    #[error("talk to the target's {part}: no answer in {} s", PATIENCE.as_secs())]
    Silent {
        /// Which.
        part: &'static str,
    },
}

impl Embedded {
    /// Starts a target as child processes of `exe`, which must be this very program, and waits until it listens.
    ///
    /// # Errors
    /// A child does not start, or cannot listen or log where it was told to.
    pub async fn spawn(exe: &Path, config: &Config, options: SpawnOptions) -> Result<Self, ProcessError> {
        let key = fresh_key();
        let SpawnOptions { log, port } = options;
        let proxied = config.balancer.proxy;
        let order = Order::Pods {
            config: config.clone(),
            key: key.expose().to_owned(),
            log,
            port: port.filter(|_| !proxied),
        };
        let (pods, pod_addresses) = Part::start(exe, "pods", &order).await?;
        let (balancer, addresses) = if proxied {
            let order = Order::Balancer { config: config.clone(), pods: pod_addresses.clone(), port };
            let (balancer, addresses) = Part::start(exe, "balancer", &order).await?;
            (Some(balancer), addresses)
        } else {
            (None, pod_addresses.clone())
        };
        Ok(Self { pods, balancer, pod_addresses, addresses, key })
    }

    /// Where clients go: the balancer, or without one all pods, over which they are to be spread evenly.
    pub fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("http://{address}")).collect()
    }

    /// `/metrics` of every pod, reached without the balancer.
    pub fn metrics_urls(&self) -> Vec<String> {
        self.pod_addresses.iter().map(|address| format!("http://{address}/metrics")).collect()
    }

    /// The HS256 key of its tokens.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// Process ids of the children.
    pub fn pids(&self) -> Vec<u32> {
        self.parts().filter_map(|part| part.child.id()).collect()
    }

    /// Begins the fault with this index in the profile. Answers with what it has hit since it was last told of:
    /// connections, publishes, refusals or events, by its kind. `None`: no part of this target plants it (a
    /// client-side fault, or an idle timeout without a balancer).
    ///
    /// # Errors
    /// A child has ended or does not answer.
    pub async fn begin_fault(&mut self, index: u32) -> Result<Option<u64>, ProcessError> {
        self.plant(Command::Begin(index)).await
    }

    /// Ends it. A pod that was killed for good stays dead.
    ///
    /// # Errors
    /// A child has ended or does not answer.
    pub async fn end_fault(&mut self, index: u32) -> Result<Option<u64>, ProcessError> {
        self.plant(Command::End(index)).await
    }

    /// What the faults of all parts have done so far.
    ///
    /// # Errors
    /// A child has ended or does not answer.
    pub async fn truth(&mut self) -> Result<Truth, ProcessError> {
        let mut truth = Truth::default();
        for part in [Some(&mut self.pods), self.balancer.as_mut()].into_iter().flatten() {
            match part.ask(Command::Truth).await? {
                Answer::Truth(of_part) => truth.merge(&of_part),
                _ => return Err(ProcessError::Gone { part: part.name }),
            }
        }
        Ok(truth)
    }

    /// Returns when the first stream has been said hello to, at once if that was before; never, if the pods end
    /// before it.
    pub async fn first_hello(&self) {
        let mut first_hello = self.pods.first_hello.clone();
        if first_hello.wait_for(|&seen| seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when a child has ended, with its name: nobody asked it to.
    pub async fn ended(&mut self) -> &'static str {
        let pods = self.pods.child.wait();
        match &mut self.balancer {
            Some(balancer) => tokio::select! {
                _ = pods => self.pods.name,
                _ = balancer.child.wait() => balancer.name,
            },
            None => {
                // Whatever its status was, it is not there any more.
                let _ = pods.await;
                self.pods.name
            }
        }
    }

    /// Ends the children in good order: the log is written out. One that does not end is killed.
    pub async fn shutdown(self) {
        for part in [self.balancer, Some(self.pods)].into_iter().flatten() {
            part.finish().await;
        }
    }

    async fn plant(&mut self, command: Command) -> Result<Option<u64>, ProcessError> {
        for part in [Some(&mut self.pods), self.balancer.as_mut()].into_iter().flatten() {
            match part.ask(command).await? {
                Answer::Affected(None) => {}
                Answer::Affected(affected) => return Ok(affected),
                _ => return Err(ProcessError::Gone { part: part.name }),
            }
        }
        Ok(None)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        [Some(&self.pods), self.balancer.as_ref()].into_iter().flatten()
    }
}

/// One child process.
#[derive(Debug)]
struct Part {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<Answer>,
    first_hello: watch::Receiver<bool>,
}

impl Part {
    async fn start(
        exe: &Path,
        name: &'static str,
        order: &Order,
    ) -> Result<(Self, Vec<SocketAddr>), ProcessError> {
        let start = |source| ProcessError::Start { part: name, source };
        let mut child = Process::new(exe)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in the terminal is the parent's to handle: it still needs its target to drain.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(start(io::Error::other("its pipes are missing")));
        };
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING);
        let (hello, first_hello) = watch::channel(false);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(Answer::FirstHello) => drop(hello.send_replace(true)),
                    Ok(answer) => {
                        if sender.send(answer).await.is_err() {
                            break;
                        }
                    }
                    // Not our program.
                    Err(_) => break,
                }
            }
        });
        let mut part = Self { name, child, stdin, answers, first_hello };
        let order = serde_json::to_string(order).map_err(|error| start(error.into()))?;
        match part.say(order).await? {
            Answer::Ready(addresses) => Ok((part, addresses)),
            Answer::Failed(reason) => Err(ProcessError::NotReady { part: name, reason }),
            _ => Err(ProcessError::Gone { part: name }),
        }
    }

    async fn ask(&mut self, command: Command) -> Result<Answer, ProcessError> {
        let line = serde_json::to_string(&command).map_err(|_| ProcessError::Gone { part: self.name })?;
        self.say(line).await
    }

    /// Writes a line and waits for its answer.
    async fn say(&mut self, mut line: String) -> Result<Answer, ProcessError> {
        let part = self.name;
        line.push('\n');
        let exchange = async {
            self.stdin.write_all(line.as_bytes()).await.ok()?;
            self.stdin.flush().await.ok()?;
            self.answers.recv().await
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(ProcessError::Gone { part }),
            Err(_) => Err(ProcessError::Silent { part }),
        }
    }

    async fn finish(mut self) {
        drop(self.stdin);
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            // It may have ended in this very moment.
            let _ = self.child.kill().await;
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWERS_WAITING: usize = 16;
