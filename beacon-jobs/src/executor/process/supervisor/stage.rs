use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};

use super::super::input::Launch;
use super::super::wire::{NotBegun, StageReport, StageSetup};
use super::{pid, take_stdin};

/// As a shell does where it cannot run a command.
const NOT_BEGUN: i32 = 127;

/// Waits for the command, then becomes it.
pub(super) fn become_command(setup: &StageSetup) -> io::Result<()> {
    let mut supervisor = take_stdin()?;
    // Set for the command as well: it dies with its supervisor, even with SIGKILL.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(pid(setup.supervisor)?) {
        // It died before that was in force.
        return Ok(());
    }
    setsid()?;
    let in_cgroup = setup.cgroup.as_ref().is_some_and(|cgroup| cgroup.join().is_ok());
    tell(&mut supervisor, &StageReport::Ready { in_cgroup })?;
    let mut line = Vec::new();
    BufReader::new(&supervisor).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(());
    }
    let launch: Launch = serde_json::from_slice(&line)?;
    let (error, passing) = match start(&launch) {
        Ok(never) => match never {},
        Err((what, error)) => {
            let passing = matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::WouldBlock);
            (format!("{what}: {error}"), passing)
        }
    };
    tell(&mut supervisor, &StageReport::NotBegun(NotBegun { error, passing }))?;
    process::exit(NOT_BEGUN)
}

fn start(launch: &Launch) -> Result<std::convert::Infallible, (String, io::Error)> {
    if let Some(cwd) = &launch.cwd {
        std::env::set_current_dir(cwd)
            .map_err(|error| (format!("could not change to folder {cwd}"), error))?;
    }
    let stdin = match &launch.stdin {
        Some(text) => filled(text).map(Stdio::from),
        None => Ok(Stdio::null()),
    }
    .map_err(|error| ("could not hand over the standard input".to_owned(), error))?;
    let error =
        Command::new(&launch.program).args(&launch.args).env_clear().envs(&launch.env).stdin(stdin).exec();
    Err((format!("could not run {}", launch.program), error))
}

/// A file in memory: nobody has to feed it, however slowly the command reads.
fn filled(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

fn tell(supervisor: &mut UnixStream, report: &StageReport) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    supervisor.write_all(&line)
}
