//! Redis channels that an app listens to: one subscription for each server.

use std::sync::Arc;

use pirn_triggers::redis::{Address, Notice, NoticeHandler, Subscriber};
use tokio::task::JoinSet;

use super::runner::Runner;
use crate::files::manifest::Hosts;
use crate::flow::all::Lanes;
use crate::flow::feeds::{self, Route};
use crate::plan::TriggerPlanKind;
use crate::report::{Report, Reporter};

/// Begins to listen: a feed for each server. It is not waited for: a server that is away is tried again.
pub(super) fn listen(runner: &Runner, lanes: &Lanes, feeds: &mut JoinSet<()>) {
    for (server, routes) in servers(runner, lanes) {
        let mut channels: Vec<Arc<str>> =
            routes.iter().map(|(channel, _)| Arc::clone(channel)).collect();
        channels.sort();
        channels.dedup();
        let blocked = runner.app().runtime_config.block_networks.clone();
        let hosts = Hosts::new(Vec::new(), None, blocked);
        let subscriber = Subscriber {
            connector: runner.outbound().connector().clone(),
            on_notice: on_notice(&server, &channels, Arc::clone(runner.reporter())),
            address: server,
            channels,
            address_filter: Some(Arc::new(move |ip| hosts.permits_address(ip))),
        };
        let crew = runner.process().crew();
        feeds.spawn(feeds::heard(subscriber.start(), routes, crew));
    }
}

type Routes = Vec<(Arc<str>, Route)>;

/// The servers, each with the channels that triggers take and where their messages go.
fn servers(runner: &Runner, lanes: &Lanes) -> Vec<(Address, Routes)> {
    let mut servers: Vec<(Address, Routes)> = Vec::new();
    for (number, trigger) in runner.triggers() {
        let TriggerPlanKind::Redis { server, channel } = &trigger.kind else { continue };
        let Some(route) = runner.route(number, trigger, &lanes.entries) else { continue };
        let one = (Arc::clone(channel), route);
        match servers.iter_mut().find(|(known, _)| *known == **server) {
            Some((_, routes)) => routes.push(one),
            None => servers.push(((**server).clone(), vec![one])),
        }
    }
    servers
}

fn on_notice(
    server: &Address,
    channels: &[Arc<str>],
    reporter: Arc<dyn Reporter>,
) -> NoticeHandler {
    let (server, channels) = (server.to_string(), channels.join(", "));
    Box::new(move |notice| match notice {
        Notice::Subscribed => {
            let sentence = format!("{server}: subscribed to {channels}");
            reporter.report(&Report::Note(&sentence));
        }
        Notice::Lost { reason, retry } => {
            let sentence = format!("{server}: {reason}; next attempt in {} ms", retry.as_millis());
            reporter.report(&Report::Warning(&sentence));
        }
    })
}
