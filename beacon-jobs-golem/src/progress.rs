//! How far a script has come, while it runs: a hint, for those who look on.
//!
//! What became of the work is decided by the polls for its results alone. A stream that is not served, is cut or
//! makes no sense costs detail, and nothing else.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use beacon_jobs::executor::ExecutionContext;
use beacon_jobs::job::ExecutionProgress;
use bytes::BytesMut;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio_util::codec::{Decoder, LinesCodec};

use crate::call::Command;
use crate::client::CommandResult;
use crate::convert::PRELUDE;
use crate::error::CallError;
use crate::executor::Inner;

/// How long the daemon holds a poll for one command where no stream tells of it.
const HOLD: Duration = Duration::from_secs(20);
/// How long it does so for what was done before a stream began.
const BRIEFLY: Duration = Duration::from_secs(1);
/// Pauses after the end of a stream.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// A line of a stream that is longer is left out, and a stream that is longer is begun anew: nobody knows what a
/// provider sends.
const MOST_LINE: usize = 64 << 10;
const MOST_STREAM: usize = 16 << 20;

/// What is known of a script, and told when it changes.
pub(crate) struct Progress<'a> {
    cx: &'a ExecutionContext,
    commands: &'a [Command],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How many commands of the script have ended well, `deploy` and `start` among them.
    ended: usize,
    /// The last line of the one that runs.
    line: Option<String>,
}

/// An event of the daemon's stream. There are more kinds, and they tell nothing that is shown.
#[derive(Debug, Deserialize)]
struct Event {
    index: usize,
    kind: EventKind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventKind {
    Started(IgnoredAny),
    Finished { return_code: i32 },
    StdOut(Value),
    StdErr(Value),
}

impl<'a> Progress<'a> {
    pub(crate) fn new(cx: &'a ExecutionContext, commands: &'a [Command]) -> Self {
        let progress = Self { cx, commands, known: Mutex::default() };
        // Work that another process began may be anywhere.
        if cx.saved_handle().is_none() {
            progress.change(|_| true);
        }
        progress
    }

    /// Takes in the results of a poll, of all commands or of the first ones.
    pub(crate) fn results(&self, results: &[CommandResult]) {
        let good = results.iter().enumerate().take_while(|(at, it)| it.index == *at && it.result == "Ok");
        self.ended(good.count());
    }

    /// The command that runs, as far as is known. `None` when all have ended.
    fn running(&self) -> Option<usize> {
        let ended = self.known.lock().unwrap_or_else(PoisonError::into_inner).ended;
        (ended < self.script()).then_some(ended)
    }

    fn script(&self) -> usize {
        PRELUDE + self.commands.len()
    }

    /// So many commands have ended well, or more.
    fn ended(&self, count: usize) {
        let is_possible = count <= self.script();
        self.change(|known| {
            let is_news = is_possible && count > known.ended;
            if is_news {
                *known = Known { ended: count, line: None };
            }
            is_news
        });
    }

    /// Takes in an event of the stream. One that nobody can read says nothing.
    fn event(&self, event: &str) {
        let Ok(Event { index, kind }) = serde_json::from_str(event) else { return };
        match kind {
            // They run one after the other.
            EventKind::Started(_) => self.ended(index),
            EventKind::Finished { return_code: 0 } => self.ended(index.saturating_add(1)),
            EventKind::Finished { .. } => {}
            EventKind::StdOut(said) | EventKind::StdErr(said) => {
                self.ended(index);
                let Some(line) = said.as_str().and_then(last_line) else { return };
                self.change(|known| {
                    let is_news = known.ended == index;
                    if is_news {
                        known.line = Some(line.to_owned());
                    }
                    is_news
                });
            }
        }
    }

    /// Changes what is known, and tells where that is news.
    fn change(&self, change: impl FnOnce(&mut Known) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !change(&mut known) {
            return;
        }
        let count = |commands: usize| u32::try_from(commands).unwrap_or(u32::MAX);
        let done = known.ended.saturating_sub(PRELUDE);
        let mut progress = ExecutionProgress::new(count(done)).of(count(self.commands.len()));
        let under_way = match known.ended {
            0 => Some("deploy".to_owned()),
            1 => Some("start".to_owned()),
            ended => self.commands.get(ended - PRELUDE).map(Command::label),
        };
        if let Some(under_way) = under_way {
            progress = progress.with_message(match &known.line {
                Some(line) => format!("{under_way}: {line}"),
                None => under_way,
            });
        }
        self.cx.report_progress(progress);
    }
}

/// The last line that is not empty. A `\r` goes back to its beginning.
fn last_line(output: &str) -> Option<&str> {
    output.rsplit(['\n', '\r']).map(str::trim).find(|line| !line.is_empty())
}

impl Inner {
    /// Follows a script for as long as this is polled. It ends with whoever holds it.
    pub(crate) async fn follow(&self, activity: &str, batch: &str, progress: &Progress<'_>) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let begin = self.clock().uptime();
            if let Err(error) = self.listen(activity, batch, progress).await {
                tracing::debug!(%error, activity, "no stream of the script");
            }
            if self.clock().uptime().saturating_sub(begin) > LAST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let ask = async {
                loop {
                    self.ask_in_turn(activity, batch, progress, HOLD).await;
                    self.clock().sleep(FIRST_PAUSE).await;
                }
            };
            tokio::select! {
                () = self.clock().sleep(pause) => {}
                never = ask => match never {},
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Listens to the stream until it ends, and asks for what was before it began: that is not streamed.
    async fn listen(&self, activity: &str, batch: &str, progress: &Progress<'_>) -> Result<(), CallError> {
        let mut stream = self.client.events(activity, batch).await?;
        let listen = async {
            let mut lines = LinesCodec::new_with_max_length(MOST_LINE);
            let (mut buffer, mut length) = (BytesMut::new(), 0);
            while let Some(chunk) = stream.next().await? {
                length += chunk.len();
                buffer.extend_from_slice(&chunk);
                loop {
                    match lines.decode(&mut buffer) {
                        Ok(None) => break,
                        Ok(Some(line)) => match line.strip_prefix("data:") {
                            // An event has one line of data here.
                            Some(event) => progress.event(event),
                            // The daemon says `:ping`, for ever, when the provider's stream has ended.
                            None if line.starts_with(':') => return Ok(()),
                            None => {}
                        },
                        Err(error) => tracing::debug!(%error, activity, "a line of the stream is left out"),
                    }
                }
                if length > MOST_STREAM {
                    break;
                }
                // However much comes, the end of the work and its cancel have their turn.
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        let (listened, ()) = tokio::join!(listen, self.ask_in_turn(activity, batch, progress, BRIEFLY));
        listened
    }

    /// Asks for the end of one command after the other, until one has not ended in time.
    async fn ask_in_turn(&self, activity: &str, batch: &str, progress: &Progress<'_>, hold: Duration) {
        while let Some(running) = progress.running() {
            match self.client.results_to(activity, batch, running, hold).await {
                Ok(results) => progress.results(&results),
                Err(error) => {
                    tracing::debug!(%error, activity, running, "it has not ended, as far as is known")
                }
            }
            if progress.running() == Some(running) {
                return;
            }
        }
    }
}
