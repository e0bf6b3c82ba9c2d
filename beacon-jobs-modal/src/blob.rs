//! What is too big for a message travels beside it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha2::Sha256;
use tonic::Code;

use crate::client::Client;
use crate::error::CallError;
use crate::generated::blob_create_response::{UploadTypeOneof, UploadTypesOneof};
use crate::generated::{BlobCreateRequest, BlobCreateResponse};

/// How long one transfer may take.
const TRANSFER_LIMIT: Duration = Duration::from_secs(300);

/// Uploads, and returns the id to refer to it.
pub(crate) async fn upload(
    client: &Client,
    http: &reqwest::Client,
    data: Vec<u8>,
) -> Result<String, CallError> {
    const RPC: &str = "BlobCreate";
    let md5 = STANDARD.encode(Md5::digest(&data));
    let request = BlobCreateRequest {
        content_md5: md5.clone(),
        content_sha256_base64: STANDARD.encode(Sha256::digest(&data)),
        content_length: i64::try_from(data.len()).unwrap_or(i64::MAX),
    };
    let blob = client.create_blob(&request).await?;
    let (id, url) = match place(blob) {
        Place::Whole { id, url } => (id, url),
        Place::InParts => {
            let message = format!("an input of {} bytes is too big: Modal wants it in parts", data.len());
            return Err(CallError::new(RPC, Code::InvalidArgument, message));
        }
        Place::Nowhere => {
            return Err(CallError::new(RPC, Code::Internal, "the answer names no place to upload to"));
        }
    };
    let put = http
        .put(url)
        .timeout(TRANSFER_LIMIT)
        .header("content-type", "application/octet-stream")
        .header("content-md5", md5)
        .body(data);
    let answer = put.send().await.and_then(reqwest::Response::error_for_status);
    answer.map_err(|error| failed("blob upload", &error)).map(|_| id)
}

/// Where a blob is to be put.
enum Place {
    Whole { id: String, url: String },
    InParts,
    Nowhere,
}

/// Modal names a place, and a list of places besides, either of which older or newer servers may leave
/// out.
fn place(blob: BlobCreateResponse) -> Place {
    match (blob.upload_type_oneof, blob.upload_types_oneof) {
        (Some(UploadTypeOneof::UploadUrl(url)), _) => Place::Whole { id: blob.blob_id, url },
        (Some(UploadTypeOneof::Multipart(_)), _) | (None, Some(UploadTypesOneof::Multiparts(_))) => {
            Place::InParts
        }
        (None, Some(UploadTypesOneof::UploadUrls(urls))) => {
            match blob.blob_ids.into_iter().zip(urls.items).next() {
                Some((id, url)) => Place::Whole { id, url },
                None => Place::Nowhere,
            }
        }
        (None, None) => Place::Nowhere,
    }
}

/// Downloads what an id refers to.
pub(crate) async fn download(
    client: &Client,
    http: &reqwest::Client,
    id: &str,
) -> Result<Vec<u8>, CallError> {
    let url = client.blob_url(id).await?;
    let get = async {
        let answer = http.get(url).timeout(TRANSFER_LIMIT).send().await?.error_for_status()?;
        answer.bytes().await
    };
    get.await.map(Vec::from).map_err(|error| failed("blob download", &error))
}

/// The URL is signed, so it is a secret.
fn failed(what: &'static str, error: &reqwest::Error) -> CallError {
    let why = match (error.status(), error.is_timeout(), error.is_connect()) {
        (Some(status), ..) => format!("the blob store answered {status}"),
        (_, true, _) => "the blob store was too slow".to_owned(),
        (_, _, true) => "the blob store cannot be reached".to_owned(),
        _ => "the transfer broke off".to_owned(),
    };
    CallError::new(what, Code::Unavailable, why)
}
