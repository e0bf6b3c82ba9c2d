//! What the worker answers to the runtime in a container. Each container has a server of its own, for the
//! runtime does not say who it is.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use futures_util::stream::{self, Stream, StreamExt};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{Seen, start};
use crate::generated::blob_create_response::UploadTypesOneof;
use crate::generated::generic_result::GenericStatus;
use crate::generated::modal_client_server::ModalClient;
use crate::generated::*;

/// How long a poll is held: as long as the runtime waits for it, less a moment.
const HOLD: Duration = Duration::from_millis(14_900);

#[derive(Debug)]
pub(super) struct Service {
    pub(super) seen: Arc<Seen>,
    /// The cancels that the runtime was told of.
    pub(super) told: tokio::sync::Mutex<u32>,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    fn report(&self, result: &GenericResult, format: i32) {
        if !result.exception.is_empty() {
            println!("{} says {}", self.seen.container.task_id(), result.exception);
        }
        let status = GenericStatus::try_from(result.status).unwrap_or_default();
        self.seen.reported.send_if_modified(|reported| {
            let is_first = reported.is_none();
            reported.get_or_insert((status, SystemClock.now()));
            is_first
        });
        self.seen.container.report(&result.encode_to_vec(), format).unwrap();
    }
}

#[tonic::async_trait]
impl ModalClient for Service {
    async fn container_hello(&self, _: Request<()>) -> Answer<()> {
        Ok(Response::new(()))
    }

    async fn container_heartbeat(
        &self,
        request: Request<ContainerHeartbeatRequest>,
    ) -> Answer<ContainerHeartbeatResponse> {
        assert!(request.get_ref().canceled_inputs_return_outputs_v2);
        let mut told = self.told.lock().await;
        let mut cancels = self.seen.cancels.subscribe();
        let event = tokio::select! {
            biased;
            count = cancels.wait_for(|count| *count > *told) => {
                *told = *count.unwrap();
                Some(CancelInputEvent { input_ids: vec![self.seen.container.input_id().to_owned()] })
            }
            () = SystemClock.sleep(HOLD) => None,
        };
        Ok(Response::new(ContainerHeartbeatResponse { cancel_input_event: event }))
    }

    /// One input; one that was cancelled before is not handed out.
    async fn function_get_inputs(
        &self,
        _: Request<FunctionGetInputsRequest>,
    ) -> Answer<FunctionGetInputsResponse> {
        let container = &self.seen.container;
        let asked = *self.seen.asked.borrow();
        self.seen.asked.send_replace(asked + 1);
        if asked == 0 {
            if *self.seen.cancels.borrow() == 0 {
                let item = FunctionGetInputsItem {
                    input_id: container.input_id().to_owned(),
                    input: Some(start::input(container)),
                    function_call_id: container.call_id().to_owned(),
                    function_call_invocation_type: FunctionCallInvocationType::Async.into(),
                };
                return Ok(Response::new(FunctionGetInputsResponse { inputs: vec![item] }));
            }
            let result =
                GenericResult { status: GenericStatus::Terminated.into(), ..GenericResult::default() };
            container.report(&result.encode_to_vec(), 0).unwrap();
        }
        SystemClock.sleep(HOLD).await;
        Ok(Response::new(FunctionGetInputsResponse::default()))
    }

    async fn function_put_outputs(&self, request: Request<FunctionPutOutputsRequest>) -> Answer<()> {
        for item in request.into_inner().outputs {
            assert_eq!(item.input_id, self.seen.container.input_id());
            self.report(&item.result.unwrap_or_default(), item.data_format);
        }
        Ok(Response::new(()))
    }

    type FunctionCallGetDataInStream = Pin<Box<dyn Stream<Item = Result<DataChunk, Status>> + Send>>;

    async fn function_call_get_data_in(
        &self,
        _: Request<FunctionCallGetDataRequest>,
    ) -> Answer<Self::FunctionCallGetDataInStream> {
        let open = stream::once(async { Ok(start::request()) }).chain(stream::pending());
        Ok(Response::new(Box::pin(open)))
    }

    async fn function_call_put_data_out(&self, _: Request<FunctionCallPutDataRequest>) -> Answer<()> {
        Ok(Response::new(()))
    }

    /// The container could not make its function ready.
    async fn task_result(&self, request: Request<TaskResultRequest>) -> Answer<()> {
        self.report(&request.into_inner().result.unwrap_or_default(), 0);
        Ok(Response::new(()))
    }

    async fn blob_create(&self, _: Request<BlobCreateRequest>) -> Answer<BlobCreateResponse> {
        let (id, url) = self.seen.container.new_blob();
        let urls = UploadTypesOneof::UploadUrls(UploadUrlList { items: vec![url] });
        Ok(Response::new(BlobCreateResponse { blob_ids: vec![id], upload_types_oneof: Some(urls) }))
    }

    async fn blob_get(&self, request: Request<BlobGetRequest>) -> Answer<BlobGetResponse> {
        let download_url = self.seen.container.blob_url(&request.get_ref().blob_id);
        Ok(Response::new(BlobGetResponse { download_url }))
    }
}
