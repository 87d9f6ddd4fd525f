//! The server that models run on, as the operator names it, and the two ways in which such servers are spoken to.

use std::sync::Arc;

use pirn_triggers::net::Target;
use pirn_triggers::net::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use pirn_triggers::net::http::{self, Client, Method, Request, StatusCode, Timeouts};
use tokio::sync::Semaphore;

use super::json::{JsonError, Reader, write_number, write_text};
use crate::files::runtime_config::{LlmApi, LlmCompute};
use crate::limits::outbound as limits;

/// The server.
pub(super) struct Models {
    server: LlmCompute,
    client: Client,
    places: Arc<Semaphore>,
}

/// How a text is to be gone on with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Params {
    pub(super) max_tokens: u32,
    pub(super) repeat_penalty: f32,
    pub(super) repeat_penalty_last_n_token_count: u32,
    pub(super) temperature: f32,
    pub(super) top_k: u32,
    pub(super) top_p: f32,
}

impl Default for Params {
    /// Those of Spin.
    fn default() -> Self {
        Self {
            max_tokens: 100,
            repeat_penalty: 1.1,
            repeat_penalty_last_n_token_count: 64,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
        }
    }
}

/// A text, and what it cost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inferred {
    pub(super) text: String,
    pub(super) tokens_asked: u32,
    pub(super) tokens_made: u32,
}

