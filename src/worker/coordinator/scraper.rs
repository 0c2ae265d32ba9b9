//! Looks at every pod's `/metrics` and at the target's `/health`, apart from everything else.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
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
/// Pods that are looked at; further addresses of a name are not.
const PODS_MAX: usize = 1_000;

/// Whose `/metrics` are looked at.
pub(super) struct Pods {
    /// URLs as the profile has them.
    names: Vec<Rc<Endpoint>>,
    /// Name and address that each of [`Pods::endpoints`] stands for; `None`: for whatever answers to its name.
    origins: Vec<Option<(usize, SocketAddr)>>,
    endpoints: Vec<Rc<Endpoint>>,
}

impl Pods {
    /// As they are named; a name with several addresses is as many pods, unless it is a balancer's.
    pub(super) async fn find(names: Vec<Rc<Endpoint>>, behind_balancer: bool) -> Self {
        let mut pods = Self { names: Vec::new(), origins: Vec::new(), endpoints: Vec::new() };
        for name in names {
            // Without an address it stays what it is: the first look tells what is wrong.
            let each =
                if behind_balancer || name.resolve().await.is_err() { Vec::new() } else { name.each() };
            if each.is_empty() {
                pods.origins.push(None);
                pods.endpoints.push(name);
                continue;
            }
            let index = pods.names.len();
            pods.names.push(name);
            for (address, pod) in each.into_iter().take(PODS_MAX) {
                pods.origins.push(Some((index, address)));
                pods.endpoints.push(Rc::new(pod));
            }
        }
        pods
    }

    /// One for each pod.
    pub(super) fn endpoints(&self) -> &[Rc<Endpoint>] {
        &self.endpoints
    }
}

/// Everything that is looked at; each place at most once at a time.
pub(super) struct Scraper {
    clock: Clock,
    agent: HeaderValue,
    names: Vec<Rc<Endpoint>>,
    metrics: RefCell<Vec<Rc<Place>>>,
    health: Vec<Rc<Place>>,
    next_lookup: Cell<Timestamp>,
}

impl Scraper {
    /// `pods` are whole URLs of `/metrics`; `endpoints` are asked for `/health`.
    pub(super) fn new(clock: Clock, agent: HeaderValue, pods: Pods, endpoints: &[Rc<Endpoint>]) -> Self {
        let metrics = pods.endpoints.into_iter().zip(pods.origins);
        let metrics = metrics.map(|(endpoint, origin)| Place::new(endpoint, "", origin)).collect();
        let health =
            endpoints.iter().map(|endpoint| Place::new(Rc::clone(endpoint), api::HEALTH, None)).collect();
        let next_lookup = Cell::new(clock.now() + LOOKUP);
        Self { clock, agent, names: pods.names, metrics: RefCell::new(metrics), health, next_lookup }
    }

    /// Begins a look at everything that is not being looked at already.
    pub(super) fn look(self: &Rc<Self>, stage: &Rc<Stage>) {
        let (scraper, scraped) = (Rc::clone(self), Rc::clone(stage));
        drop(spawn_local(async move { scraper.scrape_all(&scraped).await }));
        if self.clock.now() >= self.next_lookup.get() {
            self.next_lookup.set(self.clock.now() + LOOKUP);
            let (scraper, stage) = (Rc::clone(self), Rc::clone(stage));
            drop(spawn_local(async move { scraper.look_up(&stage).await }));
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
        let places = self.metrics.borrow().clone();
        let asked = join_all(places.iter().map(|place| place.ask(self))).await;
        for (endpoint, answer) in (0..).zip(asked) {
            // The last look at this pod is not over: it will tell. Or the pod is there no more.
            let Some(answer) = answer else { continue };
            let answer = answer.filter(Answer::is_success);
            let text = answer.as_ref().and_then(|answer| std::str::from_utf8(&answer.body).ok());
            stage.tell(Event::Scraped { endpoint, text });
        }
    }

    async fn look_up(&self, stage: &Rc<Stage>) {
        let unnamed =
            self.metrics.borrow().iter().filter(|place| place.origin.is_none()).cloned().collect::<Vec<_>>();
        for place in unnamed.iter().chain(&self.health) {
            // The old addresses stay: whether they are still good, the next connection will tell.
            let _ = place.endpoint.resolve().await;
        }
        for (index, name) in self.names.iter().enumerate() {
            if name.resolve().await.is_ok() {
                self.compare(index, name, stage);
            }
        }
    }

    /// Pods come and go with the addresses of their name.
    fn compare(&self, index: usize, name: &Endpoint, stage: &Rc<Stage>) {
        let each = name.each();
        let mut places = self.metrics.borrow_mut();
        for (endpoint, place) in places.iter().enumerate() {
            let Some((_, address)) = place.origin.filter(|(name, _)| *name == index) else { continue };
            let there = each.iter().any(|(now, _)| *now == address);
            if place.there.replace(there) != there {
                stage.tell(Event::Pod { endpoint, there });
            }
        }
        for (address, pod) in each {
            let origin = Some((index, address));
            if places.len() < PODS_MAX && !places.iter().any(|place| place.origin == origin) {
                stage.tell(Event::Pod { endpoint: places.len(), there: true });
                places.push(Place::new(Rc::new(pod), "", origin));
            }
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
    origin: Option<(usize, SocketAddr)>,
    /// Its name has its address.
    there: Cell<bool>,
    /// `None` while it is being looked at; else the connection that is kept, if there is one.
    idle: RefCell<Option<Option<Connection>>>,
}

impl Place {
    fn new(endpoint: Rc<Endpoint>, path: &'static str, origin: Option<(usize, SocketAddr)>) -> Rc<Self> {
        Rc::new(Self { endpoint, path, origin, there: Cell::new(true), idle: RefCell::new(Some(None)) })
    }

    /// The answer, if there was one; nothing at all when the last look is not over, or the place is gone.
    async fn ask(&self, scraper: &Scraper) -> Option<Option<Answer>> {
        let mut slot = self.there.get().then(|| self.idle.borrow_mut().take())??;
        let deadline = scraper.clock.instant(scraper.clock.now() + PATIENCE);
        let request = || Call::get(self.path).to_request(&self.endpoint, &scraper.agent);
        let answer = exchange(&mut slot, &self.endpoint, deadline, api::METRICS_BYTES, request).await;
        *self.idle.borrow_mut() = Some(slot);
        Some(answer.ok())
    }
}
