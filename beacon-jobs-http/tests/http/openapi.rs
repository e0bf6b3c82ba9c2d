//! The OpenAPI document: of these routes, as committed, and served. That the router answers as it says is
//! looked at in every test that sends it a request by `World::send`.

use serde_json::Value;

use crate::support::{Ask, World};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// `UPDATE=1` writes the file anew.
#[test]
fn the_committed_document_is_that_of_the_routes() {
    let made = beacon_jobs_http::openapi::document().unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(COMMITTED, &made).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap();
    assert!(
        committed == made,
        "openapi.json is out of date: run this test with UPDATE=1 and look at the change"
    );
}

#[tokio::test]
async fn it_is_served_to_anybody_and_each_of_its_operations_is_a_route() {
    let world = World::new();
    let document = world.send(Ask::get("/api/v1/openapi.json").nameless()).await.ok(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let id = world.submit(1).await;
    let mut operations = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        for method in
            item.as_object().unwrap().keys().filter(|key| ["get", "post", "delete"].contains(&&***key))
        {
            operations += 1;
            let path = template.replace("{id}", id.as_str());
            let ask = Ask::new(method.to_uppercase().parse().unwrap(), &path).header("last-event-id", "x");
            if path.ends_with("/events") {
                continue;
            }
            let reply = world.send(ask).await;
            let code = reply.body["code"].as_str().unwrap_or_default();
            let is_wallets = path.contains("/auth/");
            assert!(code != "method_not_allowed", "{method} {path}");
            assert!(code != "route_not_found" || is_wallets, "{method} {path}");
        }
    }
    let operation_ids: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values().map(|operation| &operation["operationId"]))
        .collect();
    assert!(operations >= 12 && operation_ids.iter().all(|id| id.is_string()), "{operation_ids:?}");
}
