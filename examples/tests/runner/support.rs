//! A running runner, its client, and a way to know which children live.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// The program under test.
pub(crate) const RUNNER: &str = env!("CARGO_BIN_EXE_beacon-runner");
pub(crate) const TOKEN: &str = "a-token-for-tests-0123456789";
/// How often what gives no event is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// When a test gives up. Nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command of the runner with none of this process's own settings.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    let is_setting =
        |name: &str| ["BEACON_", "MODAL_", "YAGNA_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command.args(args).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) async fn run(args: &[&str]) -> Output {
    finish(&mut command(args)).await
}

pub(crate) async fn finish(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the command does not end").unwrap()
}

/// The exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Expects a refusal: this code, nothing but one line on stderr, and these words in it.
pub(crate) fn refused(output: &Output, expected: i32, words: &[&str]) {
    let (line, told) = (stderr(output), stdout(output));
    assert_eq!(code(output), expected, "{line}{told}");
    assert_eq!(line.lines().count(), 1, "one line, not: {line}");
    assert!(line.starts_with("beacon-runner: ") && !line.contains("panicked"), "{line}");
    for word in words {
        assert!(line.contains(word), "{word} is not in: {line}");
    }
    assert_eq!(told, "", "nothing on stdout");
}

/// A folder with a database that runners share.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn database(&self) -> String {
        format!("sqlite://{}", self.path("jobs.db").display())
    }

    /// A job file.
    pub(crate) fn job(&self, job: &Value) -> String {
        let path = self.path("job.json");
        std::fs::write(&path, job.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A runner that serves.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) child: Child,
    /// Read no more, but not closed while it lives.
    _lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    /// The second line that it printed: the address for a browser.
    pub(crate) page: String,
    log: PathBuf,
}

impl Runner {
    /// Starts one on a database, with the test's token, and waits until it listens.
    pub(crate) async fn start(place: &Place, more: &[&str]) -> Self {
        Self::start_with(place, more, |_| {}).await
    }

    pub(crate) async fn start_with(place: &Place, more: &[&str], adapt: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--poll-ms", "50"]);
        command.args(["--database", &place.database()]).args(more).env("BEACON_ADMIN_TOKEN", TOKEN);
        adapt(&mut command);
        Self::spawn(place, &mut command).await
    }

    pub(crate) async fn spawn(place: &Place, command: &mut Command) -> Self {
        match Self::try_spawn(place, command).await {
            Ok(runner) => runner,
            Err(log) => panic!("the runner does not listen: {log}"),
        }
    }

