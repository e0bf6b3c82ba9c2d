use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Place, Runner, TOKEN, request, until};

const WATCHERS: usize = 1_000;

/// Opens a stream of a job's events, and reads its beginning.
async fn watch(runner: &Runner, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(runner.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    hears(&mut stream, "event: job").await;
    stream
}

async fn hears(stream: &mut TcpStream, words: &str) {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(words) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream has ended: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..read]);
    }
}

/// Files that a process has open, and its memory in pages.
fn held(runner: &Runner) -> (usize, u64) {
    let place = format!("/proc/{}", runner.pid());
    let files = std::fs::read_dir(format!("{place}/fd")).unwrap().count();
    let memory = std::fs::read_to_string(format!("{place}/statm")).unwrap();
    (files, memory.split(' ').nth(1).unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watchers_that_go_leave_nothing_behind() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let waits = json!({ "executions": [{ "executor": "nobody-has-it", "input": null }] });
    let (files, _) = held(&runner);
    let mut after = Vec::new();
    let mut with = 0;
    for round in 0..4 {
        let id = runner.submit(&place, &waits).await;
        let mut watchers = Vec::with_capacity(WATCHERS);
        for _ in 0..WATCHERS {
            watchers.push(watch(&runner, &id).await);
        }
        let (open, memory) = held(&runner);
        assert!(open >= files + WATCHERS, "{open} files are open");
        with = with.max(memory);
        if round % 2 == 0 {
            let cancel = format!("/api/v1/jobs/{id}/cancel");
            assert_eq!(request(&runner.url, "POST", &cancel, Some(TOKEN), "").await.unwrap().0, 200);
            for watcher in &mut watchers {
                hears(watcher, "\"over\":true").await;
            }
        }
        drop(watchers);
        // The store may have opened more connections to its file.
        until("the watchers are forgotten", async || held(&runner).0 <= files + 50).await;
        after.push(held(&runner).1);
    }
    println!("pages: {after:?} after each thousand, {with} with one");
    // What the first thousand has made the allocator take it keeps, and uses again.
    let (first, last) = (after[0], after[3]);
    assert!(last <= first + first / 5, "{after:?} pages after each thousand, {with} with one");
}
