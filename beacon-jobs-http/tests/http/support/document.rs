//! Holds what the router answers in the tests against the OpenAPI document.

use std::sync::LazyLock;

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../openapi.json")).unwrap());

/// Panics where the document knows nothing of such an answer. What is no route, and no method of one, it
/// need not know.
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let Some(operation) = operation(method, path) else { return };
    // A router that has a part of the routes.
    if status == StatusCode::NOT_FOUND && json(body)["code"] != "job_not_found" {
        return;
    }
    let answer = format!("{method} {path}: {status}");
    let known = &operation["responses"][status.as_str()];
    assert!(known.is_object(), "{answer} is not in the document");
    let contents = known["content"].as_object().filter(|contents| !contents.is_empty());
    let Some(contents) = contents else {
        assert!(body.is_empty(), "{answer} has a body, by the document it has none");
        return;
    };
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let content = contents.get(kind).unwrap_or_else(|| panic!("{answer} is {kind:?}, not in the document"));
    if kind.ends_with("json") {
        let body = json(body);
        let mut schema = content["schema"].clone();
        schema["components"] = serde_json::json!({ "schemas": DOCUMENT["components"]["schemas"] });
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert!(errors.is_empty(), "{answer} is not as the document says: {errors:?}\n{body}");
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The operation of the document that has this path, one without parameters first.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = method.as_str().to_ascii_lowercase();
    let paths = DOCUMENT["paths"].as_object()?;
    let exact = paths.get(path).and_then(|item| item.get(&method));
    exact.or_else(|| {
        paths.iter().filter(|(template, _)| fits(template, path)).find_map(|(_, item)| item.get(&method))
    })
}

fn fits(template: &str, path: &str) -> bool {
    let parts = |path: &'_ str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (template, path) = (parts(template), parts(path));
    template.len() == path.len()
        && template.iter().zip(&path).all(|(one, other)| one == "{id}" || one == other)
}
