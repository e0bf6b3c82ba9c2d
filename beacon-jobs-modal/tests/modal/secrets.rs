//! No secret is printed, whatever is printed.

use std::collections::HashMap;

use beacon_jobs_modal::{Config, ModalExecutor};

use crate::bed::{Bed, input};

const ID: &str = "ak-hunter2-id";
const SECRET: &str = "as-hunter2-secret";

fn assert_clean(text: &str) {
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn no_form_of_anything_holds_the_token() {
    let bed = Bed::new().await;
    let config = Config::new(ID, SECRET).with_server(bed.plane.url());
    assert_clean(&format!("{config:?} {config:#?}"));
    let builder = ModalExecutor::builder(&config);
    assert_clean(&format!("{builder:?} {builder:#?}"));
    let executor = ModalExecutor::new(&config).unwrap();
    assert_clean(&format!("{executor} {executor:?} {executor:#?}"));
    // The server refuses this token, and what is recorded of that shows it neither.
    let _runner = bed.runner_with(builder).await;
    let record = bed.run(input("echoes")).await;
    assert!(record.error.is_some());
    assert_clean(&format!("{record:?}"));
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("modal.toml");
    std::fs::write(&file, format!("[default]\ntoken_id = \"{ID}\"\ntoken_secret = {SECRET}\n")).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let variables = HashMap::from([("MODAL_CONFIG_PATH", path)]);
    let error = Config::from_vars(|name| variables.get(name).cloned()).unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
    assert_clean(&format!("{error} {error:?} {error:#?}"));
}
