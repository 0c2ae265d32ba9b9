//! Looks at every pod's `/metrics` and at the target's `/health`, apart from everything else.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
/// The address of a name that has none yet.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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
            let found = name.resolve().await.is_ok();
            let each = if behind_balancer { Vec::new() } else { name.each() };
            if found && each.is_empty() || behind_balancer {
                pods.origins.push(None);
                pods.endpoints.push(name);
                continue;
            }
            let index = pods.names.len();
            if each.is_empty() {
                // The first look tells what is wrong; as soon as the name has addresses, they take its place.
                pods.origins.push(Some((index, NOWHERE)));
                pods.endpoints.push(Rc::clone(&name));
            }
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
    /// Looks at everything so far.
    rounds: Cell<u64>,
    /// What was begun up to this round is not told any more.
    over: Cell<u64>,
}

impl Scraper {
    /// `pods` are whole URLs of `/metrics`; `endpoints` are asked for `/health`.
    pub(super) fn new(clock: Clock, agent: HeaderValue, pods: Pods, endpoints: &[Rc<Endpoint>]) -> Self {
        let metrics = pods.endpoints.into_iter().zip(pods.origins);
        let metrics = metrics.map(|(endpoint, origin)| Place::new(endpoint, "", origin)).collect();
        let health =
            endpoints.iter().map(|endpoint| Place::new(Rc::clone(endpoint), api::HEALTH, None)).collect();
        let next_lookup = Cell::new(clock.now() + LOOKUP);
        let (metrics, rounds, over) = (RefCell::new(metrics), Cell::new(0), Cell::new(0));
        Self { clock, agent, names: pods.names, metrics, health, next_lookup, rounds, over }
    }

