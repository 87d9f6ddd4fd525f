//! Asks other machines what the last level of the topic says, and answers on `answer/<command>`: the test suite's hand
//! inside a component made for Spin 1 to 3. An error of an import is answered as `error: …`.
//!
//! | topic | payload | answer |
//! |---|---|---|
//! | `…/fetch` | `METHOD ADDRESS`, lines `name: value`, an empty line, a body | the status, the headers sorted, an empty line, the body |
//! | `…/send` | the same, through `wasi:http` | the same |
//! | `…/pump` | `HOST:PORT/PATH BYTES` | what became of posting so many bytes, and how many came back |
//! | `…/redis` | `ADDRESS FUNCTION ARGUMENT…`, separated by blanks | what the function returned |
//! | `…/infer` | `MODEL PROMPT`, or `MODEL repeat:COUNT` | the text, tokens asked and made |
//! | `…/embed` | `MODEL TEXT` | the number of vectors, the first's numbers, tokens asked |

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: ["../../../runner/wit/spin-1", "../../../runner/wit"],
        inline: "
            package pirn:outbound-test;

            world outbound-test {
                use spin:mqtt-trigger/spin-mqtt-types.{error, metadata, payload};
                export handle-message: func(message: payload, metadata: metadata) -> result<_, error>;
                import fermyon:spin/http;
            }
        ",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

mod redis;
mod send;

use anyhow::{Context, Result, bail};
use bindings::fermyon::spin::http::{Request, send_request};
use bindings::fermyon::spin::http_types::Method;
use bindings::{Error, Guest, Metadata, Payload};
use spin_sdk::mqtt::{Connection, Qos};
use spin_sdk::{llm, variables};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        handle(&message, &metadata.topic).map_err(|error| Error::Other(error.to_string()))
    }
}

fn handle(payload: &[u8], topic: &str) -> Result<()> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = String::from_utf8_lossy(payload);
    let answer = obey(command, &text).unwrap_or_else(|error| format!("error: {error}"));
    let broker = variables::get("broker")?;
    let connection = Connection::open(&broker, "", "", 30)?;
    connection.publish(&format!("answer/{command}"), answer.as_bytes(), Qos::AtLeastOnce)?;
    Ok(())
}

fn obey(command: &str, text: &str) -> Result<String> {
    match command {
        "fetch" => fetch(text),
        "send" => send::fetch(text),
        "pump" => send::pump(text),
        "redis" => redis::obey(text),
        "infer" => {
            let (model, prompt) = text.split_once(' ').context("a model and a prompt")?;
            let prompt = match prompt.strip_prefix("repeat:") {
                Some(count) => "x".repeat(count.parse()?),
                None => prompt.to_owned(),
            };
            let result = llm::infer(llm::InferencingModel::Other(model), &prompt)?;
            let usage = result.usage;
            let (asked, made) = (usage.prompt_token_count, usage.generated_token_count);
            Ok(format!("{} {asked} {made}", result.text))
        }
        "embed" => {
            let (model, text) = text.split_once(' ').context("a model and a text")?;
            let model = llm::EmbeddingModel::Other(model);
            let result = llm::generate_embeddings(model, &[text.to_owned()])?;
            let first = result.embeddings.first().context("a vector")?;
            let asked = result.usage.prompt_token_count;
            Ok(format!("{} {first:?} {asked}", result.embeddings.len()))
        }
        _ => bail!("unknown command {command:?}"),
    }
}

fn fetch(text: &str) -> Result<String> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, uri) =
        lines.next().and_then(|line| line.split_once(' ')).context("METHOD ADDRESS")?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").context("name: value")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let request = Request {
        method: match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "PATCH" => Method::Patch,
            "HEAD" => Method::Head,
            _ => Method::Options,
        },
        uri: uri.to_owned(),
        headers: lines.map(header).collect::<Result<_>>()?,
        params: Vec::new(),
        body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
    };
    match send_request(&request) {
        Ok(answer) => {
            let headers = answer.headers.unwrap_or_default();
            let mut lines: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            lines.sort();
            let body = answer.body.unwrap_or_default();
            // What is long is only counted.
            let body = match body.len() {
                0..=1_000 => String::from_utf8_lossy(&body).into_owned(),
                many => format!("{many} bytes"),
            };
            Ok(format!("{}\n{}\n{body}", answer.status, lines.concat()))
        }
        Err(error) => bail!("{}", error.name()),
    }
}
