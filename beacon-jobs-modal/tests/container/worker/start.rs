//! What a container is told when it starts.

use std::collections::HashMap;

use beacon_jobs_modal::fake::Container;
use prost::Message;
use serde_json::json;

use crate::generated::function::{DefinitionType, FunctionType};
use crate::generated::function_input::ArgsOneof;
use crate::generated::object::HandleMetadataOneof;
use crate::generated::*;

/// The file of functions, as a module.
const MODULE: &str = "functions";

/// Whether a function is a web app.
fn is_web(container: &Container) -> bool {
    container.name().starts_with("web_")
}

pub(super) fn arguments(container: &Container) -> Vec<u8> {
    let name = container.name().to_owned();
    let metadata =
        FunctionHandleMetadata { function_name: name.clone(), max_async_object_size_bytes: Some(8 * 1024) };
    // All functions of the file run in one image.
    let image = "im-fake".to_owned();
    let function_object = Object {
        object_id: container.function_id().to_owned(),
        handle_metadata_oneof: Some(HandleMetadataOneof::FunctionHandleMetadata(metadata)),
    };
    let (kind, formats) = if is_web(container) {
        (FunctionType::Generator, vec![DataFormat::Asgi.into()])
    } else {
        (FunctionType::Function, vec![DataFormat::Pickle.into(), DataFormat::Cbor.into()])
    };
    let function = Function {
        module_name: MODULE.to_owned(),
        function_name: name.clone(),
        implementation_name: name.clone(),
        definition_type: DefinitionType::File.into(),
        function_type: kind.into(),
        webhook_config: is_web(container).then(|| WebhookConfig { r#type: WebhookType::AsgiApp.into() }),
        app_name: container.app().to_owned(),
        object_dependencies: vec![ObjectDependency { object_id: image.clone() }],
        supported_input_formats: formats.clone(),
        supported_output_formats: formats,
    };
    let arguments = ContainerArguments {
        task_id: container.task_id().to_owned(),
        function_id: container.function_id().to_owned(),
        app_id: "ap-fake".to_owned(),
        function_def: Some(function),
        environment_name: "main".to_owned(),
        app_layout: Some(AppLayout {
            objects: vec![function_object, Object { object_id: image, handle_metadata_oneof: None }],
            function_ids: HashMap::from([(name, container.function_id().to_owned())]),
        }),
    };
    arguments.encode_to_vec()
}

/// The input as it is handed out. That of a web app is what ASGI calls a scope, with the call's first
/// argument as its path: so Modal's edge makes one of an HTTP request, though it pickles it.
pub(super) fn input(container: &Container) -> FunctionInput {
    let mut input = FunctionInput::decode(&*container.input()).unwrap();
    if is_web(container) {
        let Some(ArgsOneof::Args(args)) = &mut input.args_oneof else { panic!("{input:?}") };
        let ((path,), _): ((String,), HashMap<String, ()>) = ciborium::from_reader(&**args).unwrap();
        let scope = json!({
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
            "query_string": "", "headers": [],
        });
        args.clear();
        ciborium::into_writer(&((scope,), json!({})), args).unwrap();
    }
    input
}

/// The request itself, which a web app reads beside its input.
pub(super) fn request() -> DataChunk {
    let request = asgi::HttpRequest { body: Vec::new(), more_body: false };
    let message = Asgi { r#type: Some(asgi::Type::HttpRequest(request)) };
    DataChunk {
        data_format: DataFormat::Asgi.into(),
        data_oneof: Some(data_chunk::DataOneof::Data(message.encode_to_vec())),
        index: 1,
    }
}
