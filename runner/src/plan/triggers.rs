//! The triggers with their templates filled in and their lines found.

use std::sync::Arc;
use std::time::Duration;

use pirn_triggers::gpio::Edges;
use pirn_triggers::http::routes::Route;
use pirn_triggers::mqtt::Qos;
use pirn_triggers::redis::Address;
use pirn_triggers::time::{Cron, Zone};

use super::capabilities::shown;
use super::load::Hands;
use super::pins::{self, Pins, Place};
use super::{App, Purpose};
use crate::files::config::{Error, Seconds};
use crate::files::manifest::{
    Durable, FirstTick, HttpExecutor, Template, TopicFilter, Trigger, TriggerKind,
};
use crate::limits::time::CLOCK_NOT_BEFORE;

/// One trigger, with its templates filled in.
#[derive(Debug, Clone)]
pub struct TriggerPlan {
    /// Its id.
    pub id: String,
    /// Index into [`App::components`].
    pub component: usize,
    /// What fires it.
    pub kind: TriggerPlanKind,
    /// When what is published for its events has to be on disk.
    pub durable: Durable,
}

/// What fires a trigger.
#[derive(Debug, Clone)]
pub enum TriggerPlanKind {
    /// A message on a topic.
    Mqtt {
        /// What to subscribe to.
        topic: TopicFilter,
        /// The quality of service to ask for.
        qos: Qos,
    },
    /// Time that went by.
    Timer {
        /// From one tick to the next.
        interval: Duration,
        /// When the first tick is.
        first: FirstTick,
        /// How late each may be, at random.
        jitter: Duration,
    },
    /// A time of the day.
    Cron {
        /// As written.
        expression: String,
        /// The zone that it is read in; UTC if absent.
        zone: Option<String>,
        /// The same, ready to be asked.
        cron: Box<Cron>,
    },
    /// A request.
    Http {
        /// What it answers, without the base; `None` if only components of the app ask it.
        route: Option<Route>,
        /// How its component is called.
        executor: HttpExecutor,
    },
    /// A message of a Redis channel.
    Redis {
        /// The server.
        server: Box<Address>,
        /// The channel.
        channel: Arc<str>,
    },
    /// An edge on a line.
    Gpio {
        /// Index into [`Pins::inputs`].
        input: usize,
        /// Which edges.
        edges: Edges,
    },
    /// The app's start, once.
    Command,
}

/// The triggers of the plan, `ids` being the components of the plan in order. Where values are missing
/// and the plan is only to be looked at, a topic stands as its template.
pub(super) fn triggers(
    hands: &Hands<'_>,
    ids: &[&str],
    pins: &mut Pins,
) -> Result<Vec<TriggerPlan>, Error> {
    let plan = |trigger: &Trigger| {
        let component = ids.binary_search(&trigger.component.as_str()).unwrap_or_default();
        let (id, durable) = (trigger.id.clone(), trigger.durable);
        Ok(TriggerPlan { id, component, kind: kind(hands, trigger, pins)?, durable })
    };
    let mut triggers: Vec<_> =
        hands.manifest.triggers.iter().map(plan).collect::<Result<_, _>>()?;
    triggers.shrink_to_fit();
    Ok(triggers)
}

fn kind(hands: &Hands<'_>, trigger: &Trigger, pins: &mut Pins) -> Result<TriggerPlanKind, Error> {
    match &trigger.kind {
        TriggerKind::Mqtt { topic, qos } => mqtt(hands, trigger, topic, *qos),
        TriggerKind::Timer { interval, first, jitter } => {
            Ok(TriggerPlanKind::Timer { interval: *interval, first: *first, jitter: *jitter })
        }
        TriggerKind::Cron { expression, zone } => cron(hands, trigger, expression, zone.as_deref()),
        TriggerKind::Http { route, executor } => {
            Ok(TriggerPlanKind::Http { route: route.clone(), executor: *executor })
        }
        TriggerKind::Command => Ok(TriggerPlanKind::Command),
        TriggerKind::Redis { channel, address } => {
            super::redis::trigger(hands, trigger, channel, address.as_ref())
        }
        TriggerKind::Gpio { line, edges, debounce, bias } => {
            let place = Place::of_trigger(trigger);
            pins::check_watched(hands, &place, line)?;
            let wish = pins::Wish { edges: *edges, debounce: *debounce, bias: *bias };
            let input = pins.watch(hands, &place, line, &wish)?;
            Ok(TriggerPlanKind::Gpio { input, edges: *edges })
        }
    }
}