    /// Begins a look at everything that is not being looked at already.
    pub(super) fn look(self: &Rc<Self>, stage: &Rc<Stage>) {
        let (scraper, scraped) = (Rc::clone(self), Rc::clone(stage));
        drop(spawn_local(async move {
            scraper.scrape_all(&scraped).await;
        }));
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

    /// Looks at all metrics at once, and tells of them in one go: a sum over the pods is of one moment. `true`: every pod has
    /// answered.
    pub(super) async fn scrape_all(&self, stage: &Rc<Stage>) -> bool {
        self.scrape(|endpoint, text| stage.tell(Event::Scraped { endpoint, text })).await
    }

    /// What is seen from now on is of another time than what was.
    pub(super) fn begin_anew(&self) {
        self.over.set(self.rounds.get());
    }

    async fn scrape(&self, mut tell: impl FnMut(u32, Option<&str>)) -> bool {
        let places = self.metrics.borrow().clone();
        let round = self.rounds.get() + 1;
        self.rounds.set(round);
        let asked = join_all(places.iter().map(|place| place.ask(self))).await;
        let mut whole = true;
        for ((endpoint, answer), place) in (0..).zip(asked).zip(&places) {
            // The last look at this pod is not over: it will tell. Or the pod is there no more.
            let Some(answer) = answer else {
                whole &= !place.there.get();
                continue;
            };
            // While this round waited for a slow pod, others have come and told of this one: what is older than that would
            // look like a counter that was reset.
            if round <= place.told.get().max(self.over.get()) {
                continue;
            }
            place.told.set(round);
            let answer = answer.filter(Answer::is_success);
            whole &= answer.is_some();
            let text = answer.as_ref().and_then(|answer| std::str::from_utf8(&answer.body).ok());
            tell(endpoint, text);
        }
        whole
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
    /// The round that has told of it last.
    told: Cell<u64>,
    /// `None` while it is being looked at; else the connection that is kept, if there is one.
    idle: RefCell<Option<Option<Connection>>>,
}

impl Place {
    fn new(endpoint: Rc<Endpoint>, path: &'static str, origin: Option<(usize, SocketAddr)>) -> Rc<Self> {
        let (there, told, idle) = (Cell::new(true), Cell::new(0), RefCell::new(Some(None)));
        Rc::new(Self { endpoint, path, origin, there, told, idle })
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::sync::Notify;

    use super::*;

    /// A pod that counts its answers; the first of them waits for this.
    async fn pod(first: Option<Rc<Notify>>) -> Rc<Endpoint> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/metrics", listener.local_addr().expect("bound"));
        drop(spawn_local(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 4096];
            for number in 1.. {
                if socket.read(&mut request).await.expect("readable") == 0 {
                    break;
                }
                if let (1, Some(first)) = (number, &first) {
                    first.notified().await;
                }
                let body = format!("answers {number}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                socket.write_all(answer.as_bytes()).await.expect("an open connection");
            }
        }));
        Rc::new(Endpoint::parse(&url).expect("a good URL"))
    }

    async fn scraper(endpoints: Vec<Rc<Endpoint>>) -> Rc<Scraper> {
        let agent = HeaderValue::from_static("wavesoak/0 (test)");
        let pods = Pods::find(endpoints, false).await;
        Rc::new(Scraper::new(Clock::start(), agent, pods, &[]))
    }

    type Told = Rc<RefCell<Vec<(u32, Option<String>)>>>;

    async fn scrape(scraper: &Scraper, told: &Told) -> bool {
        let tell = |endpoint, text: Option<&str>| told.borrow_mut().push((endpoint, text.map(str::to_owned)));
        scraper.scrape(tell).await
    }

    fn on_one_thread(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(test);
    }

    fn said(endpoint: u32, number: u32) -> (u32, Option<String>) {
        (endpoint, Some(format!("answers {number}")))
    }

    #[test]
    fn what_waited_for_a_slow_pod_is_not_told_behind_what_is_newer() {
        on_one_thread(async {
            let (go, told) = (Rc::new(Notify::new()), Told::default());
            let scraper = scraper(vec![pod(None).await, pod(Some(Rc::clone(&go))).await]).await;
            let first = {
                let (scraper, told) = (Rc::clone(&scraper), Rc::clone(&told));
                spawn_local(async move { scrape(&scraper, &told).await })
            };
            tokio::task::yield_now().await;
            // The second round sees the quick pod alone, as soon as the first round has seen it.
            while told.borrow().is_empty() {
                assert!(!scrape(&scraper, &told).await, "one is still busy");
                tokio::task::yield_now().await;
            }
            assert_eq!(*told.borrow(), [said(0, 2)]);
            go.notify_one();
            first.await.expect("no panic");
            assert_eq!(*told.borrow(), [said(0, 2), said(1, 1)], "not what the quick one said at first");
            assert!(scrape(&scraper, &told).await, "both answer");
        });
    }

    #[test]
    fn a_look_that_was_begun_before_everybody_left_is_not_one_after_it() {
        on_one_thread(async {
            let (go, told) = (Rc::new(Notify::new()), Told::default());
            let scraper = scraper(vec![pod(Some(Rc::clone(&go))).await]).await;
            let first = {
                let (scraper, told) = (Rc::clone(&scraper), Rc::clone(&told));
                spawn_local(async move { scrape(&scraper, &told).await })
            };
            tokio::task::yield_now().await;
            scraper.begin_anew();
            go.notify_one();
            first.await.expect("no panic");
            assert_eq!(*told.borrow(), []);
            assert!(scrape(&scraper, &told).await);
            assert_eq!(*told.borrow(), [said(0, 2)]);
        });
    }

    #[test]
    fn a_name_without_an_address_is_a_pod_that_does_not_answer_until_it_has_some() {
        on_one_thread(async {
            let nowhere = Rc::new(Endpoint::parse("http://nowhere.invalid:1/metrics").expect("a good URL"));
            let pods = Pods::find(vec![pod(None).await, nowhere], false).await;
            let at: Vec<_> =
                pods.origins.iter().map(|origin| origin.map(|(name, at)| (name, at == NOWHERE))).collect();
            assert_eq!(at, [Some((0, false)), Some((1, true))]);
            assert_eq!((pods.names.len(), pods.endpoints.len()), (2, 2));
        });
    }
}
