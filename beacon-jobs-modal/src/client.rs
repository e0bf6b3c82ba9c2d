//! The calls to Modal's control plane: who we are, deadlines, and what is repeated.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beacon_jobs::clock::Clock;
use beacon_jobs::{Error, ErrorKind, IdSource, RandomIds};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::config::Config;
use crate::error::CallError;
use crate::generated::modal_client_client::ModalClientClient;
use crate::generated::*;

/// How long a call may take that Modal answers at once.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long a call that may be repeated is tried.
const REPEAT_LIMIT: Duration = Duration::from_secs(30);
/// As Modal's own client: three repetitions, each pause twice the last.
const REPEATS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);
const MOST_BYTES: usize = 100 * 1024 * 1024;

type Stub = ModalClientClient<Channel>;

/// A connection that is made with its first call: a channel can only be made inside a runtime.
#[derive(Debug, Default)]
struct Connection(OnceLock<Stub>);

impl Connection {
    fn stub(&self, endpoint: &Endpoint) -> Stub {
        let stub = self.0.get_or_init(|| {
            ModalClientClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MOST_BYTES)
                .max_encoding_message_size(MOST_BYTES)
        });
        stub.clone()
    }
}

/// A client of one server, for one token.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    /// What is answered at once; a cancel never waits behind a long poll.
    calls: Connection,
    /// Polls that the server holds, up to one for each call that runs.
    polls: Connection,
    headers: MetadataMap,
    server: String,
    workspace: OnceCell<String>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Client {
    /// Prepares the connections; they are made with the first call.
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let server = config.first_server().to_owned();
        let bad_url = |error: tonic::transport::Error| {
            let message = format!("the Modal server {server:?} must be a URL such as https://api.modal.com");
            Error::new(ErrorKind::Misconfigured, message).with_source(error)
        };
        let endpoint = Endpoint::from_shared(server.clone()).map_err(bad_url)?;
        if endpoint.uri().host().is_none() || endpoint.uri().scheme().is_none() {
            let message = format!("the Modal server {server:?} must be a URL such as https://api.modal.com");
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        let endpoint = endpoint
            .connect_timeout(CALL_LIMIT)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(64 << 20);
        let endpoint = if endpoint.uri().scheme_str() == Some("https") {
            endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(bad_url)?
        } else {
            endpoint
        };
        Ok(Self {
            endpoint,
            calls: Connection::default(),
            polls: Connection::default(),
            headers: headers(config)?,
            server,
            workspace: OnceCell::new(),
            clock,
        })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The workspace that the token belongs to. Asked for once.
    pub(crate) async fn workspace(&self) -> Result<&str, CallError> {
        let ask = || async {
            self.repeated("WorkspaceNameLookup", &(), |mut stub, request| async move {
                stub.workspace_name_lookup(request).await
            })
            .await
        };
        let name = self.workspace.get_or_try_init(|| async { Ok(ask().await?.workspace_name) }).await?;
        Ok(name)
    }

    pub(crate) async fn function(
        &self,
        app: &str,
        function: &str,
        environment: &str,
    ) -> Result<FunctionGetResponse, CallError> {
        let request = FunctionGetRequest {
            app_name: app.to_owned(),
            object_tag: function.to_owned(),
            environment_name: environment.to_owned(),
        };
        self.repeated(
            "FunctionGet",
            &request,
            |mut stub, request| async move { stub.function_get(request).await },
        )
        .await
    }

    /// Creates a call without inputs: nothing runs. Never repeated.
    pub(crate) async fn create_call(
        &self,
        function_id: &str,
        limit: Duration,
    ) -> Result<FunctionMapResponse, CallError> {
        let request = FunctionMapRequest {
            function_id: function_id.to_owned(),
            function_call_type: FunctionCallType::Map.into(),
            function_call_invocation_type: FunctionCallInvocationType::Async.into(),
            from_spawn_map: true,
        };
        self.once("FunctionMap", limit, request, |mut stub, request| async move {
            stub.function_map(request).await
        })
        .await
    }

    /// Gives a call its one input: it begins to run. Never repeated. `false` when the server's queue
    /// is full and it took nothing.
    pub(crate) async fn put_input(
        &self,
        function_id: &str,
        call_id: &str,
        input: FunctionInput,
        limit: Duration,
    ) -> Result<bool, CallError> {
        let request = FunctionPutInputsRequest {
            function_id: function_id.to_owned(),
            function_call_id: call_id.to_owned(),
            inputs: vec![FunctionPutInputsItem { idx: 0, input: Some(input) }],
        };
        let taken = self
            .once("FunctionPutInputs", limit, request, |mut stub, request| async move {
                stub.function_put_inputs(request).await
            })
            .await?;
        Ok(!taken.inputs.is_empty())
    }

    /// Tells that the call has all its inputs.
    pub(crate) async fn finish_inputs(&self, function_id: &str, call_id: &str) -> Result<(), CallError> {
        let request = FunctionFinishInputsRequest {
            function_id: function_id.to_owned(),
            function_call_id: call_id.to_owned(),
            num_inputs: 1,
        };
        self.repeated("FunctionFinishInputs", &request, |mut stub, request| async move {
            stub.function_finish_inputs(request).await
        })
        .await
    }

    /// Reads the output of the call's input, and leaves it there. The server holds the call for up to
    /// `hold` while there is none.
    pub(crate) async fn outputs(
        &self,
        call_id: &str,
        hold: Duration,
    ) -> Result<FunctionGetOutputsResponse, CallError> {
        let now = self.clock.now();
        let request = FunctionGetOutputsRequest {
            function_call_id: call_id.to_owned(),
            max_values: 1,
            timeout: hold.as_secs_f32(),
            last_entry_id: "0-0".to_owned(),
            clear_on_success: false,
            requested_at: now.unix_timestamp_nanos() as f64 / 1e9,
            start_idx: Some(0),
            end_idx: Some(0),
        };
        // As Modal's own client: the call may take five seconds more than the server holds it.
        let limit = hold + Duration::from_secs(5);
        let send = |mut stub: Stub, request| async move { stub.function_get_outputs(request).await };
        if hold.is_zero() {
            self.once("FunctionGetOutputs", limit, request, send).await
        } else {
            self.send(&self.polls, "FunctionGetOutputs", limit, request, &self.key(), 0, send).await
        }
    }

    /// The function of a call that is known by its id alone.
    #[cfg(feature = "http")]
    pub(crate) async fn function_of(&self, call_id: &str) -> Result<String, CallError> {
        const RPC: &str = "FunctionCallFromId";
        let request = FunctionCallFromIdRequest { function_call_id: call_id.to_owned() };
        let answer =
            self.repeated(RPC, &request, |mut stub, request| async move {
                stub.function_call_from_id(request).await
            })
            .await?;
        let metadata =
            answer.metadata.ok_or_else(|| CallError::new(RPC, Code::NotFound, "the answer is empty"))?;
        Ok(metadata.function_id)
    }

    pub(crate) async fn call_info(
        &self,
        function_id: &str,
        call_id: &str,
    ) -> Result<FunctionCallInfo, CallError> {
        const RPC: &str = "FunctionCallGetInfo";
        let request = FunctionCallGetInfoRequest {
            function_id: function_id.to_owned(),
            function_call_id: call_id.to_owned(),
        };
        let answer =
            self.repeated(RPC, &request, |mut stub, request| async move {
                stub.function_call_get_info(request).await
            })
            .await?;
        answer.info.ok_or_else(|| CallError::new(RPC, Code::NotFound, "the answer is empty"))
    }

    pub(crate) async fn cancel(&self, call_id: &str, terminate_containers: bool) -> Result<(), CallError> {
        let request =
            FunctionCallCancelRequest { function_call_id: call_id.to_owned(), terminate_containers };
        self.repeated("FunctionCallCancel", &request, |mut stub, request| async move {
            stub.function_call_cancel(request).await
        })
        .await
    }

    /// What Modal has on record of a container.
    pub(crate) async fn container(&self, task_id: &str) -> Result<TaskInfo, CallError> {
        const RPC: &str = "TaskGetInfo";
        let request = TaskGetInfoRequest { task_id: task_id.to_owned() };
        let answer = self
            .repeated(RPC, &request, |mut stub, request| async move { stub.task_get_info(request).await })
            .await?;
        answer.info.ok_or_else(|| CallError::new(RPC, Code::NotFound, "the answer is empty"))
    }

    /// Ends a container, whatever runs in it.
    pub(crate) async fn stop_container(&self, task_id: &str) -> Result<(), CallError> {
        let request = ContainerStopRequest { task_id: task_id.to_owned(), graceful: false };
        self.repeated("ContainerStop", &request, |mut stub, request| async move {
            stub.container_stop(request).await
        })
        .await
        .map(drop)
    }

    pub(crate) async fn create_blob(
        &self,
        request: &BlobCreateRequest,
    ) -> Result<BlobCreateResponse, CallError> {
        self.repeated(
            "BlobCreate",
            request,
            |mut stub, request| async move { stub.blob_create(request).await },
        )
        .await
    }

    pub(crate) async fn blob_url(&self, blob_id: &str) -> Result<String, CallError> {
        let request = BlobGetRequest { blob_id: blob_id.to_owned() };
        let answer = self
            .repeated("BlobGet", &request, |mut stub, request| async move { stub.blob_get(request).await })
            .await?;
        Ok(answer.download_url)
    }

    fn key(&self) -> String {
        RandomIds.uuid().to_string()
    }

    /// Makes a call that may be made again: through errors that pass, three times; and as long as the
    /// server names a pause, until the limit.
    async fn repeated<Q, A, F, Fut>(&self, rpc: &'static str, request: &Q, send: F) -> Result<A, CallError>
    where
        Q: Clone + Send + Sync,
        F: Fn(Stub, Request<Q>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<Response<A>, Status>> + Send,
    {
        let key = self.key();
        let give_up = self.clock.uptime() + REPEAT_LIMIT;
        let mut repeats = 0;
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            let sent = self.send(&self.calls, rpc, CALL_LIMIT, request.clone(), &key, attempt, &send).await;
            let error = match sent {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = match error.retry_after {
                Some(patience) => patience,
                None if error.is_transient() && repeats < REPEATS => {
                    repeats += 1;
                    let twice = (pause * 2).min(MAX_PAUSE);
                    std::mem::replace(&mut pause, twice)
                }
                None => return Err(error),
            };
            if self.clock.uptime() + wait >= give_up {
                return Err(error);
            }
            self.clock.sleep(wait).await;
        }
        Err(CallError::new(rpc, Code::Unavailable, "tried too often"))
    }

    /// Makes a call that must not be made twice.
    async fn once<Q, A, F, Fut>(
        &self,
        rpc: &'static str,
        limit: Duration,
        request: Q,
        send: F,
    ) -> Result<A, CallError>
    where
        Q: Send,
        F: Fn(Stub, Request<Q>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<Response<A>, Status>> + Send,
    {
        self.send(&self.calls, rpc, limit, request, &self.key(), 0, send).await
    }

    #[expect(clippy::too_many_arguments, reason = "one place where all of it meets")]
    async fn send<Q, A, F, Fut>(
        &self,
        connection: &Connection,
        rpc: &'static str,
        limit: Duration,
        message: Q,
        key: &str,
        attempt: u32,
        send: F,
    ) -> Result<A, CallError>
    where
        Q: Send,
        F: Fn(Stub, Request<Q>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<Response<A>, Status>> + Send,
    {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request.metadata_mut().insert("x-retry-attempt", attempt.into());
        if let Ok(key) = key.parse() {
            request.metadata_mut().insert("x-idempotency-key", key);
        }
        request.set_timeout(limit);
        send(connection.stub(&self.endpoint), request)
            .await
            .map(Response::into_inner)
            .map_err(|status| CallError::of(rpc, status))
    }
}

fn headers(config: &Config) -> Result<MetadataMap, Error> {
    let bad = |name: &str| {
        let message = format!("{name} holds characters that cannot be sent");
        Error::new(ErrorKind::Misconfigured, message)
    };
    let secret = |name: &str, value: &SecretString| {
        let value: Result<AsciiMetadataValue, _> = value.expose_secret().parse();
        let mut value = value.map_err(|_| bad(name))?;
        value.set_sensitive(true);
        Ok::<_, Error>(value)
    };
    let mut headers = MetadataMap::new();
    headers.insert("x-modal-client-type", AsciiMetadataValue::from_static(config.client_type.number()));
    let version = config.client_version.parse().map_err(|_| bad("the client version"))?;
    headers.insert("x-modal-client-version", version);
    headers.insert("x-modal-token-id", secret("MODAL_TOKEN_ID", &config.token_id)?);
    headers.insert("x-modal-token-secret", secret("MODAL_TOKEN_SECRET", &config.token_secret)?);
    Ok(headers)
}
