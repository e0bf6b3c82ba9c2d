//! Modal's own runtime, as `scripts/modal-container` has made it ready.

use std::path::PathBuf;

/// The Python that has it. `None` where there is none, after saying so; in CI that is a failure.
pub(crate) fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("BEACON_MODAL_PYTHON") {
        return Some(python.into());
    }
    let why = std::env::var("BEACON_MODAL_MISSING").unwrap_or_else(|_| {
        "run scripts/modal-container and set BEACON_MODAL_PYTHON to what it prints".to_owned()
    });
    println!("NOT TESTED: there is no container runtime of Modal: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI this is to be tested: {why}");
    None
}
