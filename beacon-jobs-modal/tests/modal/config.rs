//! Where an account comes from: variables first, then the file of Modal's own client.

use std::collections::HashMap;

use beacon_jobs_modal::Config;

const FILE: &str = r#"
[work]
token_id = "ak-work"
token_secret = "as-work"
environment = "staging"

[home]
token_id = "ak-home"
token_secret = "as-home"
server_url = "https://home.example.com"
active = true
"#;

/// What a configuration is made of; its secrets are not shown, so it is told by what it shows.
fn read(file: Option<&str>, variables: &[(&str, &str)]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut all: HashMap<String, String> =
        variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.insert("HOME".to_owned(), folder.path().to_str().unwrap().to_owned());
    if let Some(text) = file {
        std::fs::write(folder.path().join(".modal.toml"), text).unwrap();
    }
    let config = Config::from_vars(|name| all.get(name).cloned());
    config.map(|config| format!("{config:?}")).map_err(|error| error.to_string())
}

#[test]
fn variables_are_enough() {
    let token = [("MODAL_TOKEN_ID", "ak-1"), ("MODAL_TOKEN_SECRET", "as-1")];
    let config = read(None, &token).unwrap();
    assert!(config.contains("https://api.modal.com"), "{config}");
    let more = [&token[..], &[("MODAL_SERVER_URL", "https://there"), ("MODAL_ENVIRONMENT", "main")]].concat();
    let config = read(Some(FILE), &more).unwrap();
    assert!(config.contains("https://there") && config.contains("main"), "{config}");
}

#[test]
fn a_profile_is_the_one_that_is_named_or_that_is_active() {
    let active = read(Some(FILE), &[]).unwrap();
    assert!(active.contains("home.example.com"), "{active}");
    let named = read(Some(FILE), &[("MODAL_PROFILE", "work")]).unwrap();
    assert!(named.contains("staging") && named.contains("api.modal.com"), "{named}");
    let neither = FILE.replace("active = true", "").replace("[work]", "[default]");
    let default = read(Some(&neither), &[]).unwrap();
    assert!(default.contains("staging"), "{default}");
}

#[test]
fn what_is_missing_is_named() {
    for variables in
        [&[][..], &[("MODAL_TOKEN_ID", "ak-1")], &[("MODAL_TOKEN_ID", "ak-1"), ("MODAL_TOKEN_SECRET", " ")]]
    {
        let error = read(None, variables).unwrap_err();
        assert!(error.contains("MODAL_TOKEN_ID") && error.contains("MODAL_TOKEN_SECRET"), "{error}");
    }
    let error = read(Some(FILE), &[("MODAL_PROFILE", "other")]).unwrap_err();
    assert!(error.contains("MODAL_PROFILE") && error.contains("other"), "{error}");
    let error = read(Some("[work\n"), &[]).unwrap_err();
    assert!(error.contains(".modal.toml") && error.contains("line 1"), "{error}");
}
