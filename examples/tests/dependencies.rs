//! What the crates pull in: licences, the oldest compiler, and the borders between crates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

use std::process::Command;

use serde_json::Value;

const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "Unlicense",
    // Of root certificates that other platforms need.
    "CDLA-Permissive-2.0",
    "CC0-1.0",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn packages() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked"]);
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["packages"].as_array_mut().map(std::mem::take).unwrap()
}

/// The packages that a build of the crate pulls in, by name.
fn tree(arguments: &[&str]) -> Vec<String> {
    let fixed = ["tree", "--locked", "--prefix", "none", "--format", "{p}", "-e", "normal"];
    let tree = cargo(&[&fixed[..], arguments].concat());
    let mut names: Vec<String> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether one of the alternatives of an SPDX expression holds allowed licences only.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    expression.split(" OR ").any(|terms| terms.split(" AND ").all(|term| ALLOWED.contains(&term.trim())))
}

#[test]
fn every_licence_is_allowed() {
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        // `a AND (b OR c)` reads as `a AND b OR c` above, which is never laxer for these lists.
        assert!(is_allowed(licence), "{} {}: {licence}", package["name"], package["version"]);
    }
}

#[test]
fn no_dependency_of_a_library_needs_a_newer_compiler_than_we_state() {
    let packages = packages();
    let crates = ["beacon-jobs", "beacon-jobs-http", "beacon-jobs-modal", "beacon-jobs-golem"];
    let chosen = crates.iter().flat_map(|name| ["-p", name]).chain(["--all-features"]);
    let libraries = tree(&chosen.collect::<Vec<_>>());
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let ours = packages.iter().find(|package| package["name"] == "beacon-jobs").unwrap();
    let ours = version(ours["rust_version"].as_str().unwrap());
    assert!(libraries.len() > 50, "the tree is empty");
    for package in packages.iter().filter(|p| libraries.iter().any(|name| p["name"] == **name)) {
        if let Some(needs) = package["rust_version"].as_str() {
            assert!(version(needs) <= [ours.clone(), vec![0]].concat(), "{} needs {needs}", package["name"]);
        }
    }
}

#[test]
fn the_core_knows_no_server_no_provider_and_without_features_no_database() {
    let bare = tree(&["-p", "beacon-jobs", "--no-default-features"]);
    let all = tree(&["-p", "beacon-jobs", "--all-features"]);
    assert!(bare.contains(&"tokio".to_owned()) && all.contains(&"sqlx".to_owned()));
    for name in ["axum", "hyper", "reqwest", "tonic", "beacon-jobs-http"] {
        assert!(!all.contains(&name.to_owned()), "the core pulls in {name}");
    }
    for name in ["sqlx", "libsqlite3-sys"] {
        assert!(!bare.contains(&name.to_owned()), "the bare core pulls in {name}");
    }
}

#[test]
fn nothing_pulls_in_a_second_crypto_library_built_in_c() {
    let everything = tree(&["--workspace", "--all-features"]);
    for name in ["openssl-sys", "aws-lc-sys"] {
        assert!(!everything.contains(&name.to_owned()), "{name}");
    }
}
