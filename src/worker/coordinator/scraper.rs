//! Looks at every pod's `/metrics` and at the target's `/health`, apart from everything else.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use http::header::HeaderValue;
use tokio::task::spawn_local;

use super::stage::Stage;
use crate::driver::api;
use crate::driver::clock::Clock;
use crate::driver::endpoint::Endpoint;
use crate::driver::http::{Answer, Call, Connection, exchange};
use crate::time::Timestamp;
use crate::worker::conductor::Event;

/// Time between two look-ups of the target's host: a deployment may move to other addresses while a soak goes on.
const LOOKUP: Duration = Duration::from_secs(30);
/// Time to an answer, however far apart looks are.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is looked at; each place at most once at a time.
pub(super) struct Scraper {
    clock: Clock,
    agent: HeaderValue,
    metrics: Vec<Rc<Place>>,
    health: Vec<Rc<Place>>,
    next_lookup: Cell<Timestamp>,
}

impl Scraper {
    /// `metrics` are whole URLs of `/metrics`; `endpoints` are asked for `/health`.
    pub(super) fn new(
        clock: Clock,
        agent: HeaderValue,
        metrics: Vec<Rc<Endpoint>>,
        endpoints: &[Rc<Endpoint>],
    ) -> Self {
        let metrics = metrics.into_iter().map(|endpoint| Place::new(endpoint, "")).collect();
        let health = endpoints.iter().map(|endpoint| Place::new(Rc::clone(endpoint), api::HEALTH)).collect();
        Self { clock, agent, metrics, health, next_lookup: Cell::new(clock.now() + LOOKUP) }
    }

    /// Begins a look at everything that is not being looked at already.
    pub(super) fn look(self: &Rc<Self>, stage: &Rc<Stage>) {
        let (scraper, scraped) = (Rc::clone(self), Rc::clone(stage));
        drop(spawn_local(async move { scraper.scrape_all(&scraped).await }));
        if self.clock.now() >= self.next_lookup.get() {
            self.next_lookup.set(self.clock.now() + LOOKUP);
            let scraper = Rc::clone(self);
            drop(spawn_local(async move { scraper.look_up().await }));
        }
        let (scraper, stage) = (Rc::clone(self), Rc::clone(stage));
        drop(spawn_local(async move {
            if let Some(healthy) = scraper.healthy().await {
                stage.tell(Event::Health(healthy));
            }
        }));
    }

    /// Looks at all metrics at once, and tells of them in one go: a sum over the pods is of one moment.
    pub(super) async fn scrape_all(&self, stage: &Rc<Stage>) {
        let asked = join_all(self.metrics.iter().map(|place| place.ask(self))).await;
        for (endpoint, answer) in (0..).zip(asked) {
            // The last look at this pod is not over: it will tell.
            let Some(answer) = answer else { continue };
            let answer = answer.filter(Answer::is_success);
            let text = answer.as_ref().and_then(|answer| std::str::from_utf8(&answer.body).ok());
            stage.tell(Event::Scraped { endpoint, text });
        }
    }

    async fn look_up(&self) {
        for place in self.metrics.iter().chain(&self.health) {
            // The old addresses stay: whether they are still good, the next connection will tell.
            let _ = place.endpoint.resolve().await;
        }
    }

    /// Whether every endpoint is; `None`: still busy with the last look.
    async fn healthy(&self) -> Option<bool> {
        let mut healthy = true;
        for place in &self.health {
            healthy &= place.ask(self).await?.is_some_and(|answer| answer.is_success());
        }
        Some(healthy)
    }
}

struct Place {
    endpoint: Rc<Endpoint>,
    path: &'static str,
    /// `None` while it is being looked at; else the connection that is kept, if there is one.
    idle: RefCell<Option<Option<Connection>>>,
}

impl Place {
    fn new(endpoint: Rc<Endpoint>, path: &'static str) -> Rc<Self> {
        Rc::new(Self { endpoint, path, idle: RefCell::new(Some(None)) })
    }

    /// The answer, if there was one; nothing at all when the last look is not over.
    async fn ask(&self, scraper: &Scraper) -> Option<Option<Answer>> {
        let mut slot = self.idle.borrow_mut().take()?;
        let deadline = scraper.clock.instant(scraper.clock.now() + PATIENCE);
        let request = || Call::get(self.path).to_request(&self.endpoint, &scraper.agent);
        let answer = exchange(&mut slot, &self.endpoint, deadline, api::METRICS_BYTES, request).await;
        *self.idle.borrow_mut() = Some(slot);
        Some(answer.ok())
    }
}
