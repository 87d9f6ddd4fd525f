//! `pirn up`: an app at work on this machine, run by the same library as on a board.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pirn_runner::plan::{App, AppFiles, BrokerPlan, PortChoice, Processor, Transport};
use pirn_runner::serve::at_work::Outside;
use pirn_runner::serve::log_files::LogFiles;
use pirn_runner::serve::runner::{Runner, Until};
use pirn_runner::serve::tenant::{Claimed, Tenant};
use pirn_runner::store::folder::ClaimError;
use pirn_triggers::http::TlsFiles;
use pirn_triggers::mqtt::broker::{Broker, BrokerEvent};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::{EmbeddedBroker, Up};
use crate::failure::{Failure, Outcome};
use crate::pins::{self, Bench};
use crate::ui::Volume;
use crate::watch::Watch;
use crate::{build, compile};

/// How long this machine's own port may take to answer.
const LOCAL_CONNECT_WAIT: Duration = Duration::from_secs(1);

/// Builds what is missing, brings a broker if none is there, and runs until it is stopped.
pub(crate) fn run(options: &Up) -> Outcome {
    let volume = Volume::from_flag(options.app.quiet);
    let files = super::app_files_with(&options.app, &options.operator);
    let port = if options.find_free_port { PortChoice::NextFree } else { PortChoice::Fixed };
    let listen = options.listen.clone();
    let tls = options.tls_cert.clone().zip(options.tls_key.clone());
    let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
    let files = AppFiles { processor: Processor::Here, listen, tls, port, ..files };
    let app = App::load(&files).map_err(Failure::wrong)?;
    app.warnings.iter().for_each(|warning| volume.warning(warning));
    build_what_is_missing(&app, options, volume)?;
    super::wait_for(up(app, options, volume))
}

/// A component that is there is taken as it is: its sources may need tools that are not.
fn build_what_is_missing(app: &App, options: &Up, volume: Volume) -> Outcome {
    let mut missing = Vec::new();
    for plan in &app.components {
        if options.build || !compile::source_file(app, plan)?.exists() {
            missing.push(plan);
        }
    }
    build::run(app, missing.into_iter(), volume)?;
    compile::run(app, app.components.iter(), volume)
}

async fn up(app: App, options: &Up, volume: Volume) -> Outcome {
    // Before a broker is brought or a file opened: another one may be at work there.
    let watch = Watch::new(volume, None);
    let claimed = Claimed::claim(app, &watch).map_err(not_claimed)?;
    let app = claimed.app();
    let broker = embedded_broker(app, options.embedded_broker, volume).await?;
    let files = app.log_dir.clone().map(LogFiles::new).transpose();
    let files = files.map_err(|error| Failure::wrong(format!("--log-dir: {error}")))?;
    let bench = Bench::of(app)?;
    let tenant = claimed.load(Arc::new(Watch::new(volume, files))).map_err(Failure::wrong)?;
    set_key_values(tenant.runner(), &options.key_values).await?;
    super::sqlite::prepare(tenant.runner().app(), &options.sqlite)?;
    match broker {
        None => run_app(&tenant, &bench, volume).await,
        Some(broker) => tokio::select! {
            outcome = run_app(&tenant, &bench, volume) => outcome,
            ended = broker.run() => {
                let reason = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
                Err(Failure::failed(format!("the embedded broker ended{reason}")))
            }
        },
    }
}

/// Somebody else's app is there, or nobody's can be.
fn not_claimed(error: ClaimError) -> Failure {
    match error {
        ClaimError::InUse { path, pid } => {
            let path = path.display();
            let by = pid.map(|pid| format!(", as process {pid}")).unwrap_or_default();
            Failure::wrong(format!(
                "{path}: this app is running already{by}; --state-dir gives another one its own place"
            ))
        }
        error @ ClaimError::Unusable { .. } => Failure::wrong(error),
    }
}

/// Until it is stopped. Others can ask how it is doing, with `pirnd status`.
async fn run_app(tenant: &Tenant, bench: &Bench, volume: Volume) -> Outcome {
    let runner = tenant.runner();
    let pins = bind_pins(runner.app(), bench)?;
    let chips = bench.chips();
    let ready = |outside: &Outside| {
        say_running(runner, bench, volume);
        let app = runner.app();
        if let Some(routes) = outside.address().zip(app.http.as_ref()) {
            print!("{}", app.routes_shown(routes));
        }
    };
    let outcome = tokio::select! {
        ended = tenant.serve(&chips, ready, stop(), Until::Stopped) => ended.map_err(Failure::wrong),
        outcome = serve_pins(pins) => outcome,
    };
    pins::Server::remove(&runner.app().state_dir);
    outcome?;
    match runner.commands_failed() {
        true => Err(Failure::failed("a command failed")),
        false => Ok(()),
    }
}

/// The socket through which others press the simulated buttons; there before anybody is told that the app runs
/// or is connected.
fn bind_pins(app: &App, bench: &Bench) -> Result<Option<pins::Server>, Failure> {
    let Bench::Simulated(simulated) = bench else { return Ok(None) };
    let server = pins::Server::bind(app, simulated.clone());
    let server = server.map_err(|e| Failure::failed(format!("no socket for the pins: {e}")))?;
    Ok(Some(server))
}

