//! A container: a process group, which ends with its first process, as the kernel has it for a container of
//! its own.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tonic::transport::server::TcpIncoming;

use super::service::Service;
use super::{Manners, Seen, start};
use crate::generated::modal_client_server::ModalClientServer;

/// How a container ended, with all its processes.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) at: OffsetDateTime,
    /// It had to be killed.
    pub(crate) killed: bool,
}

/// Ends with whoever holds it.
struct Group(Pid);

impl Group {
    fn kill(&self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a container to its end.
pub(super) async fn run(seen: Arc<Seen>, python: PathBuf, folder: PathBuf, manners: Manners) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Service { seen: Arc::clone(&seen), told: tokio::sync::Mutex::default() };
    let service = ModalClientServer::new(service).max_decoding_message_size(64 << 20);
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let (mut child, output) = spawn(&seen, &python, &folder, &url);
    let group = Group(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap());
    seen.group.send_replace(Some(group.0.as_raw_nonzero().get()));
    let end = async {
        let killed = end(&seen, &mut child, &group, manners).await;
        // With the first process the kernel ends all others of a container.
        group.kill();
        killed
    };
    let read = async {
        let mut log = Vec::new();
        let mut output = pipe::Receiver::from_owned_fd(output).unwrap();
        // It is at its end when no process holds its other end any more.
        output.read_to_end(&mut log).await.unwrap();
        String::from_utf8_lossy(&log).into_owned()
    };
    let (killed, log) = tokio::join!(end, read);
    server.abort();
    if !*seen.stop.borrow() {
        println!("{} has ended by itself: {log}", seen.container.task_id());
    }
    seen.gone.send_replace(Some(Gone { at: SystemClock.now(), killed }));
    seen.container.ended();
}

fn spawn(seen: &Seen, python: &Path, folder: &Path, url: &str) -> (Child, OwnedFd) {
    let container = &seen.container;
    let arguments = folder.join(container.task_id());
    std::fs::write(&arguments, start::arguments(container)).unwrap();
    let (output, input) = std::io::pipe().unwrap();
    let child = Command::new(python)
        .args(["-m", "modal._container_entrypoint"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/container"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("MODAL_IS_REMOTE", "1")
        .env("MODAL_SERVER_URL", url)
        .env("MODAL_TASK_ID", container.task_id())
        .env("MODAL_CONTAINER_ARGUMENTS_PATH", &arguments)
        .stdin(Stdio::null())
        .stdout(input.try_clone().unwrap())
        .stderr(input)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, output.into())
}

/// Waits until the first process has ended, and tells whether it had to be killed.
async fn end(seen: &Seen, child: &mut Child, group: &Group, manners: Manners) -> bool {
    let mut stop = seen.stop.subscribe();
    tokio::select! {
        status = child.wait() => {
            status.unwrap();
            return false;
        }
        told = stop.wait_for(|stop| *stop) => drop(told.unwrap()),
    }
    let _ = kill_process(group.0, Signal::INT);
    tokio::select! {
        status = child.wait() => {
            status.unwrap();
            return false;
        }
        () = SystemClock.sleep(manners.kill_after) => {}
    }
    group.kill();
    child.wait().await.unwrap();
    true
}

/// The processes of a group that have not ended, as the kernel shows them now.
pub(crate) fn running_in_group(group: i32) -> Vec<String> {
    let mut running = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which may hold anything: state, parent, group.
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<_> = fields.split_whitespace().collect();
        if fields[2] == group.to_string() && !["Z", "X"].contains(&fields[0]) {
            running.push(stat);
        }
    }
    running
}
