//! Sessions with brokers that guests name: real sessions, with real or silent peers on loopback.

use std::net::Ipv4Addr;

use pirn_triggers::mqtt::broker::Broker;
use pirn_triggers::mqtt::{ClientCertificate, Publish, Qos};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::files::manifest::HostPattern;
use crate::happening::Urgency;
use crate::limits::bounds::OutboxBounds;
use crate::limits::host::{BROKER_AWAY_MAX, BROKER_IDLE_MAX};
use crate::outbox::{Ended, Receipt};
use crate::store::Layout;

/// Their store has no folder: nothing can be written.
fn brokers() -> Brokers {
    brokers_at("/nowhere")
}

fn brokers_at(state_dir: impl Into<std::path::PathBuf>) -> Brokers {
    let layout = Layout { state_dir: state_dir.into(), ..Layout::default() };
    let store = Store::start(layout).unwrap();
    Brokers::new(
        "app",
        TlsOptions::default(),
        store,
        OutboxBounds::default(),
        Arc::new(crate::report::Nobody),
    )
}

fn login(address: &str) -> Login {
    Login::new(BrokerAddress::parse(address).unwrap(), String::new(), String::new())
}

/// A listener that accepts nobody: what connects waits for ever for an answer.
async fn black_hole() -> (TcpListener, Login) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let login = login(&format!("mqtt://{}", listener.local_addr().unwrap()));
    (listener, login)
}

fn others(brokers: &Brokers) -> usize {
    locked(&brokers.pool.sessions).others.len()
}

