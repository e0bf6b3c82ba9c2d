//! The provider: work goes on there until it is really stopped, whatever becomes of its nodes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_jobs::AttemptId;
use beacon_jobs::executor::Capabilities;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::world::{World, short};

/// The longest time that a request is on its way.
pub const LATEST: Duration = Duration::from_millis(4_000);
/// The time that an executor gives a request that creates or begins.
pub const CALL_LIMIT: Duration = Duration::from_millis(5_000);
const LIFETIME: Duration = Duration::from_secs(30);

/// The kinds of executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two steps, can be resumed, and begins what it was told to stop if the request comes late.
    Resumable,
    /// Two steps, cannot be resumed.
    Plain,
    /// Two steps, can be resumed, refuses a start after a stop.
    Refusing,
    /// One step, cannot be listed: it ends each work after a while.
    OneStep,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Resumable, Self::Plain, Self::Refusing, Self::OneStep];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Resumable => "resumable",
            Self::Plain => "plain",
            Self::Refusing => "refusing",
            Self::OneStep => "one_step",
        }
    }

    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap()
    }

    pub fn two_step(self) -> bool {
        self != Self::OneStep
    }

    pub fn capabilities(self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.two_step = self.two_step();
        capabilities.resume = matches!(self, Self::Resumable | Self::Refusing);
        capabilities.refuses_start_after_stop = self == Self::Refusing;
        capabilities.grace = true;
        capabilities.lifetime_limit = (!self.two_step()).then_some(LIFETIME);
        capabilities.start_deadline = CALL_LIMIT;
        capabilities.confirm_limit = Duration::from_secs(20);
        capabilities
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Inert,
    Alive,
    Done,
    Stopped,
}

/// What a unit of work is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub works: Duration,
    /// How long it takes to save itself when it is told to end.
    pub saves: Duration,
}

#[derive(Clone, Debug)]
pub struct Object {
    pub kind: Kind,
    pub plan: Plan,
    pub work: Work,
    /// When it is through, if somebody is there to see it.
    pub done_at: Option<OffsetDateTime>,
    /// When a stop takes effect.
    pub stop_at: Option<OffsetDateTime>,
    /// It was told to stop, and refuses to begin.
    pub refuses: bool,
    /// It has heard a stop that it will never follow.
    pub ignores: bool,
    pub lives_until: Option<OffsetDateTime>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Create(Kind, Plan2),
    Begin,
    Look,
    Stop { grace: Duration, how: StopHow },
}

/// A plan that can be compared.
pub type Plan2 = (Duration, Duration);

/// How the provider takes a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    AtOnce,
    /// It acknowledges, and works on for this long.
    After(Duration),
    /// It acknowledges, and works on.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Refused,
    /// The state of the work; `None` when there is no such thing.
    Seen(Option<Work>),
    /// It has ended, and was in this state.
    Ended(Option<Work>),
    /// It has heard.
    Heard,
}

#[derive(Debug, Default)]
pub struct Provider {
    pub objects: Mutex<BTreeMap<AttemptId, Object>>,
    pub changed: Notify,
    /// Requests that create or begin and have not arrived yet.
    pub on_the_way: Mutex<BTreeMap<AttemptId, u32>>,
}

