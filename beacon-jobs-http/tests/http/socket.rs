//! The same over a real connection.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{World, token};

pub(crate) async fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = world.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sends a request as one write after another, reads the answer to its end.
async fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        token("alice"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.chunks(16 * 1024) {
        stream.write_all(chunk).await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_job_is_submitted_shown_and_cancelled_over_a_socket() {
    let world = World::new();
    let address = serve(&world).await;
    let job = json!({ "executions": [{ "executor": "work" }, { "executor": "work" }] });
    let (status, accepted) = exchange(address, "POST /api/v1/jobs", job.to_string().as_bytes()).await;
    assert_eq!(status, 201, "{accepted}");
    let id = accepted["id"].as_str().unwrap();
    let (status, shown) = exchange(address, &format!("GET /api/v1/jobs/{id}"), b"").await;
    assert_eq!((status, &shown["status"]), (200, &json!("queued")));
    let (status, answer) = exchange(address, &format!("POST /api/v1/jobs/{id}/cancel?wait=60"), b"").await;
    assert_eq!((status, &answer["executions_cancelled"]), (200, &json!(2)));
    assert_eq!(exchange(address, "GET /healthz", b"").await.0, 200);
}

#[tokio::test]
async fn a_client_that_sends_too_much_still_reads_why_it_was_refused() {
    let world = World::new();
    let address = serve(&world).await;
    let body = vec![b' '; 8 * 1024 * 1024];
    let (status, problem) = exchange(address, "POST /api/v1/jobs", &body).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn a_stranger_that_sends_much_still_reads_why_it_was_refused() {
    let world = World::with(|builder| builder.authenticator(beacon_jobs_http::BearerTokens::new()));
    let address = serve(&world).await;
    let body = vec![b' '; 8 * 1024 * 1024];
    let (status, problem) = exchange(address, "POST /api/v1/jobs", &body).await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_held_to_the_limit_too() {
    let world = World::with(|builder| builder.max_body(64 * 1024));
    let address = serve(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        token("alice")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        stream.write_all(format!("1000\r\n{}\r\n", " ".repeat(0x1000)).as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_refused_without_sending() {
    let world = World::new();
    let address = serve(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {}\r\n\r\n",
        token("alice")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}
