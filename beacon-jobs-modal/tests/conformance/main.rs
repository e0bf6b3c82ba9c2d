//! The executor suite, on the fake control plane.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod native;
mod web;

use beacon_jobs::conformance::Work;
use beacon_jobs_modal::fake::{self, ControlPlane};
use serde_json::json;

const APP: &str = "suite";

async fn deployed() -> ControlPlane {
    let plane = ControlPlane::start().await.unwrap();
    plane.deploy(APP, "ends", fake::Work::Returns(json!({ "answer": 42 })));
    plane.deploy(APP, "fails", fake::Work::Raises("it cannot be done".to_owned()));
    plane.deploy(APP, "goes_on", fake::Work::GoesOn);
    plane.deploy(APP, "saves_itself", fake::Work::Saves(json!({ "saved": true })));
    plane.deploy(APP, "ignores", fake::Work::Swallows);
    plane
}

const fn function(work: Work) -> &'static str {
    match work {
        Work::Ends => "ends",
        Work::Fails => "fails",
        Work::GoesOn => "goes_on",
        Work::SavesItself => "saves_itself",
        Work::Ignores => "ignores",
        Work::Illegal => "",
    }
}