/// Lets others press them, while the app runs.
async fn serve_pins(server: Option<pins::Server>) -> Outcome {
    match server {
        Some(server) => server.serve().await,
        None => return std::future::pending().await,
    }
    Err(Failure::failed("the socket for the pins ended"))
}

/// Until Ctrl-C or a polite kill.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// A broker for an app whose own would be here, but is not.
async fn embedded_broker(
    app: &App,
    when: EmbeddedBroker,
    volume: Volume,
) -> Result<Option<Broker>, Failure> {
    let Some(plan) = &app.broker else { return Ok(None) };
    let Some(address) = local_address(plan) else { return Ok(None) };
    if when == EmbeddedBroker::Never || is_answered(address).await {
        return Ok(None);
    }
    let broker = Broker::bind(address).await.map_err(|error| {
        Failure::failed(format!("nothing listens on {address}, and no broker can: {error}"))
    })?;
    volume.step("Broker", &format!("nothing listened on {address}, so pirn's own does"));
    Ok(Some(broker.observe(move |event| say_trouble(event, volume))))
}

/// Where the app's broker is on this machine; `None` if it is elsewhere, or wants TLS.
fn local_address(plan: &BrokerPlan) -> Option<SocketAddr> {
    if plan.address.transport == Transport::Tls {
        return None;
    }
    let host = match plan.address.host.as_str() {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other.parse().ok().filter(IpAddr::is_loopback)?,
    };
    Some(SocketAddr::new(host, plan.address.port))
}

async fn is_answered(address: SocketAddr) -> bool {
    matches!(timeout(LOCAL_CONNECT_WAIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// The runner reports all that the app does; of the broker one only wants to know what it dropped.
fn say_trouble(event: &BrokerEvent<'_>, volume: Volume) {
    match event {
        BrokerEvent::Dropped { client_id, topic, reason } => {
            volume.warning(&format!(
                "broker: a message on {topic} for {client_id} dropped: {reason}"
            ));
        }
        BrokerEvent::TurnedAway { peer } => {
            volume.warning(&format!("broker: {peer} turned away, too many connections"));
        }
        _ => {}
    }
}

/// `--key-value` goes to the store "default", as Spin has it.
async fn set_key_values(runner: &Runner, pairs: &[(String, String)]) -> Outcome {
    for (key, value) in pairs {
        let set = runner.store().set("default", key, value.clone().into_bytes());
        set.await.map_err(|error| Failure::wrong(format!("--key-value {key}: {error}")))?;
    }
    Ok(())
}

/// Triggers named when an app starts; one with more is better looked at with `pirn check`.
const TRIGGERS_SHOWN_MAX: usize = 8;

fn say_running(runner: &Runner, bench: &Bench, volume: Volume) {
    let app = runner.app();
    let shown = app.triggers.iter().take(TRIGGERS_SHOWN_MAX);
    let mut triggers: Vec<String> = shown.map(|trigger| app.fired_by(trigger)).collect();
    if app.triggers.len() > TRIGGERS_SHOWN_MAX {
        triggers.push(format!("{} more", app.triggers.len() - TRIGGERS_SHOWN_MAX));
    }
    let triggers = triggers.join(", ");
    let broker = app.broker.as_ref().map(|plan| format!(" with {}", plan.address));
    let broker = broker.unwrap_or_default();
    volume.step("Running", &format!("{}, fired by {triggers}{broker}; Ctrl-C ends it", app.name));
    if let Bench::Simulated(_) = bench {
        let which = match app.state_dir == app.dir.join(".pirn-state") {
            true => format!("-f {}", app.dir.display()),
            false => format!("--state-dir {}", app.state_dir.display()),
        };
        let (show, press) = (format!("pirn pins {which}"), format!("pirn pin press NAME {which}"));
        volume.step("Pins", &format!("simulated: `{show}` shows them, `{press}` presses one"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pirn_runner::plan::BrokerAddress;

    fn plan(address: &str) -> BrokerPlan {
        BrokerPlan {
            address: BrokerAddress::parse(address).unwrap(),
            username: None,
            password: None,
            keep_alive: Duration::from_secs(30),
            protocol: None,
            client_id: None,
            session_expiry: None,
            will: None,
            online: None,
            ca_file: None,
            client_identity: None,
        }
    }

    #[test]
    fn only_a_plain_broker_on_this_machine_is_replaced() {
        for (address, expected) in [
            ("mqtt://127.0.0.1:1884", Some("127.0.0.1:1884")),
            ("mqtt://localhost", Some("127.0.0.1:1883")),
            ("mqtt://[::1]", Some("[::1]:1883")),
            ("mqtts://localhost", None),
            ("mqtt://192.168.1.2", None),
            ("mqtt://broker.example.com", None),
            ("mqtt://0.0.0.0", None),
        ] {
            let local = local_address(&plan(address)).map(|address| address.to_string());
            assert_eq!(local.as_deref(), expected, "{address}");
        }
    }
}