/// Vectors, and what they cost.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Embedded {
    pub(super) vectors: Vec<Vec<f32>>,
    pub(super) tokens_asked: u32,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ModelError {
    /// The server does not know the model.
    #[error("the server does not know the model: {0}")]
    Unknown(String),
    /// It complains of what was asked.
    #[error("the server does not accept what was asked: {0}")]
    Refused(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<JsonError> for ModelError {
    fn from(error: JsonError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Models {
    pub(super) fn new(server: LlmCompute, client: Client) -> Self {
        Self { server, client, places: Arc::new(Semaphore::new(limits::MODELS_ASKED_MAX)) }
    }

    /// Goes on from a prompt.
    pub(super) async fn infer(
        &self,
        model: &str,
        prompt: &str,
        params: Params,
    ) -> Result<Inferred, ModelError> {
        let (path, question): (_, fn(&str, &str, Params) -> String) = match self.server.api {
            LlmApi::Default => ("/infer", plain_question),
            LlmApi::OpenAi => ("/v1/chat/completions", chat_question),
        };
        let answer = self.ask(path, question(model, prompt, params)).await?;
        match self.server.api {
            LlmApi::Default => plain_answer(&answer),
            LlmApi::OpenAi => chat_answer(&answer),
        }
    }

    /// A vector for each text.
    pub(super) async fn embed(
        &self,
        model: &str,
        texts: &[String],
    ) -> Result<Embedded, ModelError> {
        let path = match self.server.api {
            LlmApi::Default => "/embed",
            LlmApi::OpenAi => "/v1/embeddings",
        };
        let answer = self.ask(path, embedding_question(model, texts)).await?;
        let embedded = match self.server.api {
            LlmApi::Default => plain_vectors(&answer),
            LlmApi::OpenAi => data_vectors(&answer),
        }?;
        match embedded.vectors.len() == texts.len() {
            true => Ok(embedded),
            false => Err(ModelError::Failed("the answer has not one vector for each text".into())),
        }
    }

    async fn ask(&self, path: &str, question: String) -> Result<Vec<u8>, ModelError> {
        let failed = |error: &dyn std::fmt::Display| ModelError::Failed(error.to_string());
        let _place = self.places.acquire().await.map_err(|error| failed(&error))?;
        let LlmCompute { url, auth_token, .. } = &self.server;
        let secure = url.scheme == "https";
        let port = url.port.unwrap_or(if secure { 443 } else { 80 });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !auth_token.is_empty() {
            let token = HeaderValue::try_from(format!("bearer {auth_token}"));
            headers.insert(AUTHORIZATION, token.map_err(|error| failed(&error))?);
        }
        let request = Request {
            method: Method::POST,
            target: Target { host: url.host.clone(), port, secure },
            path: format!("{}{path}", url.path.trim_end_matches('/')),
            headers,
            body: http::full(question.into()),
            timeouts: Timeouts { first_byte: limits::MODEL_PATIENCE, ..Timeouts::default() },
        };
        // The operator named the server: neither the manifest nor the blocked networks are asked.
        let answer = self.client.send(request, None).await.map_err(|error| failed(&error))?;
        let status = answer.status;
        let body = answer.body.all(limits::FETCHED_BYTES_MAX).await;
        match (status.is_success(), body) {
            (true, body) => Ok(body.map_err(|error| failed(&error))?.into()),
            (false, body) => Err(complaint(status, &body.unwrap_or_default())),
        }
    }
}

/// What a server says with a status that is no success.
fn complaint(status: StatusCode, body: &[u8]) -> ModelError {
    let mut said = said(body).unwrap_or_default();
    let end = (0..=limits::COMPLAINT_BYTES_MAX).rev().find(|&at| said.is_char_boundary(at));
    said.truncate(end.unwrap_or(0));
    let sentence = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    match status {
        StatusCode::NOT_FOUND => ModelError::Unknown(sentence),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ModelError::Refused(sentence),
        _ => ModelError::Failed(sentence),
    }
}

/// `{"error": "…"}` or `{"error": {"message": "…"}}`.
fn said(body: &[u8]) -> Option<String> {
    let mut said = None;
    Reader::new(body)
        .object(|reader, key| {
            if key != "error" {
                return reader.skip();
            }
            if let Ok(text) = reader.text() {
                said = Some(text);
                return Ok(());
            }
            reader.object(|reader, key| match key {
                "message" => {
                    said = Some(reader.text()?);
                    Ok(())
                }
                _ => reader.skip(),
            })
        })
        .ok()?;
    said
}

fn member(into: &mut String, name: &str, number: f32) {
    write_text(name, into);
    into.push(':');
    write_number(number, into);
}

/// Spin's own API. Spin writes the options' names in one way, its documentation in another, and servers read
/// one or the other: both are there.
fn plain_question(model: &str, prompt: &str, params: Params) -> String {
    let mut json = String::from("{\"model\":");
    write_text(model, &mut json);
    json.push_str(",\"prompt\":");
    write_text(prompt, &mut json);
    json.push_str(",\"options\":{");
    for names in [CAMEL, SNAKE] {
        let [tokens, penalty, last, temperature, top_k, top_p] = names;
        json.push_str(if names == CAMEL { "" } else { "," });
        json.push_str(&format!("\"{tokens}\":{},", params.max_tokens));
        json.push_str(&format!("\"{last}\":{},", params.repeat_penalty_last_n_token_count));
        json.push_str(&format!("\"{top_k}\":{},", params.top_k));
        member(&mut json, penalty, params.repeat_penalty);
        json.push(',');
        member(&mut json, temperature, params.temperature);
        json.push(',');
        member(&mut json, top_p, params.top_p);
    }
    json.push_str("}}");
    json
}

const CAMEL: [&str; 6] =
    ["maxTokens", "repeatPenalty", "repeatPenaltyLastNTokenCount", "temperature", "topK", "topP"];

const SNAKE: [&str; 6] = [
    "max_tokens",
    "repeat_penalty",
    "repeat_penalty_last_n_token_count",
    "temperature",
    "top_k",
    "top_p",
];

/// One user's message. `repeat_penalty` and `top_k` are llama.cpp's and Ollama's; others pass over them.
fn chat_question(model: &str, prompt: &str, params: Params) -> String {
    let mut json = String::from("{\"model\":");
    write_text(model, &mut json);
    json.push_str(",\"messages\":[{\"role\":\"user\",\"content\":");
    write_text(prompt, &mut json);
    let tokens = params.max_tokens;
    json.push_str(&format!("}}],\"stream\":false,\"max_tokens\":{tokens},"));
    json.push_str(&format!("\"max_completion_tokens\":{tokens},\"top_k\":{},", params.top_k));
    member(&mut json, "temperature", params.temperature);
    json.push(',');
    member(&mut json, "top_p", params.top_p);
    json.push(',');
    member(&mut json, "repeat_penalty", params.repeat_penalty);
    json.push('}');
    json
}

fn embedding_question(model: &str, texts: &[String]) -> String {
    let mut json = String::from("{\"model\":");
    write_text(model, &mut json);
    json.push_str(",\"input\":[");
    for (number, text) in texts.iter().enumerate() {
        json.push_str(if number == 0 { "" } else { "," });
        write_text(text, &mut json);
    }
    json.push_str("]}");
    json
}

/// Counts that a server leaves out are 0.
fn usage(reader: &mut Reader<'_>, asked: &mut u32, made: &mut u32) -> Result<(), JsonError> {
    if reader.null() {
        return Ok(());
    }
    reader.object(|reader, key| {
        match key {
            "prompt_token_count" | "promptTokenCount" | "prompt_tokens" => {
                *asked = reader.count()?;
            }
            "generated_token_count" | "generatedTokenCount" | "completion_tokens" => {
                *made = reader.count()?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })
}

/// `{"text": …, "usage": {…}}`
fn plain_answer(json: &[u8]) -> Result<Inferred, ModelError> {
    let (mut text, mut asked, mut made) = (None, 0, 0);
    Reader::new(json).object(|reader, key| {
        match key {
            "text" => text = Some(reader.text()?),
            "usage" => usage(reader, &mut asked, &mut made)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    inferred(text, asked, made)
}

fn inferred(text: Option<String>, asked: u32, made: u32) -> Result<Inferred, ModelError> {
    let text = text.ok_or_else(|| ModelError::Failed("the answer has no text".into()))?;
    Ok(Inferred { text, tokens_asked: asked, tokens_made: made })
}

/// `{"choices": [{"message": {"content": …}}], "usage": {…}}`
fn chat_answer(json: &[u8]) -> Result<Inferred, ModelError> {
    let (mut text, mut asked, mut made) = (None, 0, 0);
    Reader::new(json).object(|reader, key| {
        match key {
            "choices" => reader.list(|reader| choice(reader, &mut text))?,
            "usage" => usage(reader, &mut asked, &mut made)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    inferred(text, asked, made)
}

/// The first that has a text is the answer.
fn choice(reader: &mut Reader<'_>, text: &mut Option<String>) -> Result<(), JsonError> {
    reader.object(|reader, key| match key {
        "message" => reader.object(|reader, key| {
            match key {
                "content" if text.is_none() && !reader.null() => *text = Some(reader.text()?),
                "content" if text.is_none() => {}
                _ => reader.skip()?,
            }
            Ok(())
        }),
        _ => reader.skip(),
    })
}

fn vector(reader: &mut Reader<'_>) -> Result<Vec<f32>, JsonError> {
    let mut vector = Vec::new();
    reader.list(|reader| {
        // What a guest gets has that many bits.
        vector.push(reader.number()? as f32);
        Ok(())
    })?;
    Ok(vector)
}

/// `{"embeddings": [[…]], "usage": {…}}`
fn plain_vectors(json: &[u8]) -> Result<Embedded, ModelError> {
    let (mut embedded, mut made) = (Embedded::default(), 0);
    Reader::new(json).object(|reader, key| match key {
        "embeddings" => reader.list(|reader| {
            embedded.vectors.push(vector(reader)?);
            Ok(())
        }),
        "usage" => usage(reader, &mut embedded.tokens_asked, &mut made),
        _ => reader.skip(),
    })?;
    Ok(embedded)
}

/// `{"data": [{"embedding": […], "index": 0}], "usage": {…}}`
fn data_vectors(json: &[u8]) -> Result<Embedded, ModelError> {
    let (mut found, mut asked, mut made) = (Vec::new(), 0, 0);
    Reader::new(json).object(|reader, key| match key {
        "data" => reader.list(|reader| {
            let (mut index, mut of_text) = (found.len() as u32, Vec::new());
            reader.object(|reader, key| {
                match key {
                    "index" => index = reader.count()?,
                    "embedding" => of_text = vector(reader)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            found.push((index, of_text));
            Ok(())
        }),
        "usage" => usage(reader, &mut asked, &mut made),
        _ => reader.skip(),
    })?;
    // They may come in any order.
    found.sort_by_key(|(index, _)| *index);
    let vectors = found.into_iter().map(|(_, vector)| vector).collect();
    Ok(Embedded { vectors, tokens_asked: asked })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_kinds_are_read_whatever_else_is_in_them() {
        let expected = Inferred { text: "so\nit is".into(), tokens_asked: 3, tokens_made: 4 };
        for usage in [
            r#"{"prompt_token_count":3,"generated_token_count":4}"#,
            r#"{"promptTokenCount":3,"generatedTokenCount":4}"#,
        ] {
            let json = format!(r#"{{"usage":{usage},"text":"so\nit is","model":{{"a":[1]}}}}"#);
            assert_eq!(plain_answer(json.as_bytes()).unwrap(), expected);
        }
        let json = br#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"so\nit is","tool_calls":[]},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
        assert_eq!(chat_answer(json).unwrap(), expected);
    }

    #[test]
    fn vectors_come_in_the_order_of_their_texts() {
        let json = br#"{"data":[{"index":1,"embedding":[2,2.5]},{"embedding":[1e-1],"index":0}],"usage":{"prompt_tokens":9}}"#;
        let vectors = vec![vec![0.1], vec![2.0, 2.5]];
        assert_eq!(data_vectors(json).unwrap(), Embedded { vectors, tokens_asked: 9 });
    }

    #[test]
    fn what_is_no_answer_is_a_failure_with_a_reason() {
        for json in ["", "null", "[]", "{}", r#"{"text":7}"#, r#"{"text":null}"#, "<html>"] {
            assert!(plain_answer(json.as_bytes()).is_err(), "{json}");
        }
        for json in ["{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":null}}]}"#] {
            assert!(chat_answer(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn a_complaint_is_the_server_s_own_word_if_it_has_one() {
        let of = |status, body: &str| complaint(status, body.as_bytes()).to_string();
        let nested = r#"{"error":{"type":"x","message":"no such model"}}"#;
        assert!(of(StatusCode::NOT_FOUND, nested).ends_with("404 Not Found: no such model"));
        assert!(of(StatusCode::BAD_REQUEST, r#"{"error":"too long"}"#).ends_with(": too long"));
        assert_eq!(of(StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
        let long = format!(r#"{{"error":"{}"}}"#, "ü".repeat(10_000));
        assert!(of(StatusCode::BAD_GATEWAY, &long).len() < 1_000);
    }

    #[test]
    fn questions_are_json_that_says_what_was_asked() {
        let params = Params { max_tokens: 7, temperature: f32::NAN, ..Params::default() };
        for question in [plain_question("m", "a \"b\"\n", params), chat_question("m", "p", params)]
        {
            assert_eq!(Reader::new(question.as_bytes()).skip(), Ok(()), "{question}");
            assert!(question.contains("\"max_tokens\":7"), "{question}");
            assert!(question.contains("\"temperature\":0,"), "{question}");
        }
        assert_eq!(
            embedding_question("m", &["a".into(), "b".into()]),
            r#"{"model":"m","input":["a","b"]}"#
        );
    }
}
