use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::control::{Control, End, OutputReceiver};
use super::handle::ProcessHandle;
use super::input::{Input, Launch};
use super::keeper::Keeper;
use super::plain::Plain;
use super::registry::{Known, Registry};
use super::wire::{Ended, EndedBy, Exit, NotBegun, Process, Ready, SupervisorSetup};
use super::{is_initialised, status, verify};
use crate::clock::{SystemClock, within};
use crate::error::Result;
use crate::executor::{Capabilities, ExecuteError, ExecutionContext, Executor, Reach};
use crate::id::AttemptId;
use crate::job::FailureKind;
use crate::stop::{Handle, StopError, StopRequest, StopStatus};

const NAME: &str = "process";
/// How long a supervisor may take to prepare everything, on a host that is busy.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to begin.
const GO_LIMIT: Duration = Duration::from_secs(30);
/// How long an end that was just asked for is waited for.
const END_WAIT: Duration = Duration::from_millis(500);

/// Runs child processes, each under a supervisor.
///
/// # Input
///
/// ```json
/// {"command": ["sh", "-c", "wc -l"], "stdin": "one\ntwo\n", "env": {"LANG": "C"}, "cwd": "/srv"}
/// ```
/// Only `command` is needed. The command is given `PATH`, `HOME`, `LANG` and `TMPDIR` of the runner
/// where they are set, what `env` names, and `BEACON_JOBS_ATTEMPT`; nothing else of the runner's
/// environment. Without `stdin` its standard input is empty. `cwd` may be relative to the runner's
/// own folder.
///
/// # Output
///
/// ```json
/// {"exit_code": 0, "signal": null, "stdout": "2\n", "stderr": ""}
/// ```
/// Of each stream up to 1 MiB is kept: of a longer one the first and the last half of that, with a
/// line between them that says how many bytes were left out; `left_out_bytes` then names the stream
/// and the number. Bytes that are not UTF-8 are replaced.
///
/// A command that exits with another code than 0, or is ended by a signal, has failed; its output
/// is kept with the failure, and another attempt is sensible as far as the job's `max_attempts`
/// allows. When its supervisor is killed, the attempt counts as interrupted: the work was lost, it
/// did not fail.
pub struct ProcessExecutor {
    launcher: Launcher,
    registry: Arc<Registry>,
}

#[derive(Clone, Debug)]
enum Launcher {
    Supervised { program: PathBuf, cgroup: bool },
    Plain,
}

impl ProcessExecutor {
    /// An executor whose supervisors are this program itself, if [`init`](super::init) was called;
    /// else one without supervisors.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An executor with other parts than the usual.
    #[must_use]
    pub const fn builder() -> ProcessExecutorBuilder {
        ProcessExecutorBuilder { program: None, cgroup: true }
    }

    /// Whether each command has a supervisor.
    #[must_use]
    pub const fn is_supervised(&self) -> bool {
        matches!(self.launcher, Launcher::Supervised { .. })
    }

    /// How many commands have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.registry.running()
    }

    async fn supervised(
        &self,
        cx: &ExecutionContext,
        program: &Path,
        cgroup: bool,
        launch: Launch,
    ) -> Result<Value, ExecuteError> {
        let setup = SupervisorSetup { attempt: cx.attempt_id(), cgroup };
        let prepare = async {
            let (control, output) = Keeper::start(program, &setup, &self.registry)
                .map_err(|error| unavailable(format!("{} could not be started", program.display()), error))?;
            let running = Running { control, output, attempt: setup.attempt };
            let ready = running.control.ready().await;
            Ok::<_, ExecuteError>((running, ready))
        };
        let (running, ready) = cx.starting(PREPARE_LIMIT, prepare).await??;
        let ready: Ready = match ready {
            Ok(ready) => ready,
            Err(Some(error)) => return Err(not_begun(error)),
            Err(None) => return Err(running.never_ready(program).await),
        };
        let handle = handle_of(&ProcessHandle::supervised(setup.attempt, &ready))?;
        if let Err(refused) = cx.save_handle(&handle).await {
            running.end_now().await;
            return Err(refused);
        }
        let go = async {
            running.control.go(launch);
            running.control.begun().await
        };
        if let Some(Err(error)) = cx.starting(GO_LIMIT, go).await? {
            running.end_now().await;
            return Err(not_begun(error));
        }
        self.outcome(running).await
    }

    async fn plain(&self, cx: &ExecutionContext, launch: Launch) -> Result<Value, ExecuteError> {
        let attempt = cx.attempt_id();
        let program = launch.program.clone();
        let start = async { Plain::start(launch, attempt, &self.registry) };
        let (command, control, output): (Process, _, _) =
            cx.starting(GO_LIMIT, start).await?.map_err(|error| {
                ExecuteError::new(FailureKind::InvalidInput, format!("could not run {program}: {error}"))
                    .with_source(error)
            })?;
        let running = Running { control, output, attempt };
        let handle = handle_of(&ProcessHandle::plain(attempt, command))?;
        cx.save_handle(&handle).await?;
        self.outcome(running).await
    }

    /// Waits for the end of a command that has begun.
    async fn outcome(&self, mut running: Running) -> Result<Value, ExecuteError> {
        let output = (&mut running.output).await.unwrap_or_default();
        let Some(end) = running.control.end().await else {
            return Err(ExecuteError::interrupted("its runtime was shut down"));
        };
        let error = match &*end {
            End::Reported { ended: Ended { ended_by: EndedBy::Exit | EndedBy::Term, exit, .. }, .. }
            | End::Plain { exit, .. }
                if exit.code == Some(0) =>
            {
                // It completed, so nobody will ask for its stop.
                self.registry.forget(running.attempt);
                return Ok(output);
            }
            End::Reported { ended: Ended { ended_by: EndedBy::NeverBegan, .. }, .. } => {
                ExecuteError::interrupted("it was ended before it began")
            }
            End::Reported { ended: Ended { ended_by: EndedBy::Exit, exit, .. }, .. }
            | End::Plain { exit, .. } => ExecuteError::failed(describe(*exit)).retryable(),
            End::Reported { ended, .. } => {
                ExecuteError::failed(format!("{} after a stop", describe(ended.exit)))
            }
            End::Lost { .. } => ExecuteError::interrupted("its supervisor was killed"),
        };
        Err(error.with_output(output))
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let supervised = self.is_supervised();
        Capabilities {
            two_step: supervised,
            refuses_start_after_stop: supervised,
            reach: Reach::ThisHost,
            grace: true,
            start_deadline: Duration::ZERO,
            ..Capabilities::default()
        }
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        Input::read(input).map(drop)
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        if cx.saved_handle().is_some() {
            return Err(ExecuteError::interrupted("a command does not outlive its runner"));
        }
        let input = Input::read(&cx.spec().input)
            .map_err(|error| ExecuteError::new(FailureKind::InvalidInput, error.to_string()))?;
        let launch = input.into_launch(cx.attempt_id());
        match &self.launcher {
            Launcher::Supervised { program, cgroup } => self.supervised(cx, program, *cgroup, launch).await,
            Launcher::Plain => self.plain(cx, launch).await,
        }
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let handle = ProcessHandle::read(handle)?;
        let end = match self.registry.get(handle.attempt) {
            Some(Known::Live(control)) => {
                control.stop(request.grace);
                match within(&SystemClock, END_WAIT, control.end()).await.flatten() {
                    Some(end) => end,
                    None => return Ok(status::of_live(&control)),
                }
            }
            Some(Known::Ended(end)) => end,
            None => return verify::stop(&self.registry, &handle, request).await,
        };
        let status = status::of_end(&handle, &end);
        if !matches!(status, StopStatus::Confirmed { .. }) {
            // Next time it is looked at again.
            self.registry.forget(handle.attempt);
        }
        Ok(status)
    }
}

