use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::wire::Exit;

/// How much of a stream is kept: this much of its beginning, and as much of its end.
const HALF: usize = 512 * 1024;
const CHUNK: usize = 64 * 1024;

/// The beginning and the end of a stream of any length.
#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Kept {
    fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        bytes = &rest[rest.len().saturating_sub(HALF)..];
        let over = (self.tail.len() + bytes.len()).saturating_sub(HALF);
        self.tail.drain(..over);
        self.tail.extend(bytes);
    }

    fn left_out(&self) -> u64 {
        self.total - self.head.len() as u64 - self.tail.len() as u64
    }

    fn text(&self) -> String {
        let (first, second) = self.tail.as_slices();
        if self.left_out() == 0 {
            return String::from_utf8_lossy(&[&self.head, first, second].concat()).into_owned();
        }
        let head = String::from_utf8_lossy(&self.head);
        let tail = [first, second].concat();
        format!("{head}\n[{} bytes left out]\n{}", self.left_out(), String::from_utf8_lossy(&tail))
    }
}

/// What a command wrote.
#[derive(Debug, Default)]
pub(super) struct Written {
    stdout: Mutex<Kept>,
    stderr: Mutex<Kept>,
}

impl Written {
    /// Reads both streams to their ends. Whoever writes never waits longer than this task does.
    pub(super) async fn read(
        &self,
        stdout: Option<impl AsyncRead + Unpin + Send>,
        stderr: Option<impl AsyncRead + Unpin + Send>,
    ) {
        tokio::join!(pump(stdout, &self.stdout), pump(stderr, &self.stderr));
    }

    /// The output of an execution.
    pub(super) fn output(&self, exit: Exit) -> Value {
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let mut output = json!({
            "exit_code": exit.code,
            "signal": exit.signal,
            "stdout": stdout.text(),
            "stderr": stderr.text(),
        });
        let cut: serde_json::Map<String, Value> =
            [("stdout", stdout.left_out()), ("stderr", stderr.left_out())]
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(stream, bytes)| (stream.to_owned(), json!(bytes)))
                .collect();
        if !cut.is_empty() {
            output["left_out_bytes"] = Value::Object(cut);
        }
        output
    }
}

async fn pump(stream: Option<impl AsyncRead + Unpin + Send>, kept: &Mutex<Kept>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; CHUNK];
    // A stream that cannot be read has no more to give.
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(chunks: &[&[u8]]) -> Kept {
        let mut kept = Kept::default();
        chunks.iter().for_each(|chunk| kept.push(chunk));
        kept
    }

    #[test]
    fn a_stream_of_up_to_one_mebibyte_is_kept_whole() {
        let bytes: Vec<u8> = (0..2 * HALF).map(|n| b'a' + (n % 26) as u8).collect();
        for size in [1, 1000, HALF, 2 * HALF] {
            let kept = kept(&bytes.chunks(size).collect::<Vec<_>>()[..]);
            assert_eq!(kept.left_out(), 0);
            assert_eq!(kept.text().as_bytes(), bytes);
        }
    }

    #[test]
    fn of_a_longer_stream_the_first_and_last_half_are_kept_and_the_cut_is_named() {
        let mut bytes = vec![b'a'; HALF];
        bytes.extend(vec![b'b'; 3 * HALF + 5]);
        bytes.extend(vec![b'c'; HALF]);
        let expected =
            format!("{}\n[{} bytes left out]\n{}", "a".repeat(HALF), 3 * HALF + 5, "c".repeat(HALF));
        for size in [999, CHUNK, bytes.len()] {
            let kept = kept(&bytes.chunks(size).collect::<Vec<_>>()[..]);
            assert_eq!(kept.text(), expected);
            assert!(kept.tail.capacity() <= 4 * HALF);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(kept(&[b"ok \xff"]).text(), "ok \u{fffd}");
    }
}
