//! Redis, with a real server: commands of components, and components that take messages of channels.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::outward::Setting;
use pirn_tests::process::Running;
use pirn_tests::redis::{RedisClient, RedisServer};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

#[test]
fn every_command_of_a_sync_component_does_what_it_says_on_every_engine() {
    for engine in ENGINES {
        let server = RedisServer::start();
        let at = server.address();
        let app = Setting { engine, hosts: &[&at], ..Setting::default() }.start();
        let mut outside = server.client();
        outside.ask(&["SADD", "bytes", "a"]);
        for (command, expected) in [
            ("open", "ok"),
            ("get key", "none"),
            ("set key value", "ok"),
            ("get key", "some value"),
            ("incr counter", "1"),
            ("incr counter", "2"),
            ("incr key", "error: Error::TypeError"),
            ("get bytes", "error: Error::TypeError"),
            ("sadd set a b c", "3"),
            ("sadd set c d", "1"),
            ("smembers set", "a,b,c,d"),
            ("smembers none", ""),
            ("srem set a x", "1"),
            ("del key set none", "2"),
            ("del", "0"),
            ("execute PING", "status PONG"),
            ("execute SET n int:-5", "status OK"),
            ("execute GET n", "binary -5"),
            ("execute INCRBY n int:7", "int 2"),
            ("execute MGET n none n", "binary 2,nil,binary 2"),
            ("execute EVAL return{1,{2,{3}}} int:0", "int 1,int 2,int 3"),
            ("execute KEYS zzz*", ""),
            ("execute LPUSH bytes x", "error: Error::TypeError"),
        ] {
            let answer = app.ask("redis", &format!("{at} {command}"));
            assert_eq!(answer, expected, "{command} on {engine}");
        }
        let nonsense = app.ask("redis", &format!("{at} execute NONSENSE"));
        assert!(nonsense.contains("unknown command"), "{nonsense}");
        let refused = app.ask("redis", &format!("{at} execute SUBSCRIBE x"));
        assert!(refused.contains("SUBSCRIBE cannot be had"), "{refused}");
        outside.send(&["SUBSCRIBE", "news"]);
        assert_eq!(outside.reply(), "subscribe news 1");
        assert_eq!(app.ask("redis", &format!("{at} publish news today")), "ok");
        assert_eq!(outside.reply(), "message news today");
    }
}

#[test]
fn a_connection_that_a_guest_changed_is_not_the_next_guest_s() {
    let server = RedisServer::start();
    let at = server.address();
    let app = Setting { hosts: &[&at], ..Setting::default() }.start();
    assert_eq!(app.ask("redis", &format!("{at} execute SELECT int:3")), "status OK");
    assert_eq!(app.ask("redis", &format!("{at} set where here")), "ok");
    assert_eq!(app.ask("redis", &format!("{at}/3 get where")), "none");
    assert_eq!(app.ask("redis", &format!("{at} execute MULTI")), "status OK");
    assert_eq!(app.ask("redis", &format!("{at} get where")), "some here");
    let count = |line: &str| line.split(':').nth(1).unwrap().trim().parse::<u32>().unwrap();
    let mut outside = server.client();
    let before = connections(&mut outside, count);
    for _ in 0..5 {
        assert_eq!(app.ask("redis", &format!("{at} get where")), "some here");
    }
    assert_eq!(connections(&mut outside, count), before, "one connection serves them all");
}

fn connections(outside: &mut RedisClient, count: impl Fn(&str) -> u32) -> u32 {
    let info = outside.ask(&["INFO", "stats"]);
    count(info.lines().find(|line| line.starts_with("total_connections_received")).unwrap())
}

