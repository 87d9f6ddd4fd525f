//! One file per trigger world: an event becomes a typed call of the guest's export, and its result
//! an [`Outcome`].

mod command;
mod cron;
mod gpio;
mod http;
mod mqtt;
mod redis;
mod timer;

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower, Resource};

use crate::engine::outcome::Outcome;
use crate::engine::wire::{Wire, wire};
use crate::engine::{Allowance, Component, Export, Holds};
use crate::happening::Happening;

pub use http::{WholeAnswer, WholeRequest};

/// What one call of a guest needs.
struct Call<'a, H: Holds> {
    component: &'a Component<H>,
    host: H,
    allowance: Allowance,
}

wire! {
    /// `variant error`, the same in every world whose guests can refuse.
    #[derive(Clone, Debug, ComponentType, Lift)]
    #[component(variant)]
    enum Refusal {
        #[component(name = "other")]
        Other(String),
    }
}

impl<H: Holds> Call<'_, H> {
    /// Calls a function that answers `result<_, error>`.
    async fn of<P>(self, export: Export, params: P) -> Outcome
    where
        P: ComponentNamedList + Lower + Wire + Send + Sync + 'static,
    {
        let Self { component, host, allowance } = self;
        let answer = component.call::<P, (Result<(), Refusal>,)>(export, host, allowance, params);
        let answer = answer.await.map(|(result,)| result);
        Outcome::of(answer.map(|result| result.map_err(|Refusal::Other(sentence)| sentence)))
    }
}

/// A type of trigger, and so of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorldKind {
    /// Messages.
    Mqtt,
    /// Intervals.
    Timer,
    /// Times of the day.
    Cron,
    /// Edges.
    Gpio,
    /// Requests.
    Http,
    /// Starts.
    Command,
    /// Messages of Redis channels.
    Redis,
}

/// The worlds that a component's triggers call.
#[derive(Default)]
pub struct Worlds {
    mqtt: Option<mqtt::MqttWorld>,
    timer: Option<timer::TimerWorld>,
    cron: Option<cron::CronWorld>,
    gpio: Option<gpio::GpioWorld>,
    http: Option<http::HttpWorld>,
    command: Option<command::CommandWorld>,
    redis: Option<redis::RedisWorld>,
}

impl Worlds {
    /// Checks, before anything runs, that the component exports what its triggers call.
    pub fn of<H: Holds>(
        component: &Component<H>,
        kinds: impl IntoIterator<Item = WorldKind>,
    ) -> Result<Self, WorldError> {
        let mut worlds = Self::default();
        for kind in kinds {
            match kind {
                WorldKind::Mqtt => worlds.mqtt = Some(mqtt::MqttWorld::of(component)?),
                WorldKind::Timer => worlds.timer = Some(timer::TimerWorld::of(component)?),
                WorldKind::Cron => worlds.cron = Some(cron::CronWorld::of(component)?),
                WorldKind::Gpio => worlds.gpio = Some(gpio::GpioWorld::of(component)?),
                WorldKind::Http => worlds.http = Some(http::HttpWorld::of(component)?),
                WorldKind::Command => {
                    worlds.command = Some(command::CommandWorld::of(component)?);
                }
                WorldKind::Redis => worlds.redis = Some(redis::RedisWorld::of(component)?),
            }
        }
        Ok(worlds)
    }

    /// Calls the guest with one event, on a fresh instance. Dropping this drops the guest.
    pub async fn handle<H: Holds>(
        &self,
        component: &Component<H>,
        host: H,
        allowance: Allowance,
        source: &str,
        what: &Happening,
    ) -> Outcome {
        let call = Call { component, host, allowance };
        match (what, self) {
            (Happening::Message { payload, .. }, Self { mqtt: Some(world), .. }) => {
                world.handle(call, source, payload).await
            }
            (Happening::Message { payload, .. }, Self { redis: Some(world), .. }) => {
                world.handle(call, payload).await
            }
            (Happening::Tick, Self { timer: Some(world), .. }) => world.handle(call).await,
            (Happening::Time { timestamp }, Self { cron: Some(world), .. }) => {
                world.handle(call, *timestamp).await
            }
            (Happening::Edge(edge), Self { gpio: Some(world), .. }) => {
                world.handle(call, source, edge).await
            }
            (Happening::Run, Self { command: Some(world), .. }) => world.handle(call).await,
            _ => Outcome::Refused("the component has no trigger for such events".into()),
        }
    }
}

