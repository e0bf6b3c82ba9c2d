//! The calls, as Modal's protocol has them.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::Clock;
use tonic::{Request, Response, Status};

use super::faults::{Fault, throttled};
use super::state::Call;
use super::{Shared, TOKEN_ID, TOKEN_SECRET};
use crate::generated::blob_create_response::{UploadTypeOneof, UploadTypesOneof};
use crate::generated::function_input::ArgsOneof;
use crate::generated::generic_result::GenericStatus;
use crate::generated::modal_client_server::ModalClient;
use crate::generated::*;

/// The oldest client that is served, by the number before its first dot.
const OLDEST_CLIENT: u32 = 1;

#[derive(Debug)]
pub(super) struct Service(pub(super) Arc<Shared>);

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Does not answer.
    async fn stay<T>(&self) -> T {
        self.0.state().stuck += 1;
        self.0.changed.notify_waiters();
        std::future::pending().await
    }

    /// Does what a request asks for, unless something is to go wrong.
    async fn answer<Q: Send + 'static, A>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
        act: impl FnOnce(&Arc<Shared>, Q) -> Result<A, Status> + Send + 'static,
    ) -> Answer<A> {
        self.answer_when(rpc, request, async {}, act).await
    }

    /// The same, once `ready` is over.
    async fn answer_when<Q: Send + 'static, A>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
        ready: impl Future<Output = ()> + Send,
        act: impl FnOnce(&Arc<Shared>, Q) -> Result<A, Status> + Send + 'static,
    ) -> Answer<A> {
        check(&request)?;
        let fault = self.0.state().fault(rpc);
        self.0.changed.notify_waiters();
        match fault {
            Some(Fault::Fails(code)) => return Err(Status::new(code, "made to fail")),
            Some(Fault::Throttled(patience)) => return Err(throttled(patience)),
            Some(Fault::Stalls) => self.stay().await,
            Some(Fault::Late(time)) => {
                self.0.after(time, |shared| drop(act(shared, request.into_inner())));
                return Err(Status::unavailable("the connection broke"));
            }
            Some(Fault::ReplyLost | Fault::Hangs) | None => {}
        }
        ready.await;
        let answer = act(&self.0, request.into_inner());
        match fault {
            Some(Fault::ReplyLost) => Err(Status::unavailable("the reply is lost")),
            Some(Fault::Hangs) => self.stay().await,
            _ => answer.map(Response::new),
        }
    }
}

fn check<Q>(request: &Request<Q>) -> Result<(), Status> {
    let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
    if header("x-modal-token-id") != Some(TOKEN_ID) || header("x-modal-token-secret") != Some(TOKEN_SECRET) {
        return Err(Status::unauthenticated("Token ID or secret is not known"));
    }
    let major = header("x-modal-client-version").and_then(|it| it.split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_CLIENT) {
        return Err(Status::failed_precondition("The client version is too old."));
    }
    Ok(())
}

fn unknown(what: &str, id: &str) -> Status {
    Status::not_found(format!("{what} {id} not found"))
}

#[tonic::async_trait]
impl ModalClient for Service {
    async fn workspace_name_lookup(&self, request: Request<()>) -> Answer<WorkspaceNameLookupResponse> {
        self.answer("WorkspaceNameLookup", request, |_, ()| {
            Ok(WorkspaceNameLookupResponse { workspace_name: "fake".to_owned() })
        })
        .await
    }

    async fn function_get(&self, request: Request<FunctionGetRequest>) -> Answer<FunctionGetResponse> {
        self.answer("FunctionGet", request, |shared, request| {
            let state = shared.state();
            if !state.functions.values().any(|known| known.app == request.app_name) {
                return Err(unknown("App", &request.app_name));
            }
            let Some(id) = state.function_id(&request.app_name, &request.object_tag) else {
                return Err(unknown("Function", &request.object_tag));
            };
            let cbor = if state.behaviour.takes_cbor { DataFormat::Cbor } else { DataFormat::Pickle };
            Ok(FunctionGetResponse {
                function_id: id,
                handle_metadata: Some(FunctionHandleMetadata {
                    function_name: request.object_tag,
                    supported_input_formats: vec![DataFormat::Pickle.into(), cbor.into()],
                    max_async_object_size_bytes: Some(state.behaviour.inline_bytes),
                    ..FunctionHandleMetadata::default()
                }),
            })
        })
        .await
    }