impl App {
    /// What fires a trigger, for people.
    pub fn fired_by(&self, trigger: &TriggerPlan) -> String {
        match &trigger.kind {
            TriggerPlanKind::Mqtt { topic, qos } => {
                format!("{} at QoS {}", topic.as_str(), *qos as u8)
            }
            TriggerPlanKind::Timer { interval, .. } => format!("every {}", Seconds(*interval)),
            TriggerPlanKind::Cron { expression, zone, .. } => {
                format!("cron {expression} ({})", zone.as_deref().unwrap_or("UTC"))
            }
            TriggerPlanKind::Http { route: Some(route), .. } => format!("requests of {route}"),
            TriggerPlanKind::Http { route: None, .. } => "requests of its own app".to_owned(),
            TriggerPlanKind::Command => "its start, once".to_owned(),
            TriggerPlanKind::Redis { server, channel } => {
                format!("channel {channel} of {server}")
            }
            TriggerPlanKind::Gpio { input, edges } => {
                let line = self.pins.inputs.get(*input).map_or("?", |pin| &pin.options.line.name);
                match edges {
                    Edges::Rising => format!("rising edges of {line}"),
                    Edges::Falling => format!("falling edges of {line}"),
                    Edges::Both | Edges::None => format!("edges of {line}"),
                }
            }
        }
    }
}

/// The expression was read with the manifest; the zone's rules are the device's.
fn cron(
    hands: &Hands<'_>,
    trigger: &Trigger,
    expression: &str,
    zone: Option<&str>,
) -> Result<TriggerPlanKind, Error> {
    let error = |key, message: String| {
        Error::at(&hands.manifest.file, trigger.line, "[trigger.cron]", key, message)
    };
    let rules = match (zone, hands.files.purpose) {
        (None, _) | (_, Purpose::Inspect) => Zone::utc(),
        (Some(name), Purpose::Run) => {
            Zone::named(name).map_err(|e| error("timezone", e.to_string()))?
        }
    };
    let cron = Cron::parse(expression, &rules, CLOCK_NOT_BEFORE);
    let cron = cron.map_err(|e| error("cron_expression", format!("{expression:?}: {e}")))?;
    let (expression, zone) = (expression.to_owned(), zone.map(str::to_owned));
    Ok(TriggerPlanKind::Cron { expression, zone, cron: Box::new(cron) })
}

fn mqtt(
    hands: &Hands<'_>,
    trigger: &Trigger,
    template: &Template,
    qos: Qos,
) -> Result<TriggerPlanKind, Error> {
    let error = |message: String| {
        Error::at(&hands.manifest.file, trigger.line, "[trigger.mqtt]", "topic", message)
    };
    let text = match (hands.variables.expand(template), hands.files.purpose) {
        (Ok(text), _) => text,
        (Err(_), Purpose::Inspect) => template.to_string(),
        (Err(missing), Purpose::Run) => return Err(error(missing.to_string())),
    };
    let topic =
        TopicFilter::parse(&text).map_err(|e| error(shown(hands, template, &e.to_string())))?;
    let policy = hands.operator.policy.mqtt_subscribe_topics.as_ref();
    match policy.is_none_or(|allowed| allowed.iter().any(|filter| filter.covers(&topic))) {
        true => Ok(TriggerPlanKind::Mqtt { topic, qos }),
        false => {
            let denied = error(format!(
                "{topic:?} is not granted by this device's policy",
                topic = topic.as_str()
            ));
            Err(denied.with_help(format!("see mqtt_subscribe_topics in {}", hands.operator.file)))
        }
    }
}