fn message() -> Publish {
    let qos = Qos::AtLeastOnce;
    Publish { topic: "t".into(), payload: Default::default(), qos, retain: false }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_does_not_keep_its_slot() {
    let (brokers, hosts) = (brokers(), Hosts::default());
    let mut holes = Vec::new();
    for _ in 0..BROKER_SESSIONS_MAX + 2 {
        let (hole, login) = black_hole().await;
        holes.push(hole);
        let answer = brokers.session(login, &hosts).await.err();
        assert!(matches!(answer, Some(OpenError::Failed(_))), "{answer:?}");
        assert_eq!(others(&brokers), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_ended_while_it_opens_leaves_a_slot_that_is_free_soon() {
    let (brokers, hosts) = (brokers(), Hosts::default());
    let mut holes = Vec::new();
    for _ in 0..BROKER_SESSIONS_MAX {
        let (hole, login) = black_hole().await;
        holes.push(hole);
        let opening = brokers.session(login, &hosts);
        assert!(timeout(Duration::from_millis(100), opening).await.is_err());
    }
    assert_eq!(others(&brokers), BROKER_SESSIONS_MAX);
    tokio::time::sleep(BROKER_OPEN_TIMEOUT * 2).await;
    assert_eq!(others(&brokers), 0);
}

#[tokio::test]
async fn a_new_session_takes_the_place_of_the_longest_unused_and_of_none_that_is_held() {
    let (brokers, hosts) = (brokers(), Hosts::default());
    let mut peers = Vec::new();
    for _ in 0..=BROKER_SESSIONS_MAX {
        let peer = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = peer.local_addr().unwrap();
        peers.push(login(&format!("mqtt://{address}")));
        tokio::spawn(peer.run());
    }
    let newest = peers.pop().unwrap();
    let mut leases = Vec::new();
    for peer in &peers {
        leases.push(brokers.session(peer.clone(), &hosts).await.unwrap());
    }
    let refused = brokers.session(newest.clone(), &hosts).await.err();
    assert_eq!(refused, Some(OpenError::TooMany));
    drop(leases.remove(1));
    drop(leases.remove(0));
    brokers.session(newest.clone(), &hosts).await.unwrap();
    let sessions = locked(&brokers.pool.sessions);
    assert_eq!(sessions.others.len(), BROKER_SESSIONS_MAX);
    assert!(!sessions.others.contains_key(&peers[1].key()));
    assert!(sessions.others.contains_key(&peers[0].key()));
    assert!(sessions.others.contains_key(&newest.key()));
}

/// A session that was connected once and whose broker is gone, with something that is not acknowledged.
async fn left_alone(brokers: &Brokers) -> Receipt {
    let peer = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let peer_login = login(&format!("mqtt://{}", peer.local_addr().unwrap()));
    let serving = tokio::spawn(peer.run());
    let lease = brokers.session(peer_login, &Hosts::default()).await.unwrap();
    serving.abort();
    let _ = serving.await;
    let mut state = lease.held().outlet.session().state();
    state.wait_for(|state| !matches!(state, State::Connected { .. })).await.unwrap();
    lease.publish("component", message(), Urgency::Redelivered).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_a_guest_published_to_a_broker_that_stays_away_is_kept_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = brokers_at(folder.path());
    let receipt = left_alone(&brokers).await;
    assert_eq!(receipt.ended().await, Ended::Safe);
    let outlet = brokers.outlets().pop().unwrap();
    assert_eq!((outlet.pending(), outlet.state().2), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_kept_on_disk_either_is_lost_and_not_taken_for_a_stop() {
    let brokers = brokers();
    let receipt = left_alone(&brokers).await;
    tokio::time::pause();
    let ended = timeout(BROKER_AWAY_MAX * 3, receipt.ended()).await.unwrap();
    assert!(matches!(&ended, Ended::Refused(why) if why.contains("mqtt://127.0.0.1")), "{ended:?}");
    assert_eq!(others(&brokers), 0);
}

#[tokio::test]
async fn the_same_at_the_end_of_the_runner_is_a_stop() {
    let brokers = brokers();
    let receipt = left_alone(&brokers).await;
    brokers.stop(Duration::from_millis(10)).await;
    drop(brokers);
    assert_eq!(receipt.ended().await, Ended::Stopped);
}

#[tokio::test]
async fn a_session_that_nobody_uses_is_closed_after_a_while() {
    let (brokers, hosts) = (brokers(), Hosts::default());
    let peer = Broker::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let peer_login = login(&format!("mqtt://{}", peer.local_addr().unwrap()));
    tokio::spawn(peer.run());
    let lease = brokers.session(peer_login.clone(), &hosts).await.unwrap();
    let session = lease.held().outlet.session().clone();
    tokio::time::pause();
    tokio::time::sleep(BROKER_IDLE_MAX / 2).await;
    drop(lease);
    tokio::time::sleep(BROKER_IDLE_MAX / 2).await;
    assert_eq!(others(&brokers), 1);
    tokio::time::sleep(BROKER_IDLE_MAX * 2).await;
    assert_eq!(others(&brokers), 0);
    session.state().wait_for(|state| *state == State::Stopped).await.unwrap();
}

#[tokio::test]
async fn a_guest_cannot_take_the_apps_own_client_id() {
    let (brokers, hosts) = (brokers(), Hosts::default());
    locked(&brokers.pool.sessions).own_client_id = Some("device-1".into());
    let (_hole, _) = black_hole().await;
    for address in ["mqtt://127.0.0.1:1?client_id=device-1", "mqtts://other:1?client_id=device-1"] {
        let refused = brokers.session(login(address), &hosts).await.err();
        assert!(
            matches!(&refused, Some(OpenError::Failed(why)) if why.contains("the app's own")),
            "{refused:?}"
        );
    }
    let mut sessions = locked(&brokers.pool.sessions);
    sessions.opened = 3;
    // Other apps may have the same.
    assert_eq!(sessions.fresh_client_id("app"), "device-1-app-3");
    sessions.own_client_id = Some("app-1".into());
    assert_eq!(sessions.fresh_client_id("app"), "app-1-3");
    sessions.own_client_id = None;
    assert_ne!(sessions.fresh_client_id("app"), sessions.fresh_client_id("app"));
}

#[test]
fn the_devices_certificate_is_shown_to_the_apps_own_broker_and_to_those_that_the_operator_names() {
    let client = ClientCertificate { certificate_file: "cert".into(), key_file: "key".into() };
    let tls = TlsOptions { ca_file: Some("ca".into()), client: Some(client) };
    let named = vec![HostPattern::parse("mqtts://*.example.com:8883").unwrap()];
    let identity = Identity {
        tls,
        own: Some(BrokerAddress::parse("mqtts://own.example.org").unwrap()),
        certificate_for: Hosts::new(named, None, Default::default()),
    };
    for (address, shown) in [
        ("mqtts://own.example.org", true),
        ("mqtts://OWN.example.org:8883", true),
        ("mqtts://own.example.org:8884", false),
        ("mqtts://a.example.com:8883", true),
        ("mqtts://a.example.com:8884", false),
        ("mqtts://evil.org:8883", false),
    ] {
        let tls = identity.shown_to(&login(address));
        assert_eq!(tls.client.is_some(), shown, "{address}");
        assert!(tls.ca_file.is_some());
    }
}