impl Worlds {
    /// Calls the guest with one request, on a fresh instance. Dropping this drops the guest.
    pub async fn answer<H, Q, A>(
        &self,
        component: &Component<H>,
        host: H,
        allowance: Allowance,
        (request, answer): (Resource<Q>, Resource<A>),
    ) -> Outcome
    where
        H: Holds,
        Q: Send + 'static,
        A: Send + 'static,
    {
        let call = Call { component, host, allowance };
        match &self.http {
            Some(http::HttpWorld::Handler(export)) => {
                http::handle(*export, call, request, answer).await
            }
            _ => Outcome::Refused("the component has no trigger for such requests".into()),
        }
    }

    /// Whether the guest is a program, which answers requests with what it prints.
    pub fn is_program(&self) -> bool {
        self.http.is_none() && self.command.is_some()
    }

    /// Whether the guest takes requests whole, and answers so.
    pub fn takes_whole(&self) -> bool {
        matches!(self.http, Some(http::HttpWorld::Whole(_)))
    }

    /// The same for a guest that takes a request whole; without an answer if it failed.
    pub async fn answer_whole<H: Holds>(
        &self,
        component: &Component<H>,
        host: H,
        allowance: Allowance,
        request: WholeRequest,
    ) -> (Outcome, Option<WholeAnswer>) {
        let call = Call { component, host, allowance };
        match &self.http {
            Some(http::HttpWorld::Whole(export)) => {
                http::handle_whole(*export, call, request).await
            }
            _ => {
                let sentence = "the component has no trigger for such requests";
                (Outcome::Refused(sentence.into()), None)
            }
        }
    }
}

impl Worlds {
    /// Whether the guest returns its answer.
    pub fn returns_answers(&self) -> bool {
        matches!(self.http, Some(http::HttpWorld::Service(_)))
    }

    /// Calls the guest with one request, on a fresh instance; it returns its answer, which is told at once. Dropping this
    /// drops the guest.
    pub async fn serve<H, Q, A, E>(
        &self,
        component: &Component<H>,
        host: H,
        allowance: Allowance,
        request: Resource<Q>,
        answered: impl FnOnce(Result<Resource<A>, E>) + Send,
    ) -> Outcome
    where
        H: Holds,
        Q: Send + 'static,
        A: Send + 'static,
        E: ComponentType + Lift + Wire + Send + Sync + 'static,
    {
        let call = Call { component, host, allowance };
        match &self.http {
            Some(http::HttpWorld::Service(export)) => {
                http::serve(*export, call, request, answered).await
            }
            _ => Outcome::Refused("the component has no trigger for requests".into()),
        }
    }
}

/// The export that a world calls, if it has the type that the world expects.
fn export<H: Holds>(
    component: &Component<H>,
    trigger: &'static str,
    name: &'static str,
    shape: &'static str,
) -> Result<Export, WorldError> {
    checked(component, component.exported_function(name), trigger, name, shape)
}

/// The same of a function that an exported interface has.
fn member<H: Holds>(
    component: &Component<H>,
    trigger: &'static str,
    (interface, name): (&'static str, &'static str),
    shape: &'static str,
) -> Result<Export, WorldError> {
    checked(component, component.exported_member(interface, name), trigger, interface, shape)
}

fn checked<H: Holds>(
    component: &Component<H>,
    found: Option<(String, Export)>,
    trigger: &'static str,
    name: &'static str,
    shape: &'static str,
) -> Result<Export, WorldError> {
    let wrong = |found| WorldError { trigger, found, name, shape };
    let Some((found, export)) = found else {
        let names = component.export_names();
        return Err(wrong(match names.is_empty() {
            true => "it exports nothing".into(),
            false => format!("it exports {}", names.join(", ")),
        }));
    };
    match found == shape {
        true => Ok(export),
        false => Err(wrong(format!("its `{name}` is a {found}"))),
    }
}

/// A component that does not fit its trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the component does not fit its {trigger} trigger: {found}; it must export `{name}: {shape}`"
)]
pub struct WorldError {
    /// The trigger's type.
    pub trigger: &'static str,
    /// What the component has.
    pub found: String,
    /// The function that the world calls.
    pub name: &'static str,
    /// Its type.
    pub shape: &'static str,
}
