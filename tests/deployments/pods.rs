//! The pods behind a balancer: the reference target without one of its own.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wavesoak::profile::BalancerMode;
use wavesoak::target::process::{Embedded, SpawnOptions};
use wavesoak::target::{Config, Truth};

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_wavesoak");

/// Running pods.
pub(crate) struct Pods {
    /// Their addresses, as `127.0.0.1:port`.
    pub(crate) addresses: Vec<String>,
    /// The URLs of their `/metrics`.
    pub(crate) metrics: Vec<String>,
    /// What signs their tokens.
    pub(crate) key: String,
    /// What is wanted of them; they end when it is dropped.
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pods {
    /// So many, which ping every second.
    pub(crate) fn start(pods: u32) -> Self {
        Self::start_with(pods, |config| config.ping_interval = Duration::from_secs(1))
    }

    /// So many, with something changed.
    pub(crate) fn start_with(pods: u32, change: impl FnOnce(&mut Config)) -> Self {
        let text = "[[phase]]\nduration = \"1s\"\nclients = \"100%\"\n";
        let mut profile = wavesoak::profile::parse(text, "pods.toml", &[]).expect("a profile").profile;
        profile.target.embedded.pods = pods;
        profile.target.embedded.balancer.mode = BalancerMode::Direct;
        let mut config = Config::from_profile(&profile);
        change(&mut config);
        let (asks, asked) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::spawn(move || serve(&config, &ready, &asked));
        let (urls, metrics, key) = started.recv().expect("they start");
        let addresses = urls.iter().map(|url| url.trim_start_matches("http://").to_owned()).collect();
        Self { addresses, metrics, key, asks: Some(asks), thread: Some(thread) }
    }

    /// What they know that they did.
    pub(crate) fn truth(&self) -> Truth {
        self.ask(Ask::Truth)
    }

    /// Begins a fault of theirs that is not there from the start.
    pub(crate) fn begin(&self, fault: u32) {
        self.ask(|begun| Ask::Begin(fault, begun));
    }

    fn ask<R>(&self, what: impl FnOnce(mpsc::Sender<R>) -> Ask) -> R {
        let (answer, answered) = mpsc::channel();
        self.asks.as_ref().expect("they serve").send(what(answer)).expect("they serve");
        answered.recv().expect("they answer")
    }
}

enum Ask {
    Truth(mpsc::Sender<Truth>),
    Begin(u32, mpsc::Sender<()>),
}

type Started = (Vec<String>, Vec<String>, String);

fn serve(config: &Config, ready: &mpsc::Sender<Started>, asked: &mpsc::Receiver<Ask>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let spawned = Embedded::spawn(Path::new(EXE), config, SpawnOptions::default()).await;
        let mut target = spawned.expect("a target");
        for fault in config.faults.iter().filter(|fault| fault.at.is_zero()) {
            target.begin_fault(fault.index).await.expect("a fault that it knows");
        }
        let key = target.key().expose().to_owned();
        ready.send((target.urls(), target.metrics_urls(), key)).expect("somebody waits");
        // The children serve by themselves; this thread only keeps them until it is told.
        while let Ok(ask) = asked.recv() {
            match ask {
                Ask::Truth(answer) => {
                    answer.send(target.truth().await.expect("the truth")).expect("somebody waits");
                }
                Ask::Begin(fault, begun) => {
                    target.begin_fault(fault).await.expect("a fault that it knows");
                    begun.send(()).expect("somebody waits");
                }
            }
        }
        target.shutdown().await;
    });
}

impl Drop for Pods {
    fn drop(&mut self) {
        drop(self.asks.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