    async fn function_map(&self, request: Request<FunctionMapRequest>) -> Answer<FunctionMapResponse> {
        self.answer("FunctionMap", request, |shared, request| {
            let created_at = shared.now();
            let mut state = shared.state();
            if !state.functions.contains_key(&request.function_id) {
                return Err(unknown("Function", &request.function_id));
            }
            let function_call_id = state.new_call(request.function_id, created_at);
            Ok(FunctionMapResponse { function_call_id })
        })
        .await
    }

    async fn function_put_inputs(
        &self,
        request: Request<FunctionPutInputsRequest>,
    ) -> Answer<FunctionPutInputsResponse> {
        self.answer("FunctionPutInputs", request, |shared, request| {
            let call_id = request.function_call_id;
            let mut taken = Vec::new();
            for item in request.inputs {
                let state = shared.state();
                let call = state.calls.get(&call_id).ok_or_else(|| unknown("Function call", &call_id))?;
                if call.cancelled.is_some() && state.behaviour.refuses_inputs_after_cancel {
                    return Err(Status::failed_precondition("the call is cancelled"));
                }
                if state.behaviour.queue_is_full {
                    break;
                }
                let input = item.input.unwrap_or_default();
                let args = match &input.args_oneof {
                    Some(ArgsOneof::Args(args)) => args.clone(),
                    Some(ArgsOneof::ArgsBlobId(id)) => {
                        state.blobs.get(id).cloned().ok_or_else(|| unknown("Blob", id))?
                    }
                    None => return Err(Status::invalid_argument("an input without arguments")),
                };
                drop(state);
                let input_id = shared.take_input(&call_id, input, args);
                taken.push(FunctionPutInputsResponseItem { idx: item.idx, input_id });
            }
            Ok(FunctionPutInputsResponse { inputs: taken })
        })
        .await
    }

    async fn function_finish_inputs(&self, request: Request<FunctionFinishInputsRequest>) -> Answer<()> {
        self.answer("FunctionFinishInputs", request, |_, _| Ok(())).await
    }