#[test]
fn what_is_not_granted_or_not_there_is_refused_by_its_own_name() {
    let mut server = RedisServer::start_with(&["--requirepass", "pass word"]);
    let at = server.address();
    let port = server.port();
    let app = Setting { hosts: &[&at], ..Setting::default() }.start();
    let ask = |address: &str| app.ask("redis", &format!("{address} get key"));
    assert_eq!(ask(&format!("redis://:pass%20word@127.0.0.1:{port}")), "none");
    let said = ask(&at);
    assert!(said.contains("NOAUTH"), "{said}");
    let said = ask(&format!("redis://:wrong@127.0.0.1:{port}"));
    assert!(said.contains("WRONGPASS"), "{said}");
    for bad in [
        format!("redis://localhost:{port}"),
        format!("rediss://127.0.0.1:{port}"),
        "redis://127.0.0.1".to_owned(),
        "http://127.0.0.1".to_owned(),
        "nonsense".to_owned(),
    ] {
        assert_eq!(ask(&bad), "error: Error::InvalidAddress", "{bad}");
    }
    app.pirnd.wait_for(&format!("redis://localhost:{port} is not permitted"));
    // One that waits in the pool is of no use once the server was away.
    server.restart();
    assert_eq!(ask(&format!("redis://:pass%20word@127.0.0.1:{port}")), "none");
    server.stop();
    let said = ask(&format!("redis://:pass%20word@127.0.0.1:{port}"));
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn a_server_with_tls_is_reached_if_its_authority_is_trusted() {
    let certificates = tempfile::tempdir().unwrap();
    let server = RedisServer::start_secure(certificates.path());
    let at = format!("rediss://localhost:{}", server.port());
    let trusting = format!(
        "[tool.pirn.outbound]\nca_file = \"{}\"\n",
        certificates.path().join("ca.pem").display()
    );
    let app = Setting { hosts: &[&at], config: &trusting, ..Setting::default() }.start();
    assert_eq!(app.ask("redis", &format!("{at} set key value")), "ok");
    assert_eq!(app.ask("redis", &format!("{at} get key")), "some value");
    drop(app);
    let app = Setting { hosts: &[&at], ..Setting::default() }.start();
    let said = app.ask("redis", &format!("{at} get key"));
    assert!(said.contains("certificate is not accepted"), "{said}");
}

/// An app that takes messages of channels: `in` goes to all of these guests.
fn subscribed(server: &str, guests: &[&str], engine: &str) -> (ScratchApp, Running) {
    let mut manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [application.trigger.redis]\naddress = \"{{{{ server }}}}\"\n\
         [variables]\nserver = {{ default = \"{server}\" }}\n"
    );
    for name in guests {
        manifest += &format!(
            "[[trigger.redis]]\ncomponent = \"{name}\"\nchannel = \"in\"\n\
             [component.{name}]\nsource = \"{name}.wasm\"\n\
             allowed_outbound_hosts = [\"{server}\"]\n\
             variables = {{ server = \"{{{{ server }}}}\" }}\n\
             [component.{name}.tool.pirn]\nengine = \"{}\"\n",
            machine::engine(engine)
        );
    }
    let app = ScratchApp::with_manifest(&manifest);
    for name in guests {
        app.copy(&guest(name), &format!("{name}.wasm"));
    }
    let app = app.built();
    let running = app.up(&[]);
    running.wait_for(": subscribed to in");
    (app, running)
}

#[test]
fn components_of_both_worlds_take_messages_of_a_channel_on_every_engine() {
    for engine in ENGINES {
        let server = RedisServer::start();
        let (_app, running) = subscribed(&server.address(), &["redis-sync", "redis-async"], engine);
        let (mut answers, mut outside) = (server.client(), server.client());
        assert_eq!(answers.ask(&["SUBSCRIBE", "answers"]), "subscribe answers 1");
        // Both components have it.
        outside.ask(&["PUBLISH", "in", "hello"]);
        let mut both = [answers.reply(), answers.reply()];
        both.sort();
        assert_eq!(both, ["message answers async: hello", "message answers sync: hello"]);
        outside.ask(&["PUBLISH", "in", "refuse"]);
        running.wait_for("refused: refuse");
        running.wait_for("refused: it did not say why");
        outside.ask(&["PUBLISH", "in", "each"]);
        let both = [answers.reply(), answers.reply()];
        let each = "message answers async: 2 2 2 a,b 1 2 true".to_owned();
        assert!(both.contains(&each), "{both:?}\n{}", running.printed());
    }
}

#[test]
fn a_subscription_is_there_again_after_the_server_was_away() {
    let mut server = RedisServer::start();
    let (_app, running) = subscribed(&server.address(), &["redis-sync"], "native");
    server.stop();
    running.wait_for("; next attempt in ");
    server.restart();
    let (mut answers, mut outside) = (server.client(), server.client());
    assert_eq!(answers.ask(&["SUBSCRIBE", "answers"]), "subscribe answers 1");
    pirn_tests::eventually("somebody to listen", || {
        (outside.ask(&["PUBLISH", "in", "again"]) == "1").then_some(())
    });
    assert_eq!(answers.reply(), "message answers sync: again");
}
