//! What `serve` was asked to do, checked.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use beacon_jobs::runner::RunnerOptions;
use beacon_jobs_http::CancelPolicy;

use crate::beacon_v1;
use crate::cli::{AuthWay, ExecutorName, ProcessFor, ServeArgs};
use crate::executors::{self, Executors, Variables};
use crate::exit::Exit;
use crate::secret::Secret;
use crate::values::Database;

/// The shortest token that is taken.
const SHORTEST_TOKEN: usize = 16;

/// What `serve` does.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) database: Database,
    /// What runs here, or on the nodes that share the database.
    pub(crate) executors: Vec<ExecutorName>,
    /// Where a stand-in provider is that tests use.
    pub(crate) stand_in: Option<String>,
    /// Absent when only requests are answered.
    pub(crate) runner: Option<RunnerSettings>,
    /// Absent when only jobs are run.
    pub(crate) api: Option<ApiSettings>,
    pub(crate) drain: Duration,
    pub(crate) poll: Duration,
}

/// How jobs are run.
#[derive(Debug)]
pub(crate) struct RunnerSettings {
    pub(crate) options: RunnerOptions,
    pub(crate) executors: Executors,
}

/// How requests are answered.
#[derive(Debug)]
pub(crate) struct ApiSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    /// Everybody is an administrator, without a token.
    pub(crate) open: bool,
    /// The administrator signs in by a token.
    pub(crate) token: bool,
    /// Anybody signs in by wallet, for jobs of their own.
    pub(crate) wallet: bool,
    /// The administrator's token, if it was given.
    pub(crate) admin_token: Option<Secret>,
    pub(crate) cancel_policy: CancelPolicy,
    pub(crate) process_for: ProcessFor,
    pub(crate) max_body: usize,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) rate_limit: Option<NonZeroU32>,
    /// Absent unless a portal of that version is answered, too.
    pub(crate) beacon_v1: Option<beacon_v1::Settings>,
}

impl Settings {
    /// Checks what clap cannot: rules between flags, and what this build does not have.
    pub(crate) fn from_args(args: ServeArgs, variable: Variables<'_>) -> Result<Self, Exit> {
        let database = args.store.read()?;
        if database == Database::Memory && (args.no_runner || args.no_api) {
            return Err(Exit::usage(
                "--database memory: is seen by this process alone; use sqlite://PATH with --no-runner or --no-api",
            ));
        }
        let chosen = executors::chosen(args.executors.clone(), variable);
        let poll = Duration::from_millis(args.poll_ms);
        let options = || {
            let mut options = RunnerOptions::default();
            if let Some(name) = &args.node_name {
                options.node_name.clone_from(name);
            }
            options.lease = Duration::from_secs(args.lease_seconds);
            options.poll = poll;
            options.max_jobs = args.max_jobs as usize;
            options.max_executions = args.max_executions as usize;
            options.keep = Some(Duration::from_secs(args.keep_days * 24 * 3600));
            options
        };
        let runner = if args.no_runner {
            None
        } else {
            Some(RunnerSettings { options: options(), executors: Executors::make(&chosen, variable)? })
        };
        let drain = Duration::from_secs(args.drain_seconds);
        let stand_in = args.stand_in.clone();
        let api = if args.no_api { None } else { Some(ApiSettings::from_args(args)?) };
        Ok(Self { database, executors: chosen, stand_in, runner, api, drain, poll })
    }
}

