//! Three genuine daemons and a provider on the loopback interface of a namespace of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::provider::Provider;
use crate::yagna::{Daemon, Part};

/// It ends with whoever holds it.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) requestor: Daemon,
    pub(crate) provider_daemon: Daemon,
    pub(crate) provider: Provider,
    pub(crate) folder: TempDir,
    _hub: Daemon,
}

impl Network {
    pub(crate) async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A node whose hub is not there yet neither answers nor ends.
        let hub = Daemon::start(Part::Hub, program, folder.path()).await;
        let (requestor, provider_daemon) = tokio::join!(
            Daemon::start(Part::Requestor, program, folder.path()),
            Daemon::start(Part::Provider, program, folder.path()),
        );
        let programs = folder.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        let provider = Provider::start(provider_daemon.api.clone(), &programs).await;
        let network = Self { requestor, provider_daemon, provider, folder, _hub: hub };
        network.install("echo", "for word; do printf '%s\\n' \"$word\"; done");
        network.install("fail", "echo 'no such model' >&2; exit 1");
        network.install("go_on", "while [ ! -e complete ]; do sleep 0.02; done; echo done");
        network
            .install("tick", "n=0; while [ ! -e complete ]; do n=$((n + 1)); echo tick $n; sleep 0.05; done");
        network
    }

    fn install(&self, program: &str, script: &str) {
        let file = self.folder.path().join("programs").join(program);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Lets what goes on end by itself, or not.
    pub(crate) fn let_complete(&self, complete: bool) {
        let file = self.folder.path().join("programs/complete");
        if complete {
            std::fs::write(file, "").unwrap();
        } else {
            let _ = std::fs::remove_file(file);
        }
    }
}