    /// The log is what a runner wrote that ended before it listened.
    pub(crate) async fn try_spawn(place: &Place, command: &mut Command) -> Result<Self, String> {
        let mut folder = tempfile::Builder::new();
        let log =
            folder.prefix("log-").tempfile_in(place.folder.path()).unwrap().into_temp_path().keep().unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = async {
            let listening = lines.next_line().await.unwrap()?;
            let page = lines.next_line().await.unwrap()?;
            Some((listening.strip_prefix("listening on ")?.to_owned(), page))
        };
        let told = tokio::time::timeout(PATIENCE, told).await.expect("the runner says nothing");
        let Some((url, page)) = told else { return Err(std::fs::read_to_string(&log).unwrap()) };
        Ok(Self { child, _lines: lines, url, page, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has ended")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log holds these words.
    pub(crate) async fn logged(&self, words: &str) {
        let wait = async {
            while !self.log().contains(words) {
                SystemClock.sleep(LOOK).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(in_time, "{words:?} is not in the log: {}", self.log());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits for its end; the exit code, or `None` after a signal.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the runner does not end: {}", self.log())).unwrap().code()
    }

    pub(crate) async fn kill_9(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().await.unwrap();
    }

    /// Runs a client command against it.
    pub(crate) async fn client(&self, args: &[&str]) -> Output {
        finish(self.client_command(args).stdin(Stdio::null())).await
    }

    pub(crate) fn client_command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.env("BEACON_URL", &self.url).env("BEACON_TOKEN", TOKEN);
        command
    }

    /// Submits a job; its id.
    pub(crate) async fn submit(&self, place: &Place, job: &Value) -> String {
        let output = self.client(&["submit", &place.job(job)]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    /// Reads a job with its executions.
    pub(crate) async fn show(&self, id: &str) -> Value {
        let output = self.client(&["show", id, "--json"]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until a job is as expected, and returns it.
    pub(crate) async fn reaches(&self, id: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/jobs/{id}?exec_limit=1000");
        let mut last = Value::Null;
        let reached = async {
            loop {
                if let Some((200, job)) = request(&self.url, "GET", &path, Some(TOKEN), "").await {
                    last = job;
                    if fits(&last) {
                        return;
                    }
                }
                SystemClock.sleep(LOOK).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await.is_ok();
        assert!(in_time, "{id} is not {what}: {last:#}\n{}", self.log());
        last
    }
}

/// Sends one request; `None` when no answer came.
pub(crate) async fn request(
    url: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Option<(u16, Value)> {
    let (status, _, body) = raw(url, method, path, token, body).await?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

/// Sends one request; status, head and body of the answer.
pub(crate) async fn raw(
    url: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Option<(u16, String, String)> {
    let host = url.strip_prefix("http://").unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if let Some(token) = token {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    } else if method == "POST" {
        head.push_str("Content-Length: 0\r\n");
    }
    let mut connection = TcpStream::connect(host).await.ok()?;
    connection.write_all(format!("{head}\r\n{body}").as_bytes()).await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_ascii_lowercase(), body.to_owned()))
}

/// Waits until something is so that gives no event.
pub(crate) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            SystemClock.sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    // It may have ended.
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// A pipe that every child of a job holds open, with all that it starts. The kernel says when the
/// last of them is gone, which no look at a list of processes can.
#[derive(Debug)]
pub(crate) struct Children {
    path: PathBuf,
    pipe: File,
    said: String,
}

impl Children {
    pub(crate) fn new(place: &Place) -> Self {
        use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
        let path = place.path("children");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // It opens without a writer, and reading tells "nothing yet" from "nobody holds it".
        let pipe = open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        Self { path, pipe: pipe.into(), said: String::new() }
    }

    /// An input whose command holds the pipe, says `up` and then does this in a shell.
    pub(crate) fn input(&self, script: &str) -> Value {
        let mut input = serde_json::json!({ "command": ["sh", "-c", script], "env": {} });
        self.hold(&mut input);
        input
    }

    /// Makes the command of an input hold the pipe and say `up` first.
    pub(crate) fn hold(&self, input: &mut Value) {
        let script = input["command"][2].as_str().unwrap();
        input["command"][2] = format!("exec 9>\"$CHILDREN\" && echo up >&9; {script}").into();
        input["env"]["CHILDREN"] = self.path.to_str().unwrap().into();
    }

    /// Waits until a child has said this word for the `count`th time.
    pub(crate) async fn said(&mut self, word: &str, count: usize) {
        let wait = async {
            while self.said.lines().filter(|line| *line == word).count() < count {
                SystemClock.sleep(LOOK).await;
                self.any_alive();
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(in_time, "{word:?} was not said {count} times: {:?}", self.said);
    }

    /// Whether a child has said this word so far.
    pub(crate) fn has_said(&self, word: &str) -> bool {
        self.said.lines().any(|line| line == word)
    }

    /// Waits until no process holds the pipe.
    pub(crate) async fn all_gone(&mut self) {
        let gone = async {
            while self.any_alive() {
                SystemClock.sleep(LOOK).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, gone).await.is_ok();
        assert!(in_time, "still alive: {:#?}", self.holders());
    }

    /// Reads what was said, and tells whether a process holds the pipe now.
    pub(crate) fn any_alive(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.pipe.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.said.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What the processes are that hold the pipe, for a person to read.
    fn holders(&self) -> Vec<String> {
        let mine = std::process::id().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let holds = |process: &PathBuf| {
            let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
            !process.ends_with(&mine) && links.any(|link| link == self.path)
        };
        let text = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default().replace('\0', " ");
        processes
            .filter(holds)
            .map(|process| format!("{} {}", text(process.join("stat")), text(process.join("cmdline"))))
            .collect()
    }
}

/// Whether a job has its outcome and none of its stops is open.
pub(crate) fn is_settled(job: &Value) -> bool {
    let terminal = ["completed", "failed", "cancelled"].contains(&job["status"].as_str().unwrap());
    terminal && job["stops"]["requested"] == 0 && job["stops"]["acknowledged"] == 0
}

/// The children of a process, by the kernel's own list.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    let lists = tasks.into_iter().flatten().flatten().map(|task| task.path().join("children"));
    let lists = lists.filter_map(|list| std::fs::read_to_string(list).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
