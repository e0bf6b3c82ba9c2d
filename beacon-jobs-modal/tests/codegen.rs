//! The generated code is what the files in `proto` say.
//!
//! `UPDATE=1 cargo test -p beacon-jobs-modal --test codegen` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::path::Path;

/// Compares what a file makes with what is committed in a folder.
fn compare(proto: &str, folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto").join(proto)], [root.join("proto")]).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .server_mod_attribute("modal.client", r#"#[cfg(feature = "fake")]"#)
        .build_client(folder.starts_with("src"))
        .emit_rerun_if_changed(false)
        .out_dir(scratch.path())
        .compile_fds(files)
        .unwrap();
    let made = std::fs::read_to_string(scratch.path().join("modal.client.rs")).unwrap();
    let committed = root.join(folder).join("modal.client.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    let known = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(known == made, "run this test with UPDATE=1");
}

#[test]
fn the_generated_code_is_what_the_proto_file_says() {
    compare("modal.proto", "src/generated");
}

#[test]
fn the_tests_generated_code_is_what_the_proto_file_of_containers_says() {
    compare("container.proto", "tests/container/generated");
}
