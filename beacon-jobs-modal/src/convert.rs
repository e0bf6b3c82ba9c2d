//! Between JSON and what Modal's containers read and write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

use crate::error::one_line;
use crate::generated::GenericResult;
use crate::generated::generic_result::{DataOneof, GenericStatus};

/// The arguments of a call: `[[positional…], {named…}]`.
pub(crate) fn arguments(args: &[Value], kwargs: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&(args, kwargs), &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// What a call returned, as JSON. Bytes become `{"base64": "…"}`, and keys that are no text are
/// written as text.
pub(crate) fn output(bytes: &[u8]) -> Result<Value, String> {
    let mut rest = bytes;
    let value: Cbor = ciborium::from_reader(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow its end", rest.len()));
    }
    json(value)
}

fn json(value: Cbor) -> Result<Value, String> {
    Ok(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(value) => Value::Bool(value),
        Cbor::Text(text) => Value::String(text),
        Cbor::Integer(number) => {
            let number = i128::from(number);
            let number = i64::try_from(number)
                .map(Number::from)
                .or_else(|_| u64::try_from(number).map(Number::from))
                .map_err(|_| format!("the number {number} does not fit into JSON"))?;
            Value::Number(number)
        }
        Cbor::Float(number) => Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| format!("{number} is not a number that JSON has"))?,
        Cbor::Bytes(bytes) => {
            Value::Object(Map::from_iter([("base64".to_owned(), Value::String(STANDARD.encode(bytes)))]))
        }
        Cbor::Array(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        Cbor::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Ok::<_, String>((name(key)?, json(value)?)));
            Value::Object(entries.collect::<Result<_, _>>()?)
        }
        // The numbers of RFC 8949 and its registry that do not say what they are without their tag.
        Cbor::Tag(2 | 3, _) => {
            return Err("an integer of more than 64 bits does not fit into JSON".to_owned());
        }
        Cbor::Tag(4 | 5 | 30 | 43000, _) => {
            return Err("decimals, fractions and complex numbers do not fit into JSON".to_owned());
        }
        Cbor::Tag(_, inner) => json(*inner)?,
        other => return Err(format!("there is no JSON for {other:?}")),
    })
}

fn name(key: Cbor) -> Result<String, String> {
    Ok(match json(key)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// Where the data of a result is.
#[derive(Debug, PartialEq)]
pub(crate) enum Data {
    Inline(Vec<u8>),
    Blob(String),
    None,
}

/// What a finished input came to.
pub(crate) fn outcome(result: GenericResult) -> Result<Data, ExecuteError> {
    let said = one_line(&result.exception);
    let said = if said.is_empty() { "Modal does not say why".to_owned() } else { said };
    // A status of a newer server has no name here.
    let Ok(status) = GenericStatus::try_from(result.status) else {
        let message = format!("the call failed with a status {} that is not known: {said}", result.status);
        return Err(ExecuteError::failed(message));
    };
    let provider = |what: &str| ExecuteError::new(FailureKind::Provider, format!("{what}: {said}"));
    Err(match status {
        GenericStatus::Success => {
            return Ok(match result.data_oneof {
                Some(DataOneof::Data(data)) => Data::Inline(data),
                Some(DataOneof::DataBlobId(id)) => Data::Blob(id),
                None => Data::None,
            });
        }
        GenericStatus::Failure => {
            let error = ExecuteError::failed(said).retryable();
            match result.traceback {
                traceback if traceback.is_empty() => error,
                traceback => error.with_output(serde_json::json!({ "traceback": traceback })),
            }
        }
        // By somebody at Modal, or by user code that raises what a cancel raises: to run it again would be
        // against their will, or without end.
        GenericStatus::Terminated => provider("the call was cancelled at Modal"),
        GenericStatus::Timeout => {
            ExecuteError::new(FailureKind::Timeout, format!("the function's own time limit was up: {said}"))
        }
        GenericStatus::InitFailure => provider("the container did not start").retryable(),
        GenericStatus::InternalFailure => provider("Modal failed inside").retryable(),
        GenericStatus::MemoryManagerEviction
        | GenericStatus::MemoryThrashingEviction
        | GenericStatus::KernelOomKill => provider("the container ran out of memory"),
        GenericStatus::IdleTimeout | GenericStatus::Unspecified => provider("the call ended"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::output;

    /// What the package `cbor2` 6.3 makes of values of Python.
    #[test]
    fn what_json_cannot_hold_is_not_misread() {
        let fits: [(&[u8], Value); 4] = [
            (&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0], json!(1_u64 << 63)),
            (&[0xd9, 0x01, 0x02, 0x82, 0x01, 0x02], json!([1, 2])),
            (&[0x82, 0x01, 0x02], json!([1, 2])),
            (&[0x41, b'x'], json!({ "base64": "eA==" })),
        ];
        for (bytes, value) in fits {
            assert_eq!(output(bytes), Ok(value));
        }
        let numbers: [&[u8]; 6] = [
            &[0xc2, 0x49, 0x01, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc3, 0x49, 0x01, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc4, 0x82, 0x20, 0x0f],
            &[0xd8, 0x1e, 0x82, 0x01, 0x03],
            &[0xd9, 0xa7, 0xf8, 0x82, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0xf9, 0x7e, 0x00],
        ];
        for bytes in numbers {
            let why = output(bytes).unwrap_err();
            assert!(why.contains("JSON"), "{bytes:x?}: {why}");
        }
        // The beginning of what Python pickles is an empty list of CBOR.
        let pickled = b"\x80\x04}\x94.";
        assert!(output(pickled).unwrap_err().contains("follow"));
    }
}
