//! mosquitto_pub and mosquitto_sub as peers, in both protocol versions.

use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{PATIENCE, Running};

fn tool(name: &str, broker: &Running, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command
        .args(["-h", "127.0.0.1", "-p", &broker.port()])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn start(name: &str, broker: &Running, arguments: &[&str]) -> Child {
    tool(name, broker, arguments)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}; install mosquitto-clients"))
}

async fn output(child: Child) -> String {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("in time").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

async fn publish(broker: &Running, arguments: &[&str]) {
    output(start("mosquitto_pub", broker, arguments)).await;
}

#[tokio::test]
async fn every_qos_arrives_in_both_versions() {
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let broker = Running::start().await;
            let arguments = ["-V", version, "-q", qos, "-t", "a/+", "-C", "3", "-v"];
            let subscriber = start("mosquitto_sub", &broker, &arguments);
            broker.told(&["Subscribed"]).await;
            for payload in ["one", "two", "three"] {
                publish(&broker, &["-V", version, "-q", qos, "-t", "a/b", "-m", payload]).await;
            }
            let expected = "a/b one\na/b two\na/b three\n";
            assert_eq!(output(subscriber).await, expected, "{version}, QoS {qos}");
        }
    }
}

#[tokio::test]
async fn a_retained_message_meets_who_comes_later_until_it_is_cleared() {
    let broker = Running::start().await;
    publish(&broker, &["-t", "state/x", "-m", "kept", "-r", "-q", "1"]).await;
    publish(&broker, &["-t", "state/y", "-m", "gone", "-r"]).await;
    publish(&broker, &["-t", "state/y", "-n", "-r"]).await;
    publish(&broker, &["-t", "state/z", "-m", "last", "-r"]).await;
    let arguments = ["-t", "state/#", "-C", "2", "-F", "%t %p %r"];
    let subscriber = start("mosquitto_sub", &broker, &arguments);
    assert_eq!(output(subscriber).await, "state/x kept 1\nstate/z last 1\n");
}

#[tokio::test]
async fn a_persistent_session_collects_while_its_client_is_away() {
    for version in [&["-V", "mqttv311"][..], &["-V", "mqttv5", "-x", "3600"]] {
        let broker = Running::start().await;
        let session = ["-i", "sleeper", "-c", "-q", "1", "-t", "night/#"];
        let first = start("mosquitto_sub", &broker, &[version, &session, &["-E"]].concat());
        output(first).await;
        broker.told(&["Disconnected", "sleeper"]).await;
        for payload in ["1", "2", "3"] {
            publish(&broker, &["-q", "2", "-t", "night/a", "-m", payload]).await;
        }
        publish(&broker, &["-q", "0", "-t", "night/a", "-m", "not kept"]).await;
        let again = start("mosquitto_sub", &broker, &[version, &session, &["-C", "3"]].concat());
        assert_eq!(output(again).await, "1\n2\n3\n", "{version:?}");
    }
}

#[tokio::test]
async fn a_shared_subscription_hands_each_message_to_one_member() {
    let broker = Running::start().await;
    let arguments = ["-q", "1", "-t", "$share/crew/job", "-C", "5"];
    let crew = [
        start("mosquitto_sub", &broker, &[&["-i", "ann"], &arguments[..]].concat()),
        start("mosquitto_sub", &broker, &[&["-i", "bob"], &arguments[..]].concat()),
    ];
    broker.told(&["Subscribed", "ann"]).await;
    broker.told(&["Subscribed", "bob"]).await;
    for number in 0..10 {
        publish(&broker, &["-q", "1", "-t", "job", "-m", &number.to_string()]).await;
    }
    let mut seen = Vec::new();
    for member in crew {
        seen.extend(output(member).await.lines().map(|line| line.parse::<u32>().unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_will_is_published_when_its_client_is_killed_and_not_when_it_says_goodbye() {
    for version in ["mqttv311", "mqttv5"] {
        let broker = Running::start().await;
        let watcher = start("mosquitto_sub", &broker, &["-t", "wills/#", "-C", "1", "-v"]);
        broker.told(&["Subscribed", "wills"]).await;
        let polite = ["-V", version, "-t", "x", "-E", "--will-topic", "wills/polite"];
        output(start("mosquitto_sub", &broker, &polite)).await;
        let will = ["--will-topic", "wills/killed", "--will-payload", "farewell", "-i", "victim"];
        let mut victim =
            start("mosquitto_sub", &broker, &[&["-V", version, "-t", "x"], &will[..]].concat());
        broker.told(&["Subscribed", "victim"]).await;
        victim.kill().await.unwrap();
        assert_eq!(output(watcher).await, "wills/killed farewell\n", "{version}");
        broker.told(&["Disconnected", "victim", "Lost"]).await;
    }
}

#[tokio::test]
async fn properties_of_version_5_reach_the_receiver() {
    let broker = Running::start().await;
    let arguments = ["-V", "mqttv5", "-t", "a", "-C", "1", "-F", "%p %R %C %P"];
    let subscriber = start("mosquitto_sub", &broker, &arguments);
    broker.told(&["Subscribed"]).await;
    let request =
        ["-V", "mqttv5", "-t", "a", "-m", "hi", "-D", "publish", "response-topic", "back"];
    let more =
        ["-D", "publish", "content-type", "text", "-D", "publish", "user-property", "k", "v"];
    publish(&broker, &[&request[..], &more].concat()).await;
    assert_eq!(output(subscriber).await, "hi back text k:v\n");
}

#[tokio::test]
async fn a_large_payload_passes_whole() {
    let broker = Running::start().await;
    let payload = "x".repeat(100_000);
    let subscriber = start("mosquitto_sub", &broker, &["-q", "2", "-t", "big", "-C", "1"]);
    broker.told(&["Subscribed"]).await;
    publish(&broker, &["-q", "2", "-t", "big", "-m", &payload]).await;
    assert_eq!(output(subscriber).await.trim_end(), payload);
}
