//! `fermyon:spin/llm@2.0.0`: language models, which run on a server that the operator names. Which of them a component may
//! ask is in its `ai_models`, and that comes first.

use wasmtime::component::{ComponentType, Lift, Lower};

pub(super) use super::models::Models;
use super::models::{ModelError, Params};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::host::{Door, Host};
use crate::limits::outbound as limits;

wire! {
    /// `record inferencing-params`.
    #[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct InferencingParams {
        #[component(name = "max-tokens")]
        max_tokens: u32,
        #[component(name = "repeat-penalty")]
        repeat_penalty: f32,
        #[component(name = "repeat-penalty-last-n-token-count")]
        repeat_penalty_last_n_token_count: u32,
        temperature: f32,
        #[component(name = "top-k")]
        top_k: u32,
        #[component(name = "top-p")]
        top_p: f32,
    }
}

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum Error {
        #[component(name = "model-not-supported")]
        ModelNotSupported,
        #[component(name = "runtime-error")]
        Runtime(String),
        #[component(name = "invalid-input")]
        InvalidInput(String),
    }
}

wire! {
    /// `record inferencing-usage`.
    #[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct InferencingUsage {
        #[component(name = "prompt-token-count")]
        prompt_token_count: u32,
        #[component(name = "generated-token-count")]
        generated_token_count: u32,
    }
}

wire! {
    /// `record inferencing-result`.
    #[derive(Clone, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct InferencingResult {
        text: String,
        usage: InferencingUsage,
    }
}

wire! {
    /// `record embeddings-usage`.
    #[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct EmbeddingsUsage {
        #[component(name = "prompt-token-count")]
        prompt_token_count: u32,
    }
}

wire! {
    /// `record embeddings-result`.
    #[derive(Clone, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct EmbeddingsResult {
        embeddings: Vec<Vec<f32>>,
        usage: EmbeddingsUsage,
    }
}

type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut llm = door.interface("fermyon:spin/llm@2.0.0")?;
    llm.waiting(Twin::Sync, "infer", infer)?;
    llm.waiting(Twin::Sync, "generate-embeddings", generate_embeddings)
}

async fn infer(
    host: Host,
    (model, prompt, params): (String, String, Option<InferencingParams>),
) -> Of<InferencingResult> {
    let asked = async {
        check(&host, &model, prompt.len())?;
        let params = params.map_or_else(Params::default, |params| Params {
            max_tokens: params.max_tokens,
            repeat_penalty: params.repeat_penalty,
            repeat_penalty_last_n_token_count: params.repeat_penalty_last_n_token_count,
            temperature: params.temperature,
            top_k: params.top_k,
            top_p: params.top_p,
        });
        let models = host.grants().outbound.models.as_ref().ok_or_else(nobody)?;
        let answer = models.infer(&model, &prompt, params).await?;
        let (prompt_token_count, generated_token_count) = (answer.tokens_asked, answer.tokens_made);
        let usage = InferencingUsage { prompt_token_count, generated_token_count };
        Ok(InferencingResult { text: answer.text, usage })
    };
    Ok((asked.await,))
}

async fn generate_embeddings(
    host: Host,
    (model, texts): (String, Vec<String>),
) -> Of<EmbeddingsResult> {
    let asked = async {
        check(&host, &model, texts.iter().map(String::len).sum())?;
        let models = host.grants().outbound.models.as_ref().ok_or_else(nobody)?;
        let answer = models.embed(&model, &texts).await?;
        let usage = EmbeddingsUsage { prompt_token_count: answer.tokens_asked };
        Ok(EmbeddingsResult { embeddings: answer.vectors, usage })
    };
    Ok((asked.await,))
}

/// The grant, and how much may be asked at once.
fn check(host: &Host, model: &str, bytes: usize) -> Result<(), Error> {
    if !host.grants().ai_models.contains(model) {
        return Err(Error::InvalidInput(format!(
            "the component may not ask {model:?}: add it to `ai_models` in its table of spin.toml"
        )));
    }
    match bytes > limits::PROMPT_BYTES_MAX {
        true => Err(Error::InvalidInput(format!(
            "{bytes} bytes are more than the {} that may be asked at once",
            limits::PROMPT_BYTES_MAX
        ))),
        false => Ok(()),
    }
}

fn nobody() -> Error {
    Error::Runtime(
        "this device has no model server: see [llm_compute] of runtime-config.toml".into(),
    )
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Unknown(_) => Self::ModelNotSupported,
            ModelError::Refused(_) => Self::InvalidInput(error.to_string()),
            ModelError::Failed(_) => Self::Runtime(error.to_string()),
        }
    }
}
