//! A session that thousands of apps share, which come and go, with the embedded broker.

use super::{PATIENCE, Running};
use pirn_triggers::mqtt::{
    Address, Inbox, Options, Publish, Qos, Security, Session, State, Subscription,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const MANY: usize = 5_000;

/// A way to the broker that can be cut.
struct Way {
    port: u16,
    cut: watch::Sender<u32>,
}

impl Way {
    async fn to(broker: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(0);
        let cuts = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(broker).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, cut }
    }
}

fn filter(n: usize) -> String {
    format!("site/a/{n}/set")
}

fn subscription(n: usize) -> Subscription {
    Subscription { filter: filter(n), qos: Qos::AtLeastOnce }
}

/// Waits until the broker holds so many that are told.
async fn holds(session: &Session, count: usize) {
    let mut granted = session.granted();
    let enough = granted.wait_for(|granted| granted.len() == count);
    assert!(timeout(PATIENCE, enough).await.is_ok(), "{} held", session.granted().borrow().len());
}

async fn connected(session: &Session, connects: u64) {
    let mut state = session.state();
    let is = |state: &State| {
        matches!(state, State::Connected { .. }) && session.counters().connects == connects
    };
    timeout(PATIENCE, state.wait_for(is)).await.unwrap().unwrap();
}

/// What comes of one message to each of these; nothing comes for those that nobody wants.
/// What came before, and comes again after a cut, does not count.
async fn heard(session: &Session, inbox: &mut Inbox, apps: &[usize]) -> Vec<String> {
    let round = format!("{apps:?}");
    let publish = |topic: String| Publish {
        topic,
        payload: round.clone().into(),
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    for n in apps {
        session.publish(publish(filter(*n))).await.unwrap();
    }
    session.publish(publish("end".into())).await.unwrap();
    let mut topics = Vec::new();
    loop {
        let message = timeout(PATIENCE, inbox.next()).await.unwrap().unwrap();
        session.settle(message.delivery);
        match message.topic.as_str() {
            _ if message.payload != round.as_bytes() => {}
            "end" => return topics,
            topic => topics.push(topic.to_owned()),
        }
    }
}

#[tokio::test]
async fn five_thousand_apps_subscribe_leave_and_come_back_over_a_reconnect() {
    let broker = Running::start().await;
    let way = Way::to(broker.addr).await;
    let address = Address { host: "127.0.0.1".into(), port: way.port, security: Security::Plain };
    let (session, mut inbox) = Session::start(Options::new(address, "shared")).unwrap();
    connected(&session, 1).await;
    let end = Subscription { filter: "end".into(), qos: Qos::AtLeastOnce };
    session.subscribe(end).unwrap();
    (0..MANY).for_each(|n| session.subscribe(subscription(n)).unwrap());
    holds(&session, MANY + 1).await;
    let apps = [0, 1, 2_499, MANY - 1];
    assert_eq!(heard(&session, &mut inbox, &apps).await, apps.map(filter));

    // Half of them leave, while a few others come.
    (0..MANY / 2).for_each(|n| session.unsubscribe(&filter(n)));
    (MANY..MANY + 10).for_each(|n| session.subscribe(subscription(n)).unwrap());
    holds(&session, MANY / 2 + 11).await;
    let apps = [0, 2_499, 2_500, MANY - 1, MANY + 9];
    assert_eq!(heard(&session, &mut inbox, &apps).await, [2_500, MANY - 1, MANY + 9].map(filter));

    // The way breaks; meanwhile one leaves, one of those that left is back, and one is new.
    way.cut.send_modify(|cuts| *cuts += 1);
    session.unsubscribe(&filter(2_500));
    session.subscribe(subscription(7)).unwrap();
    session.subscribe(subscription(MANY + 10)).unwrap();
    connected(&session, 2).await;
    holds(&session, MANY / 2 + 12).await;
    let apps = [0, 7, 2_500, 2_501, MANY + 10];
    assert_eq!(heard(&session, &mut inbox, &apps).await, [7, 2_501, MANY + 10].map(filter));
    session.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_newcomer_on_a_filter_that_is_held_gets_its_retained_messages() {
    let broker = Running::start().await;
    let local = |port| Address { host: "127.0.0.1".into(), port, security: Security::Plain };
    let options = Options::new(local(broker.addr.port()), "shared");
    for protocol in [pirn_triggers::mqtt::Protocol::V311, pirn_triggers::mqtt::Protocol::V5] {
        let options = Options { protocol, client_id: format!("{protocol:?}"), ..options.clone() };
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session, 1).await;
        let (topic, payload) = ("lamp".to_owned(), "on".into());
        let on = Publish { topic, payload, qos: Qos::AtLeastOnce, retain: true };
        session.publish(on).await.unwrap().await.unwrap();
        let lamp = Subscription { filter: "lamp".into(), qos: Qos::AtLeastOnce };
        session.subscribe(lamp).unwrap();
        for _ in 0..3 {
            let message = timeout(PATIENCE, inbox.next()).await.unwrap().unwrap();
            assert!(message.retain && message.topic == "lamp");
            session.settle(message.delivery);
            holds(&session, 1).await;
            session.subscribe_again("lamp");
        }
        session.stop(PATIENCE).await;
    }
}