/// An attempt that ends by force when this is dropped.
struct Running {
    control: Arc<Control>,
    output: OutputReceiver,
    attempt: AttemptId,
}

impl Running {
    /// Why a program that was started as a supervisor is gone before it said that it is one.
    async fn never_ready(&self, program: &Path) -> ExecuteError {
        if let Some(End::Lost { killed: true, .. }) = self.control.end().await.as_deref() {
            return ExecuteError::interrupted("its supervisor was killed before it was ready");
        }
        ExecuteError::new(
            FailureKind::Provider,
            format!(
                "{} did not become a supervisor; does its main call beacon_jobs::process::init first?",
                program.display()
            ),
        )
    }

    async fn end_now(&self) {
        self.control.stop(Duration::ZERO);
        within(&SystemClock, END_WAIT, self.control.end()).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop(Duration::ZERO);
    }
}

fn handle_of(handle: &ProcessHandle) -> Result<Handle, ExecuteError> {
    Handle::of(handle)
        .map_err(|error| ExecuteError::failed("the handle could not be written").with_source(error))
}

fn unavailable(what: String, error: std::io::Error) -> ExecuteError {
    ExecuteError::new(FailureKind::Provider, format!("{what}: {error}")).with_source(error).retryable()
}

fn not_begun(error: NotBegun) -> ExecuteError {
    if error.passing {
        ExecuteError::new(FailureKind::Provider, error.error).retryable()
    } else {
        ExecuteError::new(FailureKind::InvalidInput, error.error)
    }
}

fn describe(exit: Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in a way that was not seen".to_owned(),
    }
}

impl Default for ProcessExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ProcessExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl fmt::Debug for ProcessExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessExecutor")
            .field("launcher", &self.launcher)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// Puts a [`ProcessExecutor`] together.
#[derive(Clone, Debug)]
pub struct ProcessExecutorBuilder {
    program: Option<PathBuf>,
    cgroup: bool,
}

impl ProcessExecutorBuilder {
    /// Starts this program as the supervisor, instead of the host program itself. It must call
    /// [`init`](super::init) first in its `main`, in this version of the library;
    /// `beacon-jobs-supervisor` is such a program. Linux only.
    #[must_use]
    pub fn supervisor_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Whether each attempt gets a private cgroup where that is possible; `true` by default.
    #[must_use]
    pub const fn with_cgroup(mut self, cgroup: bool) -> Self {
        self.cgroup = cgroup;
        self
    }

    /// The executor.
    #[must_use]
    pub fn build(self) -> ProcessExecutor {
        let launcher = match self.program {
            Some(program) if cfg!(target_os = "linux") => {
                Launcher::Supervised { program, cgroup: self.cgroup }
            }
            // The running program itself, even if its file has been replaced since.
            None if is_initialised() => {
                Launcher::Supervised { program: PathBuf::from("/proc/self/exe"), cgroup: self.cgroup }
            }
            _ => Launcher::Plain,
        };
        ProcessExecutor { launcher, registry: Arc::default() }
    }
}
