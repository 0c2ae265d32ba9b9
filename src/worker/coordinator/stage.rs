//! Where the conductor's commands are carried out, and from where it is told what became of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::ground::Ground;
use super::hooks::Hooks;
use crate::driver::clock::Clock;
use crate::driver::fleet::{Fleet, Watcher};
use crate::driver::publisher::Publisher;
use crate::session::Observation;
use crate::target::process::ProcessError;
use crate::time::Timestamp;
use crate::wire::Position;
use crate::worker::conductor::{Command, Conductor, Event, FlushCost, FlushTrouble};

/// Conductor, fleet and publisher of one worker, on one thread.
pub(super) struct Stage {
    pub(super) clock: Clock,
    conductor: RefCell<Conductor>,
    publisher: Rc<Publisher>,
    pub(super) ground: Rc<Ground>,
    pub(super) hooks: Rc<Hooks>,
    /// Taken away at the end: the fleet's watcher is the stage itself.
    fleet: RefCell<Option<Rc<Fleet>>>,
    /// The conductor may have to be woken at another time than it was.
    rearm: Notify,
    finished: Cell<bool>,
    /// The embedded target does not do what it is told: the run is worth nothing.
    broken: RefCell<Option<ProcessError>>,
    /// The latest trouble with the store of positions, for `run.log`.
    told: RefCell<Option<String>>,
}

impl Stage {
    pub(super) fn new(
        clock: Clock,
        conductor: Conductor,
        publisher: Rc<Publisher>,
        ground: Rc<Ground>,
        hooks: Rc<Hooks>,
    ) -> Rc<Self> {
        Rc::new(Self {
            clock,
            conductor: RefCell::new(conductor),
            publisher,
            ground,
            hooks,
            fleet: RefCell::new(None),
            rearm: Notify::new(),
            finished: Cell::new(false),
            broken: RefCell::new(None),
            told: RefCell::new(None),
        })
    }

    /// The fleet that orders go to.
    pub(super) fn enter(&self, fleet: Rc<Fleet>) {
        *self.fleet.borrow_mut() = Some(fleet);
    }

    /// Takes the fleet away again: no order reaches it any more.
    pub(super) fn leave(&self) -> Option<Rc<Fleet>> {
        self.fleet.borrow_mut().take()
    }

    /// Tells the conductor, and carries out what it wants.
    pub(super) fn tell(self: &Rc<Self>, event: Event<'_>) {
        let commands = {
            let mut conductor = self.conductor.borrow_mut();
            conductor.handle(self.clock.now(), event);
            std::iter::from_fn(|| conductor.poll()).collect::<Vec<_>>()
        };
        for command in commands {
            self.carry_out(command);
        }
        self.rearm.notify_one();
    }

    /// Looks at (or takes from) the conductor.
    pub(super) fn ask<T>(&self, question: impl FnOnce(Timestamp, &mut Conductor) -> T) -> T {
        question(self.clock.now(), &mut self.conductor.borrow_mut())
    }

    /// Resolves when the conductor's next wake may have changed.
    pub(super) async fn rearmed(&self) {
        self.rearm.notified().await;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// The embedded target has let us down.
    pub(super) fn fail(&self, error: ProcessError) {
        self.broken.borrow_mut().get_or_insert(error);
        self.rearm.notify_one();
    }

    /// How it has, if it has.
    pub(super) fn failure(&self) -> Option<ProcessError> {
        self.broken.borrow_mut().take()
    }

    /// What is to be read in `run.log`, once.
    pub(super) fn take_told(&self) -> Option<String> {
        self.told.borrow_mut().take()
    }

    fn carry_out(self: &Rc<Self>, command: Command) {
        match command {
            Command::Order { client, order } => {
                if let Some(fleet) = self.fleet() {
                    fleet.order(client, order);
                }
            }
            Command::Plant { fault, clients, line } => {
                if let Some(fleet) = self.fleet() {
                    fleet.plant(fault, clients, line);
                }
            }
            Command::Target { fault, begin } => {
                let stage = Rc::clone(self);
                drop(spawn_local(async move {
                    match stage.ground.fault(fault, begin).await {
                        Ok(Some(affected)) => stage.tell(Event::Planted { fault, affected }),
                        Ok(None) => {}
                        Err(error) => stage.fail(error),
                    }
                }));
            }
            Command::Hook { fault, begin } => {
                let stage = Rc::clone(self);
                drop(spawn_local(async move {
                    let affected = stage.hooks.play(fault, begin).await;
                    stage.tell(Event::Planted { fault, affected });
                }));
            }
            Command::Publish(publication) => {
                let stage = Rc::clone(self);
                drop(spawn_local(async move {
                    let published = stage.publisher.publish(&publication).await;
                    if let (Some(life), Some(fleet)) = (published.refreshed, stage.fleet()) {
                        fleet.refreshed(publication.publisher, life);
                    }
                    let (ticket, sent, reply) = (publication.ticket, published.sent, published.reply);
                    stage.tell(Event::Published { ticket, sent, reply });
                }));
            }
            Command::Fetch { id, client, what } => {
                let stage = Rc::clone(self);
                drop(spawn_local(async move {
                    let fetched = stage.publisher.fetch(client, what).await;
                    if let (Some(life), Some(fleet)) = (fetched.refreshed, stage.fleet()) {
                        fleet.refreshed(client, life);
                    }
                    let page = fetched.page();
                    stage.tell(Event::Fetched { id, result: page.as_ref().map_err(|&trouble| trouble) });
                }));
            }
            Command::Finished => self.finished.set(true),
        }
    }

    fn fleet(&self) -> Option<Rc<Fleet>> {
        self.fleet.borrow().clone()
    }
}

/// What the fleet tells of: the conductor counts it, and decides nothing at once, so that no command has to be carried
/// out from within a client.
pub(super) struct Watch(pub(super) std::rc::Weak<Stage>);

impl Watcher for Watch {
    fn observe(&self, now: Timestamp, client: u32, observation: &Observation) {
        // Once the books are closed, the leaving of clients is nobody's business.
        if let Some(stage) = self.0.upgrade()
            && !stage.is_finished()
        {
            stage.conductor.borrow_mut().observe(now, client, observation);
        }
    }

    fn planted(&self, fault: u32, affected: u64) {
        if let Some(stage) = self.0.upgrade() {
            stage.tell(Event::Planted { fault, affected });
        }
    }

    fn flushed(&self, positions: &[(u32, Position)], cost: FlushCost) {
        if let Some(stage) = self.0.upgrade() {
            stage.tell(Event::Flushed { positions, cost });
        }
    }

    fn unflushed(&self, trouble: FlushTrouble, times: u64, told: String) {
        if let Some(stage) = self.0.upgrade() {
            *stage.told.borrow_mut() = Some(told);
            stage.tell(Event::Unflushed { trouble, times });
        }
    }
}
