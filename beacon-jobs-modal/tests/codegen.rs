//! The generated code is what `proto/modal.proto` says.
//!
//! `UPDATE=1 cargo test -p beacon-jobs-modal --test codegen` writes it anew.

use std::path::Path;

#[test]
fn the_generated_code_is_what_the_proto_file_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto");
    let files = protox::compile([proto.join("modal.proto")], [&proto]).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .server_mod_attribute("modal.client", r#"#[cfg(feature = "fake")]"#)
        .emit_rerun_if_changed(false)
        .out_dir(scratch.path())
        .compile_fds(files)
        .unwrap();
    let made = std::fs::read_to_string(scratch.path().join("modal.client.rs")).unwrap();
    let committed = root.join("src/generated/modal.client.rs");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    let known = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(known == made, "run this test with UPDATE=1");
}