impl ApiSettings {
    fn from_args(args: ServeArgs) -> Result<Self, Exit> {
        let ways = args.auth.as_deref().unwrap_or(&[AuthWay::Token, AuthWay::Wallet]);
        let has = |way| ways.contains(&way);
        let (open, token, mut wallet) = (has(AuthWay::Open), has(AuthWay::Token), has(AuthWay::Wallet));
        if open {
            if ways.len() > 1 {
                return Err(Exit::usage("--auth: open stands alone; name either open or token and wallet"));
            }
            if !is_local(args.listen) {
                return Err(Exit::usage(format!(
                    "--auth open is refused on {}, which others can reach; listen on 127.0.0.1 or use --auth token",
                    args.listen.ip()
                )));
            }
        }
        // A wallet signs for the address that the browser shows.
        if wallet && args.public_url.is_none() && args.listen.ip().is_unspecified() {
            let fix = "set --public-url to the address by which browsers reach this server";
            if args.auth.is_some() {
                return Err(Exit::usage(format!("--auth wallet on {}: {fix}", args.listen.ip())));
            }
            tracing::warn!("nobody can sign in by wallet; {fix}");
            wallet = false;
        }
        if args.admin_token.is_some() && !token && !open {
            return Err(Exit::usage(
                "--admin-token is of no use without token in --auth; add it, or leave it out",
            ));
        }
        if let Some(token) = &args.admin_token {
            let token = token.expose();
            if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Exit::usage(format!(
                    "--admin-token must be at least {SHORTEST_TOKEN} visible characters without spaces; leave it out and one is made"
                )));
            }
        }
        Ok(Self {
            listen: args.listen,
            public_url: args.public_url,
            open,
            token,
            wallet,
            admin_token: args.admin_token,
            cancel_policy: args.cancel_policy,
            process_for: args.process_for,
            max_body: args.max_body.0,
            cors_origins: args.cors_origins,
            rate_limit: NonZeroU32::new(args.rate_limit),
            beacon_v1: beacon_v1::Settings::from_args(&args.beacon_v1, open)?,
        })
    }

    /// Whether those who are no administrators may submit `process` executions.
    pub(crate) fn process_for_everybody(&self, bound: SocketAddr) -> bool {
        self.process_for == ProcessFor::All || is_local(bound)
    }
}

/// Whether only programs of this machine can reach an address.
fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settings(args: &[&str]) -> Result<Settings, Exit> {
        let all = ["beacon-runner", "serve"].iter().chain(args);
        let Command::Serve(args) = Cli::try_parse_from(all).unwrap().command else { panic!() };
        Settings::from_args(*args, &|_| None)
    }

    fn refused(args: &[&str]) -> String {
        format!("{:?}", settings(args).unwrap_err())
    }

    #[test]
    fn without_proof_nobody_but_this_machine_is_listened_to() {
        for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.7:80", "[::ffff:192.0.2.7]:80"] {
            assert!(refused(&["--auth", "open", "--listen", listen]).contains("--auth open is refused"));
            assert!(settings(&["--auth", "token", "--listen", listen]).is_ok());
        }
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"] {
            assert!(settings(&["--auth", "open", "--listen", listen]).unwrap().api.unwrap().open);
        }
        assert!(refused(&["--auth", "open,token"]).contains("open stands alone"));
        assert!(refused(&["--auth", "wallet", "--listen", "0.0.0.0:1"]).contains("--public-url"));
        assert!(
            refused(&["--auth", "wallet", "--admin-token", "hunter2-hunter2-hunter2"])
                .contains("--admin-token")
        );
        for (args, token, wallet) in [
            (&[][..], true, true),
            (&["--auth", "token"], true, false),
            (&["--auth", "wallet"], false, true),
            (&["--listen", "0.0.0.0:1"], true, false),
            (&["--listen", "0.0.0.0:1", "--public-url", "https://portal.example"], true, true),
        ] {
            let api = settings(args).unwrap().api.unwrap();
            assert_eq!((api.token, api.wallet), (token, wallet), "{args:?}");
        }
    }

    #[test]
    fn processes_are_for_everybody_only_on_a_loopback_address_or_by_name() {
        let api = |args: &[&str]| settings(args).unwrap().api.unwrap();
        let (local, public) = ("127.0.0.1:1".parse().unwrap(), "192.0.2.7:1".parse().unwrap());
        assert!(api(&[]).process_for_everybody(local));
        assert!(!api(&[]).process_for_everybody(public));
        assert!(api(&["--process-for", "all"]).process_for_everybody(public));
    }

    #[test]
    fn what_this_build_does_not_have_is_refused_by_name_and_no_secret_is_shown() {
        for (args, flag) in [
            (&["--executors", "process,modal"][..], "--executors: modal: there is no Modal token"),
            (&["--executors", "golem"], "--executors: golem: there is no key for yagna"),
            (&["--database", "postgres:u:hunter2@h/db"], "--database must be"),
            (&["--database", "memory:", "--no-api"], "--database memory:"),
            (&["--admin-token", "hunter2"], "--admin-token"),
        ] {
            let error = refused(args);
            assert!(error.contains(flag) && !error.contains("hunter2"), "{error}");
        }
        for args in
            [["--admin-token", "hunter2-hunter2-hunter2"], ["--database", "postgres://u:hunter2@h/db"]]
        {
            let shown = format!("{:?}", settings(&args).unwrap());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
