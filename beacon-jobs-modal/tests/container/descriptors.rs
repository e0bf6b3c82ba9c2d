//! The files in `proto` say what Modal's own package says, of every field, value and call in them.

use std::path::Path;
use std::process::Command;

use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use serde_json::{Value, json};

use crate::runtime;

const PACKAGE: &str = "modal.client";

/// A message of ours that stands for one that the package takes from elsewhere.
const STANDS_FOR: (&str, &str) = ("modal.client.Detail", "google.protobuf.Any");

struct Comparison {
    theirs: Value,
    compared: usize,
    differences: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, what: &str, ours: &Value, theirs: &Value) {
        self.compared += 1;
        if ours != theirs {
            self.differences.push(format!("{what}: {ours} here, {theirs} in the package"));
        }
    }

    fn message(&mut self, message: &DescriptorProto, within: &str) {
        // A map's entries have no name in the file.
        let name = their_name(&format!("{within}.{}", message.name()));
        for field in &message.field {
            let theirs = self.theirs["messages"][&name][field.name()].clone();
            self.compare(&format!("{name}.{}", field.name()), &ours(field, message), &theirs);
        }
        let theirs = self.theirs["messages"].get(&name).is_some();
        self.compare(&name, &json!(true), &json!(theirs));
        for nested in &message.nested_type {
            self.message(nested, &name);
        }
        for nested in &message.enum_type {
            self.values(nested, &name);
        }
    }

    fn values(&mut self, values: &EnumDescriptorProto, within: &str) {
        let name = format!("{within}.{}", values.name());
        for value in &values.value {
            let theirs = self.theirs["enums"][&name][value.name()].clone();
            self.compare(&format!("{name}.{}", value.name()), &json!(value.number()), &theirs);
        }
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        for message in &file.message_type {
            self.message(message, PACKAGE);
        }
        for values in &file.enum_type {
            self.values(values, PACKAGE);
        }
        for method in file.service.iter().flat_map(|service| &service.method) {
            let ours = json!({
                "request": method.input_type().trim_start_matches('.'),
                "reply": method.output_type().trim_start_matches('.'),
                "streams": [method.client_streaming(), method.server_streaming()],
            });
            let theirs = self.theirs["calls"][method.name()].clone();
            self.compare(method.name(), &ours, &theirs);
        }
    }
}

fn their_name(name: &str) -> String {
    if name == STANDS_FOR.0 { STANDS_FOR.1 } else { name }.to_owned()
}

fn ours(field: &FieldDescriptorProto, message: &DescriptorProto) -> Value {
    let optional = field.proto3_optional();
    let oneof = field.oneof_index.filter(|_| !optional);
    let oneof = oneof.map_or("", |index| message.oneof_decl[usize::try_from(index).unwrap()].name());
    json!({
        "number": field.number(),
        "type": i32::from(field.r#type()),
        "to": their_name(field.type_name().trim_start_matches('.')),
        "repeated": field.label() == Label::Repeated,
        "optional": optional,
        "oneof": oneof,
    })
}

#[test]
fn every_field_value_and_call_is_as_in_the_package() {
    let Some(python) = runtime::python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python).arg(root.join("tests/container/descriptors.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = serde_json::from_slice(&output.stdout).unwrap();
    let mut comparison = Comparison { theirs, compared: 0, differences: Vec::new() };
    for file in ["modal.proto", "container.proto"] {
        let files = protox::compile([root.join("proto").join(file)], [root.join("proto")]).unwrap();
        let file = files.file.iter().find(|it| it.package() == PACKAGE).unwrap();
        comparison.file(file);
    }
    println!("{} names compared", comparison.compared);
    assert_eq!(comparison.differences, [""; 0]);
}
