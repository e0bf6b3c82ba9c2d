//! What an endpoint's last answer means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::exchange::is_passing;
use super::inference::InferenceReply;
use super::input::ReplyForm;
use crate::error::one_line;

/// The largest output.
const MOST_BYTES: usize = 32 << 20;
/// How much of a refusal is shown.
const MOST_SHOWN: usize = 300;

pub(super) async fn read(answer: Response, form: ReplyForm) -> Result<Value, ExecuteError> {
    let status = answer.status();
    let bytes = bytes_of(answer).await?;
    if !status.is_success() {
        return Err(refused(status, &bytes));
    }
    let output = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(_) => match String::from_utf8(bytes) {
            Ok(text) => Value::String(text),
            Err(error) => json!({ "base64": STANDARD.encode(error.into_bytes()) }),
        },
    };
    if form == ReplyForm::Inference {
        let failure = match InferenceReply::read(&output) {
            Ok(reply) => reply.failure(),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = failure {
            return Err(ExecuteError::failed(one_line(&why)).retryable().with_output(output));
        }
    }
    Ok(output)
}

async fn bytes_of(mut answer: Response) -> Result<Vec<u8>, ExecuteError> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= MOST_BYTES => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                let message = format!("the endpoint's answer is larger than {} MiB", MOST_BYTES >> 20);
                return Err(ExecuteError::new(FailureKind::Provider, message));
            }
            Ok(None) => return Ok(bytes),
            Err(error) => {
                let error = error.without_url();
                return Err(ExecuteError::new(FailureKind::Provider, "the endpoint's answer broke off")
                    .retryable()
                    .with_source(error));
            }
        }
    }
}

fn refused(status: StatusCode, bytes: &[u8]) -> ExecuteError {
    let said = one_line(&String::from_utf8_lossy(bytes));
    let said: String = said.chars().take(MOST_SHOWN).collect();
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; check the proxy token (Modal-Key, Modal-Secret)"
        }
        StatusCode::NOT_FOUND => "; check the URL, and that the app is deployed",
        _ => "",
    };
    let kind =
        if status == StatusCode::INTERNAL_SERVER_ERROR { FailureKind::Failed } else { FailureKind::Provider };
    let error = ExecuteError::new(kind, format!("the endpoint answered {status}: {said}{advice}"));
    if status == StatusCode::INTERNAL_SERVER_ERROR || is_passing(status) { error.retryable() } else { error }
}
