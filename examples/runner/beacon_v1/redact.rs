use serde_json::{Map, Value};

const HIDDEN: &str = "[redacted]";

/// A spec without what proves who made it: whoever reads it could show that again elsewhere. Only this
/// form is kept.
pub(super) fn redacted(spec: &Map<String, Value>) -> Map<String, Value> {
    spec.iter().map(|(name, value)| (name.clone(), redacted_member(name, value))).collect()
}

fn redacted_member(name: &str, value: &Value) -> Value {
    match value {
        _ if name.eq_ignore_ascii_case("signature") => HIDDEN.into(),
        Value::Object(members) => {
            let mut members = redacted(members);
            if name.eq_ignore_ascii_case("wallet_auth")
                && let Some(nonce) = members.get_mut("nonce")
            {
                *nonce = HIDDEN.into();
            }
            members.into()
        }
        Value::Array(items) => items.iter().map(|item| redacted_member("", item)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_proof_is_left_wherever_it_stands() {
        let spec = json!({
            "signature": "S1", "public_key": "kept", "wallet_auth": {"signature": "S2", "nonce": "S3", "address": "kept"},
            "metadata": {"nonce": "kept", "list": [{"Signature": ["S4"]}], "wallet_auth": {"nonce": {"a": "S5"}}}
        });
        let text = Value::from(redacted(spec.as_object().unwrap())).to_string();
        assert!(
            (1..=5).all(|number| !text.contains(&format!("S{number}"))) && text.matches("kept").count() == 3,
            "{text}"
        );
    }
}
