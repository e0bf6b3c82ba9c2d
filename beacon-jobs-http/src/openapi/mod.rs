//! The OpenAPI document, made from the routes: what `openapi.json` holds.

mod requests;

use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi};

pub(crate) use self::requests::{CancelManyWish, CancelWish, JobFile, SignIn};
use crate::routes::paths;

/// Writes the document down, as the committed file has it.
///
/// # Errors
/// When it has no JSON form, which is a bug.
pub fn document() -> serde_json::Result<String> {
    let mut text = Document::openapi().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "beacon-jobs",
        description = "Jobs on somebody else's computers, where cancel means stopped. Members of a request that are \
                       not named here are refused. A refusal changes nothing, and is an RFC 9457 problem."
    ),
    paths(
        paths::submit, paths::list, paths::cancel_many, paths::show, paths::cancel, paths::audit, paths::events,
        paths::nonce, paths::sign_in, paths::sign_out, paths::live, paths::ready
    ),
    components(schemas(crate::problem::Document)),
    security(("bearer" = [])),
    modifiers(&Finish)
)]
struct Document;

/// Adds what all operations have in common.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.servers = Some(vec![Server::new("/")]);
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                (HttpMethod::Get, &mut item.get),
                (HttpMethod::Post, &mut item.post),
                (HttpMethod::Delete, &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    refusals(path, &method, operation);
                }
            }
        }
    }
}

/// Adds the refusals that any request of this kind may meet, and gives each the body that it has.
fn refusals(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let mut add = |status: u16, description: &str| {
        let known = &mut operation.responses.responses;
        let refusal = || RefOr::T(ResponseBuilder::new().description(description).build());
        known.entry(status.to_string()).or_insert_with(refusal);
    };
    if path.starts_with("/api") {
        add(429, "Too many requests, where the server has a limit");
        add(401, "No valid credential, or a sign-in that does not hold");
        if *method != HttpMethod::Delete {
            add(422, "A body, a header or a query that is not allowed; `field` names it");
        }
        if *method == HttpMethod::Post {
            add(400, "A body that is not JSON");
            add(408, "A body of which nothing more came for 30 seconds");
            add(413, "A body that is too large");
            add(415, "A body that is not said to be JSON");
        }
    }
    if path.contains("{id}") {
        add(403, "Another's job");
        add(404, "There is no such job");
    }
    if path != "/healthz" {
        add(500, "The server failed; its log says why, under the id in `X-Request-ID`");
        add(503, "The store does not answer; `code` says whether something may have changed");
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
            response
                .content
                .insert("application/problem+json".to_owned(), RefOr::T(Content::new(Some(schema))));
        }
    }
}
