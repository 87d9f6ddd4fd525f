//! Components ask language models, on a small server that speaks both protocols and misbehaves when it is asked to.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use pirn_tests::outward::{Outward, Setting};
use pirn_tests::webserver::{Asked, Client, Web};
use serde_json::Value;

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];
const MODELS: &str = "ai_models = [\"small\", \"gone\"]";

/// What is answered depends on what is asked: a prompt that is one of these words is answered so.
fn model_server() -> Web {
    Web::start(|asked: &Asked, client: &mut Client| {
        let question: Value = serde_json::from_str(&asked.body).unwrap();
        let prompt = question["prompt"].as_str().or(question["messages"][0]["content"].as_str());
        let prompt = prompt.or(question["input"][0].as_str()).unwrap().to_owned();
        if question["model"] == "gone" {
            return client.answer("404 Not Found", r#"{"error":{"message":"no such model"}}"#);
        }
        match prompt.as_str() {
            "slow" => std::thread::sleep(Duration::from_secs(40)),
            "huge" => {
                client.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let piece = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                (0..100).for_each(|_| client.say(piece.as_bytes()));
                client.say(b"0\r\n\r\n");
            }
            "nonsense" => client.answer("200 OK", "<html>it works</html>"),
            "deep" => client.answer("200 OK", &format!("{{\"x\":{}", "[".repeat(500_000))),
            "empty" => client.answer("200 OK", "{}"),
            "busy" => client.answer("503 Service Unavailable", r#"{"error":"loading the model"}"#),
            "bad" => client.answer("400 Bad Request", r#"{"error":{"message":"too long"}}"#),
            "cut" => {
                client.say(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"text\":\"ha");
                client.cut();
            }
            _ => client.answer("200 OK", &answer(&asked.line, &prompt)),
        }
    })
}

fn answer(line: &str, prompt: &str) -> String {
    let said = serde_json::to_string(&format!("you said \"{prompt}\"\n")).unwrap();
    match line.split(' ').nth(1).unwrap() {
        "/base/infer" => format!(
            r#"{{"text":{said},"usage":{{"promptTokenCount":3,"generatedTokenCount":4}}}}"#
        ),
        "/base/embed" => r#"{"embeddings":[[1.5,-2]],"usage":{"promptTokenCount":3}}"#.to_owned(),
        "/base/v1/chat/completions" => format!(
            r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":{said}}}}}],"usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}}"#
        ),
        "/base/v1/embeddings" => {
            r#"{"object":"list","data":[{"index":0,"embedding":[1.5,-2]}],"usage":{"prompt_tokens":3}}"#.to_owned()
        }
        other => panic!("{other}"),
    }
}

fn app(server: &Web, engine: &str, api: &str) -> Outward {
    let config = format!(
        "[llm_compute]\ntype = \"remote_http\"\nurl = \"{}/base/\"\nauth_token = \"secret\"\napi_type = \"{api}\"\n",
        server.address()
    );
    Setting { engine, more: MODELS, config: &config, ..Setting::default() }.start()
}

#[test]
fn a_component_asks_a_model_in_both_ways_on_every_engine() {
    for api in ["default", "open_ai"] {
        for engine in ENGINES {
            let server = model_server();
            let app = app(&server, engine, api);
            assert_eq!(app.ask("infer", "small good day"), "you said \"good day\"\n 3 4");
            assert_eq!(app.ask("embed", "small good day"), "1 [1.5, -2.0] 3");
            let asked = server.asked();
            assert_eq!(asked[0].header("authorization"), Some("bearer secret"));
            let question: Value = serde_json::from_str(&asked[0].body).unwrap();
            assert_eq!(question["model"], "small");
            match api {
                "default" => {
                    let options = &question["options"];
                    assert_eq!(
                        (&options["maxTokens"], &options["topK"]),
                        (&100.into(), &40.into())
                    );
                    assert_eq!(options["max_tokens"], 100);
                }
                _ => {
                    assert_eq!(question["messages"][0]["role"], "user");
                    assert_eq!(question["max_tokens"], 100);
                }
            }
            let question: Value = serde_json::from_str(&asked[1].body).unwrap();
            assert_eq!(question["input"][0], "good day");
        }
    }
}

#[test]
fn a_server_that_misbehaves_is_an_error_of_the_guest_s_interface() {
    let server = model_server();
    let app = app(&server, "native", "open_ai");
    for (prompt, expected) in [
        ("nonsense", "not the JSON that was expected"),
        ("deep", "not the JSON that was expected"),
        ("empty", "the answer has no text"),
        ("busy", "503 Service Unavailable: loading the model"),
        ("bad", "InvalidInput"),
        ("cut", "closed before the answer was complete"),
        ("huge", "more than 1048576 bytes"),
    ] {
        let said = app.ask("infer", &format!("small {prompt}"));
        assert!(said.starts_with("error: ") && said.contains(expected), "{prompt}: {said}");
    }
    let said = app.ask("infer", "gone x");
    assert!(said.contains("ModelNotSupported"), "{said}");
    // It is well afterwards, and one that thinks for too long ends with its guest's deadline.
    assert_eq!(app.ask("infer", "small hello"), "you said \"hello\"\n 3 4");
}

#[test]
fn a_model_that_thinks_for_too_long_ends_with_its_guest() {
    let server = model_server();
    let config = format!("[llm_compute]\ntype = \"remote_http\"\nurl = \"{}\"\n", server.address());
    let setting = Setting { more: MODELS, config: &config, ..Setting::default() };
    let app = Setting { deadline: "1s", ..setting }.start();
    app.tell("infer", "small slow");
    app.pirnd.wait_for("deadline");
}

#[test]
fn what_the_manifest_does_not_name_is_not_asked_and_without_a_server_nothing_is() {
    let server = model_server();
    let granted = app(&server, "native", "default");
    let said = granted.ask("infer", "large hello");
    assert!(said.contains("may not ask \\\"large\\\""), "{said}");
    let said = granted.ask("infer", "small repeat:262145");
    assert!(said.contains("more than the 262144 that may be asked at once"), "{said}");
    assert_eq!(server.asked(), []);
    let app = Setting { more: MODELS, ..Setting::default() }.start();
    let said = app.ask("infer", "small hello");
    assert!(said.contains("[llm_compute]"), "{said}");
    app.pirnd.wait_for("this device has no model server");
}