impl World {
    /// A request arrives.
    pub fn arrive(self: &Arc<Self>, attempt: AttemptId, request: Request) -> Reply {
        let now = self.clock.time();
        self.tick();
        let mut wake_at = None;
        let reply = {
            let mut objects = self.provider.objects.lock().unwrap();
            match request {
                Request::Create(kind, (works, saves)) => {
                    let plan = Plan { works, saves };
                    let object = objects.entry(attempt).or_insert(Object {
                        kind,
                        plan,
                        work: Work::Inert,
                        done_at: None,
                        stop_at: None,
                        refuses: false,
                        ignores: false,
                        lives_until: None,
                    });
                    if !kind.two_step() {
                        object.work = Work::Alive;
                        object.done_at = Some(now + works);
                        object.lives_until = Some(now + LIFETIME);
                        wake_at = object.lives_until;
                    }
                    Reply::Done
                }
                Request::Begin => match objects.get_mut(&attempt) {
                    Some(object) if object.refuses => Reply::Refused,
                    Some(object) => {
                        object.work = Work::Alive;
                        object.done_at = Some(now + object.plan.works);
                        Reply::Done
                    }
                    None => Reply::Refused,
                },
                Request::Look => Reply::Seen(objects.get(&attempt).map(|object| object.work)),
                Request::Stop { grace, how } => match objects.get_mut(&attempt) {
                    None => Reply::Ended(None),
                    Some(object) => {
                        let healed = self.healed.load(Ordering::Relaxed);
                        let how = if healed { StopHow::AtOnce } else { how };
                        let reply = object.stop(now, grace, how);
                        wake_at = object.stop_at;
                        reply
                    }
                },
            }
        };
        if let Some(at) = wake_at {
            let world = Arc::clone(self);
            tokio::spawn(async move {
                world.clock.until(at).await;
                world.tick();
            });
        }
        if matches!(request, Request::Create(..) | Request::Begin) && reply == Reply::Done {
            self.figures(|figures| figures.begun += u64::from(request == Request::Begin));
        }
        self.log(|| format!("provider: {} {request:?} -> {reply:?}", short(attempt)));
        self.provider.changed.notify_waiters();
        self.check_alive();
        reply
    }

    /// Ends what has reached its end.
    pub fn tick(&self) {
        let now = self.clock.time();
        let mut changed = false;
        for (id, object) in self.provider.objects.lock().unwrap().iter_mut() {
            let over = |at: Option<OffsetDateTime>| at.is_some_and(|at| at <= now);
            if object.work == Work::Alive && (over(object.stop_at) || over(object.lives_until)) {
                object.work = Work::Stopped;
                changed = true;
                self.log(|| format!("provider: {} ends", short(*id)));
            }
        }
        if changed {
            self.provider.changed.notify_waiters();
        }
    }

    /// The work is through; only somebody who watches it can say so.
    pub fn complete(&self, attempt: AttemptId) {
        if let Some(object) = self.provider.objects.lock().unwrap().get_mut(&attempt)
            && object.work == Work::Alive
        {
            object.work = Work::Done;
            self.log(|| format!("provider: {} is through", short(attempt)));
        }
        self.provider.changed.notify_waiters();
    }

    pub fn object(&self, attempt: AttemptId) -> Option<Object> {
        self.tick();
        self.provider.objects.lock().unwrap().get(&attempt).cloned()
    }

    pub fn alive(&self) -> Vec<AttemptId> {
        let objects = self.provider.objects.lock().unwrap();
        objects.iter().filter(|(_, object)| object.work == Work::Alive).map(|(id, _)| *id).collect()
    }

    pub fn count_on_the_way(&self, attempt: AttemptId, one_more: bool) {
        let mut flights = self.provider.on_the_way.lock().unwrap();
        let count = flights.entry(attempt).or_default();
        *count = if one_more { *count + 1 } else { *count - 1 };
        if *count == 0 {
            flights.remove(&attempt);
        }
    }
}

impl Object {
    fn stop(&mut self, now: OffsetDateTime, grace: Duration, how: StopHow) -> Reply {
        let was = self.work;
        self.refuses |= self.kind == Kind::Refusing;
        if was != Work::Alive {
            return Reply::Ended(Some(was));
        }
        let end = match how {
            StopHow::AtOnce => now + grace.min(self.plan.saves),
            StopHow::After(time) => now + time,
            StopHow::Never => {
                self.ignores = true;
                return Reply::Heard;
            }
        };
        if self.ignores {
            return Reply::Heard;
        }
        let end = self.stop_at.map_or(end, |known| known.min(end));
        self.stop_at = Some(end);
        if end <= now {
            self.work = Work::Stopped;
            Reply::Ended(Some(was))
        } else {
            Reply::Heard
        }
    }
}
