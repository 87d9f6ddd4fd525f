//! An app's site: which component answers which request, and what a guest is told of how it was found. What needs no
//! component is answered here.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::routes::{Found, Route, Router};
use pirn_triggers::http::{Answer, Head, Outgoing, Request};

use super::all::Lanes;
use super::lanes::Entry;
use crate::plan::{HttpPlan, HttpRoute, HttpTarget, StaticRoute, TriggerPlan, TriggerPlanKind};

/// An app's site.
pub struct Site {
    router: Router<Target>,
    /// Components that answer requests, whether they have routes or not.
    components: BTreeMap<String, (Entry, u32)>,
    /// All paths, as a component sees them that is asked by its name.
    any: Route,
    base: String,
    waiting_max: u32,
    /// What `/.well-known/spin/info` says.
    info: String,
}

/// What a route leads to.
enum Target {
    Component { entry: Entry, trigger: u32, raw: Route },
    Static(Box<Fixed>),
}

/// An answer that is always the same.
struct Fixed {
    status: StatusCode,
    fields: HeaderMap,
    body: bytes::Bytes,
}

/// What is below is ours.
const WELL_KNOWN: &str = "/.well-known/spin/";

impl Site {
    /// Of an app whose lanes are there.
    pub(crate) fn new(plan: &HttpPlan, lanes: &Lanes) -> Self {
        let mut router = Router::default();
        for HttpRoute { route, raw, to } in &plan.routes {
            let target = match to {
                HttpTarget::Static(route) => Some(Target::Static(Box::new(fixed(route)))),
                HttpTarget::Trigger(number) => component(lanes, *number, raw),
            };
            if let Some(target) = target {
                router.add(route.clone(), target);
            }
        }
        let info = format!(
            "{{{}:{},{}:{}}}\n",
            quoted("name"),
            quoted(&lanes.app.name),
            quoted("version"),
            quoted(&plan.version)
        );
        let any = Route::parse("/...").unwrap_or_default();
        let (base, waiting_max) = (plan.base.clone(), plan.waiting_max);
        Self { router, components: components(lanes), any, base, waiting_max, info }
    }

    /// Answers a request, or sees to it that it is answered. Never waits.
    pub fn take(&self, mut request: Request) {
        let path = request.head.path().to_owned();
        if let Some(name) = path.strip_prefix(WELL_KNOWN) {
            return request.responder.answer(self.well_known(name));
        }
        let Some(found) = self.router.find(&path) else {
            return request.responder.answer(Answer::empty(StatusCode::NOT_FOUND));
        };
        match found.to {
            Target::Static(fixed) => request.responder.answer(Answer {
                status: fixed.status,
                fields: fixed.fields.clone(),
                body: Outgoing::Whole(fixed.body.clone()),
            }),
            Target::Component { entry, trigger, raw } => {
                describe(&mut request.head, &self.base, raw, &found);
                entry.ask(*trigger, self.waiting_max, request);
            }
        }
    }

    /// Has one component of the app answer, whatever its routes: service chaining. `None` if there is none of this name.
    pub fn ask(&self, component: &str, mut request: Request) -> Option<()> {
        let (entry, trigger) = self.components.get(component)?;
        let rest = request.head.path().to_owned();
        let found = Found { to: &(), route: &self.any, captures: Vec::new(), rest };
        describe(&mut request.head, "", &self.any, &found);
        request.head.fields.remove(header::HOST);
        entry.ask(*trigger, self.waiting_max, request);
        Some(())
    }

    fn well_known(&self, name: &str) -> Answer {
        let (kind, body) = match name {
            "health" => ("text/plain", "OK".to_owned()),
            "info" => ("application/json", self.info.clone()),
            _ => return Answer::empty(StatusCode::NOT_FOUND),
        };
        let fields = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        let fields = fields.into_iter().collect();
        Answer { status: StatusCode::OK, fields, body: Outgoing::Whole(body.into()) }
    }
}

/// Those that have a trigger for requests.
fn components(lanes: &Lanes) -> BTreeMap<String, (Entry, u32)> {
    let one = |(number, trigger): (u32, &TriggerPlan)| {
        let TriggerPlanKind::Http { .. } = trigger.kind else { return None };
        let id = lanes.app.components.get(trigger.component)?.id.clone();
        Some((id, (lanes.entries.get(trigger.component)?.clone(), number)))
    };
    (0..).zip(&lanes.app.triggers).filter_map(one).collect()
}

fn component(lanes: &Lanes, number: u32, raw: &Route) -> Option<Target> {
    let trigger = lanes.app.triggers.get(number as usize)?;
    let entry = lanes.entries.get(trigger.component)?.clone();
    Some(Target::Component { entry, trigger: number, raw: raw.clone() })
}

/// All of it was checked with the manifest.
fn fixed(route: &StaticRoute) -> Fixed {
    let field = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    Fixed {
        status: StatusCode::from_u16(route.status).unwrap_or_default(),
        fields: route.headers.iter().filter_map(field).collect(),
        body: route.body.clone().into(),
    }
}

/// Tells the guest how it was found. What a client says of that is not believed.
fn describe<T>(head: &mut Head, base: &str, raw: &Route, found: &Found<'_, T>) {
    let fields = &mut head.fields;
    let is_ours = |name: &&HeaderName| name.as_str().starts_with("spin-");
    let claimed: Vec<HeaderName> = fields.keys().filter(is_ours).cloned().collect();
    for name in claimed {
        fields.remove(name);
    }
    fields.remove(header::CONNECTION);
    let url = format!("{}://{}{}", head.scheme, head.authority, head.path_and_query);
    let base = if base.is_empty() { "/" } else { base };
    let client = head.client.map_or_else(|| "127.0.0.1:0".to_owned(), |client| client.to_string());
    for (name, value) in [
        ("spin-path-info", &found.rest),
        ("spin-full-url", &url),
        ("spin-matched-route", &found.route.to_string()),
        ("spin-base-path", &base.to_owned()),
        ("spin-raw-component-route", &raw.to_string()),
        ("spin-component-route", &raw.base()),
        ("spin-client-addr", &client),
    ] {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            fields.insert(HeaderName::from_static(name), value);
        }
    }
    for (name, value) in &found.captures {
        let name = format!("spin-path-match-{name}");
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            fields.insert(name, value);
        }
    }
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Who hands requests to the site.
pub(crate) fn handler(site: Arc<Site>) -> pirn_triggers::http::Handler {
    Arc::new(move |request| site.take(request))
}
