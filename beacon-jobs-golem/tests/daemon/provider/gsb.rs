//! The messages to an activity, which the provider's daemon hands over through a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::api::Api;

/// A message to an activity.
#[derive(Debug, Deserialize)]
struct Asked {
    id: String,
    component: String,
    payload: Value,
}

/// Takes the messages of an address, of these kinds, and answers each with what `act` makes of it. It goes on
/// until it is dropped, or the connection ends.
pub(super) async fn serve<A, F>(api: &Api, address: &str, kinds: &[&str], act: A) -> Result<(), String>
where
    A: Fn(String, Value) -> F,
    F: Future<Output = Result<Value, Value>> + Send + 'static,
{
    let listen = json!({ "listen": { "on": address, "components": kinds } });
    let made = api.post("/gsb-api/v1/services", listen).await?;
    let services = made["servicesId"].as_str().unwrap_or_default();
    let host = api.base.trim_start_matches("http://");
    let request = format!("ws://{host}/gsb-api/v1/services/{services}").into_client_request();
    let mut request = request.map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {}", api.key).parse().unwrap());
    headers.insert("sec-websocket-protocol", "gsb+flexbuffers".parse().unwrap());
    let stream = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
    let connected = tokio_tungstenite::client_async(request, stream).await;
    let (mut sink, mut source) = connected.map_err(|error| error.to_string())?.0.split();
    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
    loop {
        tokio::select! {
            message = source.next() => {
                let Some(Ok(message)) = message else { return Ok(()) };
                let Message::Binary(bytes) = message else { continue };
                let asked: Asked = flexbuffers::from_slice(&bytes).map_err(|error| error.to_string())?;
                let acting = act(asked.component, asked.payload);
                let answers = answers.clone();
                tokio::spawn(async move {
                    let answer = match acting.await {
                        Ok(payload) => json!({ "id": asked.id, "payload": payload }),
                        Err(error) => json!({ "id": asked.id, "error": error }),
                    };
                    let _ = answers.send(answer);
                });
            }
            Some(answer) = answered.recv() => {
                let bytes = flexbuffers::to_vec(&answer).map_err(|error| error.to_string())?;
                sink.send(Message::Binary(bytes.into())).await.map_err(|error| error.to_string())?;
            }
        }
    }
}
