//! A bare tonic client that makes the calls of a job at Modal: the floor of the executor.

use measure::Result;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::measure;

#[derive(Clone, PartialEq, Message)]
struct FunctionGet {
    #[prost(string, tag = "1")]
    app: String,
    #[prost(string, tag = "2")]
    function: String,
}

/// Of an answer, or of a request, what stands first in it.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionMap {
    #[prost(string, tag = "1")]
    function_id: String,
    #[prost(int32, tag = "4")]
    call_type: i32,
    #[prost(int32, tag = "6")]
    invocation_type: i32,
    #[prost(bool, tag = "7")]
    from_spawn_map: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PutInputs {
    #[prost(string, tag = "1")]
    function_id: String,
    #[prost(string, tag = "3")]
    call_id: String,
    #[prost(message, repeated, tag = "4")]
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, Message)]
struct Item {
    #[prost(message, optional, tag = "2")]
    input: Option<Input>,
}

#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(bytes = "vec", tag = "1")]
    args: Vec<u8>,
    #[prost(bool, tag = "9")]
    is_final: bool,
    #[prost(int32, tag = "10")]
    data_format: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Cancel {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(bool, tag = "2")]
    terminate_containers: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// `[[], {}]` in CBOR: no arguments.
const NO_ARGUMENTS: [u8; 3] = [0x82, 0x80, 0xa0];

pub(crate) struct Wire(Grpc<Channel>);

impl Wire {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Grpc::new(Channel::from_shared(url.to_owned())?.connect().await?)))
    }

    /// Finds a function, creates a call of it and gives it its input. The call's id.
    pub(crate) async fn begin(&mut self, app: &str, function: &str) -> Result<String> {
        let (app, function) = (app.to_owned(), function.to_owned());
        let Id { id: function_id } = self.call("FunctionGet", FunctionGet { app, function }).await?;
        let map = FunctionMap {
            function_id: function_id.clone(),
            call_type: 2,
            invocation_type: 3,
            from_spawn_map: true,
        };
        let Id { id: call_id } = self.call("FunctionMap", map).await?;
        let input = Input { args: NO_ARGUMENTS.to_vec(), is_final: true, data_format: 4 };
        let items = vec![Item { input: Some(input) }];
        let put = PutInputs { function_id, call_id: call_id.clone(), items };
        self.call::<_, Nothing>("FunctionPutInputs", put).await?;
        Ok(call_id)
    }

    pub(crate) async fn cancel(&mut self, call_id: &str) -> Result<()> {
        let cancel = Cancel { call_id: call_id.to_owned(), terminate_containers: true };
        self.call::<_, Nothing>("FunctionCallCancel", cancel).await.map(drop)
    }

    async fn call<Q, A>(&mut self, name: &'static str, message: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(message);
        for (name, value) in [
            ("x-modal-client-type", "1"),
            ("x-modal-client-version", "1.6.4"),
            ("x-modal-token-id", "ak-of-the-fake"),
            ("x-modal-token-secret", "as-of-the-fake"),
        ] {
            request.metadata_mut().insert(name, AsciiMetadataValue::from_static(value));
        }
        let path: PathAndQuery = format!("/modal.client.ModalClient/{name}").parse()?;
        self.0.ready().await?;
        Ok(self.0.unary(request, path, ProstCodec::default()).await?.into_inner())
    }
}
