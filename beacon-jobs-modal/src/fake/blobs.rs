//! What is asked by plain HTTP: blobs, and functions as web endpoints.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName};
use axum::routing::get;
use md5::{Digest, Md5};
use tokio::net::TcpListener;

use super::Shared;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/{id}", get(read).put(write))
        .merge(super::web::router())
        .layer(DefaultBodyLimit::disable())
        .with_state(shared);
    let _ = axum::serve(listener, router).await;
}

async fn read(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Result<Vec<u8>, StatusCode> {
    shared.state().blobs.get(&id).cloned().ok_or(StatusCode::NOT_FOUND)
}

/// Answers with the sum of what has arrived, which Modal's own client compares with what it sent.
async fn write(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    data: Bytes,
) -> [(HeaderName, String); 1] {
    let sum: String = Md5::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
    shared.state().blobs.insert(id, data.to_vec());
    [(ETAG, format!("\"{sum}\""))]
}