    async fn function_get_outputs(
        &self,
        request: Request<FunctionGetOutputsRequest>,
    ) -> Answer<FunctionGetOutputsResponse> {
        let call_id = request.get_ref().function_call_id.clone();
        let hold = Duration::try_from_secs_f32(request.get_ref().timeout).unwrap_or_default();
        let there = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let waits = |call: &Call| call.unfinished() > 0;
                if !self.0.state().calls.get(&call_id).is_some_and(waits) {
                    return;
                }
                changed.await;
            }
        };
        let ready = async {
            tokio::select! {
                biased;
                () = there => {}
                () = self.0.clock.sleep(hold) => {}
            }
        };
        self.answer_when("FunctionGetOutputs", request, ready, |shared, request| {
            let state = shared.state();
            let id = &request.function_call_id;
            let call = state.calls.get(id).ok_or_else(|| unknown("Function call", id))?;
            Ok(FunctionGetOutputsResponse {
                outputs: call.output(state.behaviour.names_containers).into_iter().collect(),
                last_entry_id: "0-1".to_owned(),
                num_unfinished_inputs: i32::try_from(call.unfinished()).unwrap_or(i32::MAX),
            })
        })
        .await
    }

    async fn function_call_cancel(&self, request: Request<FunctionCallCancelRequest>) -> Answer<()> {
        self.answer("FunctionCallCancel", request, |shared, request| {
            let id = request.function_call_id;
            if !shared.state().calls.contains_key(&id) {
                return Err(unknown("Function call", &id));
            }
            shared.cancel(&id, request.terminate_containers);
            Ok(())
        })
        .await
    }

    async fn function_call_from_id(
        &self,
        request: Request<FunctionCallFromIdRequest>,
    ) -> Answer<FunctionCallFromIdResponse> {
        self.answer("FunctionCallFromId", request, |shared, request| {
            let id = request.function_call_id;
            let state = shared.state();
            let call = state.calls.get(&id).ok_or_else(|| unknown("Function call", &id))?;
            let metadata = FunctionCallHandleMetadata { function_id: call.function_id.clone() };
            Ok(FunctionCallFromIdResponse { metadata: Some(metadata) })
        })
        .await
    }

    async fn function_call_get_info(
        &self,
        request: Request<FunctionCallGetInfoRequest>,
    ) -> Answer<FunctionCallGetInfoResponse> {
        use GenericStatus::{Failure, InitFailure, InternalFailure, Success, Terminated, Timeout};
        self.answer("FunctionCallGetInfo", request, |shared, request| {
            let state = shared.state();
            let id = request.function_call_id;
            let call = state.calls.get(&id).ok_or_else(|| unknown("Function call", &id))?;
            let names = state.behaviour.names_containers;
            let category = |of: &[Option<GenericStatus>]| call.category(of, names);
            let info = FunctionCallInfo {
                created_at: call.created_at,
                pending_inputs: category(&[None]),
                failed_inputs: category(&[Some(Failure), Some(InitFailure), Some(InternalFailure)]),
                succeeded_inputs: category(&[Some(Success)]),
                timeout_inputs: category(&[Some(Timeout)]),
                cancelled_inputs: category(&[Some(Terminated)]),
                total_inputs: i32::try_from(call.inputs.len()).unwrap_or(i32::MAX),
                function_call_id: id,
            };
            Ok(FunctionCallGetInfoResponse { info: Some(info) })
        })
        .await
    }

    async fn task_get_info(&self, request: Request<TaskGetInfoRequest>) -> Answer<TaskGetInfoResponse> {
        self.answer("TaskGetInfo", request, |shared, request| {
            let state = shared.state();
            let id = request.task_id;
            let task = state.tasks.get(&id).ok_or_else(|| unknown("Task", &id))?;
            let info = TaskInfo {
                started_at: task.started_at,
                finished_at: task.ended_at.filter(|_| task.recorded).unwrap_or_default(),
                enqueued_at: task.started_at,
                result: None,
                id,
            };
            Ok(TaskGetInfoResponse { app_id: "ap-fake".to_owned(), info: Some(info) })
        })
        .await
    }

    async fn container_stop(&self, request: Request<ContainerStopRequest>) -> Answer<ContainerStopResponse> {
        self.answer("ContainerStop", request, |shared, request| {
            let id = request.task_id;
            if !shared.state().tasks.contains_key(&id) {
                return Err(unknown("Task", &id));
            }
            shared.stop_container(&id);
            Ok(ContainerStopResponse {})
        })
        .await
    }

    async fn blob_create(&self, request: Request<BlobCreateRequest>) -> Answer<BlobCreateResponse> {
        self.answer("BlobCreate", request, |shared, request| {
            let mut state = shared.state();
            let (blob_id, upload_url) = state.new_blob();
            if state.behaviour.names_lists_of_places {
                let urls = UploadUrlList { items: vec![upload_url] };
                return Ok(BlobCreateResponse {
                    blob_ids: vec![blob_id],
                    upload_types_oneof: Some(UploadTypesOneof::UploadUrls(urls)),
                    ..BlobCreateResponse::default()
                });
            }
            let place = if state.behaviour.wants_parts {
                let part_length = request.content_length / 2 + 1;
                let upload_urls = vec![upload_url.clone(), upload_url];
                UploadTypeOneof::Multipart(MultiPartUpload {
                    part_length,
                    upload_urls,
                    completion_url: String::new(),
                })
            } else {
                UploadTypeOneof::UploadUrl(upload_url)
            };
            Ok(BlobCreateResponse {
                blob_id,
                upload_type_oneof: Some(place),
                ..BlobCreateResponse::default()
            })
        })
        .await
    }

    async fn blob_get(&self, request: Request<BlobGetRequest>) -> Answer<BlobGetResponse> {
        self.answer("BlobGet", request, |shared, request| {
            Ok(BlobGetResponse { download_url: shared.state().blob_url(&request.blob_id) })
        })
        .await
    }
}
