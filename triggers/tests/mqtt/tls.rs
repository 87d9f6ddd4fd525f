//! The MQTT session over TLS, against a real mosquitto.

use super::support::{Mosquitto, PATIENCE, Scratch, both, connected, say, subscribe, take};
use pirn_triggers::mqtt::{
    Address, ClientCertificate, Options, OptionsError, Protocol, Qos, Security, Session, State,
    TlsConfigError, TlsOptions,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Writes an authority, a certificate for 127.0.0.1 and localhost, and one for a client.
fn certificates(folder: &Path, change: impl Fn(&mut CertificateParams)) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let issuer = authority();
    write("ca.pem", issuer.pem());
    for (name, hosts) in [("server", vec!["127.0.0.1", "localhost"]), ("client", vec!["device-7"])]
    {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        // OpenSSL takes a certificate with its issuer's name for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn mosquitto(require: &str, change: impl Fn(&mut CertificateParams)) -> Mosquitto {
    Mosquitto::with(|folder| {
        certificates(folder, change);
        let path = |name: &str| folder.join(name).display().to_string();
        format!(
            "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n{require}\n",
            path("ca.pem"),
            path("server.pem"),
            path("server.key")
        )
    })
}

fn options(broker: &Mosquitto, protocol: Protocol, host: &str) -> Options {
    let tls = TlsOptions { ca_file: Some(broker.scratch.0.join("ca.pem")), client: None };
    let security = Security::Tls(tls);
    let mut options =
        Options::new(Address { host: host.into(), port: broker.port, security }, "tls");
    options.protocol = protocol;
    subscribe(&mut options, &[("in/#", Qos::AtLeastOnce)]);
    options
}

fn tls(options: &mut Options) -> &mut TlsOptions {
    match &mut options.address.security {
        Security::Tls(tls) => tls,
        Security::Plain => panic!("without TLS"),
    }
}

fn client(folder: &Path) -> ClientCertificate {
    ClientCertificate {
        certificate_file: folder.join("client.pem"),
        key_file: folder.join("client.key"),
    }
}

/// Waits for a failure that says this.
async fn fails(session: &Session, text: &str) {
    let mut state = session.state();
    let says = |state: &State| format!("{state:?}").contains(text);
    let said = tokio::time::timeout(PATIENCE, state.wait_for(says)).await;
    assert!(said.is_ok(), "not `{text}`, but {:?}", *session.state().borrow());
}

#[tokio::test]
async fn messages_pass_over_tls_and_stopping_loses_none() {
    let broker = mosquitto("", |_| {});
    both(async |protocol| {
        for host in ["127.0.0.1", "localhost"] {
            let (session, mut inbox) = Session::start(options(&broker, protocol, host)).unwrap();
            for number in 0..200 {
                say(&session, "in/a", &number.to_string(), Qos::AtLeastOnce).await;
                assert_eq!(take(&mut inbox).await.1, number.to_string());
            }
            let large = "x".repeat(60_000);
            say(&session, "in/a", &large, Qos::AtLeastOnce).await;
            assert_eq!(take(&mut inbox).await.1, large);
            session.stop(Duration::from_secs(5)).await;
            // The last acknowledgement went out before DISCONNECT: nothing comes again.
            let (session, mut inbox) = Session::start(options(&broker, protocol, host)).unwrap();
            say(&session, "in/a", "again", Qos::AtLeastOnce).await;
            assert_eq!(take(&mut inbox).await.1, "again");
            session.stop(Duration::from_secs(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_asks_for_a_certificate_gets_ours() {
    let broker = mosquitto("require_certificate true", |_| {});
    both(async |protocol| {
        let mut options = options(&broker, protocol, "127.0.0.1");
        let (without, _inbox) = Session::start(options.clone()).unwrap();
        fails(&without, "TLS: ").await;
        tls(&mut options).client = Some(client(&broker.scratch.0));
        let (session, mut inbox) = Session::start(options).unwrap();
        say(&session, "in/a", "x", Qos::ExactlyOnce).await;
        assert_eq!(take(&mut inbox).await.1, "x");
    })
    .await;
}

#[tokio::test]
async fn a_broker_of_another_authority_or_name_is_not_talked_to() {
    let broker = mosquitto("", |_| {});
    let other = Scratch::new();
    certificates(&other.0, |_| {});
    let mut foreign = options(&broker, Protocol::V311, "127.0.0.1");
    tls(&mut foreign).ca_file = Some(other.0.join("ca.pem"));
    let (session, _inbox) = Session::start(foreign.clone()).unwrap();
    fails(&session, "certificate is not accepted").await;
    tls(&mut foreign).ca_file = None;
    if let Ok((session, _inbox)) = Session::start(foreign) {
        fails(&session, "certificate is not accepted").await;
    }
    let (session, _inbox) = Session::start(options(&broker, Protocol::V311, "127.0.0.2")).unwrap();
    fails(&session, "127.0.0.2").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_reported_as_a_problem_of_the_clock() {
    let broker = mosquitto("", |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2095, 1, 1);
    });
    let (session, _inbox) = Session::start(options(&broker, Protocol::V311, "127.0.0.1")).unwrap();
    fails(&session, "is not valid yet. This device's clock says 20").await;
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let broker = mosquitto("", |_| {});
    let theirs = std::fs::read(broker.scratch.0.join("ca.pem")).unwrap();
    let ours = Scratch::new();
    certificates(&ours.0, |_| {});
    let mut options = options(&broker, Protocol::V311, "127.0.0.1");
    let file: PathBuf = ours.0.join("ca.pem");
    tls(&mut options).ca_file = Some(file.clone());
    let (session, _inbox) = Session::start(options).unwrap();
    fails(&session, "certificate is not accepted").await;
    std::fs::write(&file, theirs).unwrap();
    connected(&session).await;
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_reported() {
    let broker = Mosquitto::start();
    certificates(&broker.scratch.0, |_| {});
    let (session, _inbox) = Session::start(options(&broker, Protocol::V311, "127.0.0.1")).unwrap();
    fails(&session, "127.0.0.1").await;
    assert!(session.counters().connect_failures >= 1);
}

#[tokio::test]
async fn unusable_files_are_refused_at_once_and_by_name() {
    let scratch = Scratch::new();
    certificates(&scratch.0, |_| {});
    let empty = scratch.write("empty.pem", "nothing here\n");
    let missing = scratch.0.join("missing.pem");
    let good = scratch.0.join("ca.pem");
    let start = |ca: &Path, client: Option<ClientCertificate>| {
        let security = Security::Tls(TlsOptions { ca_file: Some(ca.into()), client });
        let address = Address { host: "127.0.0.1".into(), port: 8883, security };
        match Session::start(Options::new(address, "x")) {
            Err(OptionsError::Tls(error)) => Err(error),
            Err(other) => panic!("{other}"),
            Ok(_) => Ok(()),
        }
    };
    let file = |error: TlsConfigError| match error {
        TlsConfigError::File { path, .. } => path,
        other => panic!("{other}"),
    };
    assert_eq!(file(start(&missing, None).unwrap_err()), missing);
    assert_eq!(file(start(&empty, None).unwrap_err()), empty);
    assert_eq!(start(&good, Some(client(&scratch.0))), Ok(()));
    let mut swapped = client(&scratch.0);
    swapped.key_file = scratch.0.join("server.key");
    assert!(matches!(start(&good, Some(swapped)).unwrap_err(), TlsConfigError::Client(_)));
    let mut no_key = client(&scratch.0);
    no_key.key_file = missing.clone();
    assert_eq!(file(start(&good, Some(no_key)).unwrap_err()), missing);
}
