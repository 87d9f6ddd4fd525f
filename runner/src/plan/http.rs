//! The app's listener and its routes: what the manifest says, and who runs it goes before.

use std::fmt::Write as _;

use pirn_triggers::http::routes::Route;
use pirn_triggers::http::{Address, ServerOptions, TlsFiles};
use pirn_triggers::limits::http::{BODY_BYTES_DEFAULT, CONNECTIONS_DEFAULT, ROUTES_MAX};

use super::load::Hands;
use super::{App, TriggerPlan, TriggerPlanKind};
use crate::files::config::Error;
use crate::files::manifest::StaticRoute;
use crate::limits::http::REQUESTS_WAITING_DEFAULT;

/// Where an app's requests come from, and where they go.
#[derive(Debug, Clone)]
pub struct HttpPlan {
    /// Where to listen.
    pub listen: Address,
    /// The certificate, if it is to be over TLS.
    pub tls: Option<TlsFiles>,
    /// Whether another port will do.
    pub port: PortChoice,
    /// What the listener may hold.
    pub options: ServerOptions,
    /// Requests that wait for one component.
    pub waiting_max: u32,
    /// The app's version, for who asks.
    pub version: String,
    /// What stands before every route; empty for nothing.
    pub base: String,
    /// Each route once.
    pub routes: Vec<HttpRoute>,
}

/// What becomes of a port that somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortChoice {
    /// The app does not start.
    #[default]
    Fixed,
    /// The next free one is taken.
    NextFree,
}

/// A route and what it leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRoute {
    /// With the base before it.
    pub route: Route,
    /// As the manifest has it.
    pub raw: Route,
    /// What it leads to.
    pub to: HttpTarget,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpTarget {
    /// A component: the number of its trigger in the plan.
    Trigger(u32),
    /// An answer.
    Static(StaticRoute),
}

/// The environment's word on where to listen, as Spin has it.
const LISTEN: &str = "SPIN_HTTP_LISTEN_ADDR";

/// `None` if nobody is to ask the app anything.
pub(super) fn of(
    hands: &mut Hands<'_>,
    triggers: &[TriggerPlan],
) -> Result<Option<HttpPlan>, Error> {
    let is_http = |trigger: &TriggerPlan| matches!(trigger.kind, TriggerPlanKind::Http { .. });
    if hands.manifest.static_routes.is_empty() && !triggers.iter().any(is_http) {
        return Ok(None);
    }
    let settings = &hands.manifest.application.http;
    let plan = HttpPlan {
        listen: listen(hands)?,
        tls: hands.files.tls.clone(),
        port: hands.files.port,
        options: ServerOptions {
            connections_max: settings.connections_max.unwrap_or(CONNECTIONS_DEFAULT),
            body_bytes_max: settings.body_bytes_max.unwrap_or(BODY_BYTES_DEFAULT),
        },
        waiting_max: settings.waiting_max.unwrap_or(REQUESTS_WAITING_DEFAULT),
        version: hands.manifest.application.version.clone(),
        base: settings.base.clone(),
        routes: Vec::new(),
    };
    Ok(Some(HttpPlan { routes: routes(hands, triggers, &plan.base)?, ..plan }))
}

/// Who starts the app decides, then the environment, then the manifest.
fn listen(hands: &Hands<'_>) -> Result<Address, Error> {
    if let Some(address) = &hands.files.listen {
        return Ok(address.clone());
    }
    if let Some(text) = hands.files.process_environment.get(LISTEN) {
        let wrong = |error| Error::about_file(LISTEN, format!("{text:?}: {error}"));
        return text.parse().map_err(wrong);
    }
    Ok(hands.manifest.application.http.listen.clone().unwrap_or_default())
}

/// All routes in the order of the file. Of two alike the later is reached; what never is, is reported.
fn routes(
    hands: &mut Hands<'_>,
    triggers: &[TriggerPlan],
    base: &str,
) -> Result<Vec<HttpRoute>, Error> {
    let base = Route::parse(base).unwrap_or_default();
    let of_trigger = |(number, (trigger, plan)): (u32, (_, &TriggerPlan))| {
        let trigger: &crate::files::manifest::Trigger = trigger;
        let TriggerPlanKind::Http { route: Some(route), .. } = &plan.kind else { return None };
        let to = HttpTarget::Trigger(number);
        Some((trigger.line, HttpRoute { route: route.below(&base), raw: route.clone(), to }))
    };
    let manifest = std::sync::Arc::clone(&hands.manifest);
    let numbered = (0..).zip(manifest.triggers.iter().zip(triggers));
    let of_answer = |answer: &StaticRoute| {
        let (route, to) = (answer.route.below(&base), HttpTarget::Static(answer.clone()));
        (answer.line, HttpRoute { route, raw: answer.route.clone(), to })
    };
    let mut all: Vec<(u32, HttpRoute)> = numbered
        .filter_map(of_trigger)
        .chain(manifest.static_routes.iter().map(of_answer))
        .collect();
    all.sort_by_key(|(line, _)| *line);
    if let Some((line, _)) = all.get(ROUTES_MAX) {
        let message = format!("an app has at most {ROUTES_MAX} routes");
        return Err(Error::at(&manifest.file, *line, "[trigger.http]", "route", message));
    }
    let mut kept: Vec<(u32, HttpRoute)> = Vec::with_capacity(all.len());
    for (line, route) in all {
        let shown = &route.route;
        if shown.begins_with(&[".well-known", "spin"]) {
            hands.warnings.push(format!(
                "route {shown} (line {line}) is never reached: what is below /.well-known/spin is answered by the runner"
            ));
            continue;
        }
        if let Some(at) = kept.iter().position(|(_, known)| known.route.is_same(shown)) {
            let (earlier, known) = kept.remove(at);
            let known = known.route;
            hands.warnings.push(format!(
                "route {known} (line {earlier}) is never reached: line {line} has the same"
            ));
        }
        kept.push((line, route));
    }
    Ok(kept.into_iter().map(|(_, route)| route).collect())
}

impl App {
    /// Where it listens and what is found there, as Spin shows it.
    pub fn routes_shown(&self, (address, plan): (&Address, &HttpPlan)) -> String {
        let scheme = if plan.tls.is_some() { "https" } else { "http" };
        let site = match address {
            Address::Tcp(tcp) => format!("{scheme}://{tcp}"),
            Address::Unix(_) => address.to_string(),
        };
        let mut shown = format!("Serving {site}\nAvailable Routes:\n");
        for HttpRoute { route, to, .. } in &plan.routes {
            let who = match to {
                HttpTarget::Static(_) => "static response",
                HttpTarget::Trigger(number) => self.component_of(*number),
            };
            let base = route.base();
            let tail = if route.is_open() { " (wildcard)" } else { "" };
            let _ = writeln!(shown, "  {who}: {site}{base}{tail}");
        }
        shown
    }

    fn component_of(&self, trigger: u32) -> &str {
        let trigger = self.triggers.get(trigger as usize);
        let plan = trigger.and_then(|trigger| self.components.get(trigger.component));
        plan.map_or("?", |plan| &plan.id)
    }
}
