//! The command line and its variables.

use std::net::SocketAddr;
use std::path::PathBuf;

use beacon_jobs::JobId;
use beacon_jobs::cancel::StopMode;
use beacon_jobs::job::JobStatus;
use beacon_jobs_http::CancelPolicy;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::beacon_v1::BeaconV1Args;
use crate::exit::Exit;
use crate::secret::Secret;
use crate::values::{Bytes, Database, Label, parse_listen, parse_origin};

/// Runs jobs on this machine, and cancels them so that the work is really over.
#[derive(Debug, Parser)]
#[command(name = "beacon-runner", version, arg_required_else_help = false)]
#[command(
    after_help = "Without a command it serves. Every flag of serve has a variable: --max-jobs is BEACON_MAX_JOBS."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run jobs and answer requests (this is what happens without a command).
    Serve(Box<ServeArgs>),
    /// Show the whole life of a job in this terminal: submit, run, cancel, evidence.
    Demo(DemoArgs),
    /// Submit a job file to a running server; prints the job's id.
    Submit(SubmitArgs),
    /// Cancel a job on a running server.
    Cancel(CancelArgs),
    /// Follow a job until it has its outcome and every stop of it is settled.
    Watch(WatchArgs),
    /// List jobs, newest first.
    Jobs(JobsArgs),
    /// Show a job with its executions, and the evidence of what was stopped.
    Show(ShowArgs),
    /// Apply the schema to a database and end.
    Migrate(MigrateArgs),
}

/// The words that begin a command line; anything else is meant for `serve`.
pub(crate) const COMMANDS: [&str; 8] =
    ["serve", "demo", "submit", "cancel", "watch", "jobs", "show", "migrate"];

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "BEACON_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// How callers prove who they are [default: token,wallet]; open lets everybody on this machine
    /// act as administrator.
    #[arg(long, env = "BEACON_AUTH", value_name = "WAYS", value_delimiter = ',')]
    pub(crate) auth: Option<Vec<AuthWay>>,

    /// The administrator's token; a new one is made and printed at each start when absent.
    #[arg(long, env = "BEACON_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<Secret>,

    /// The address by which browsers reach this server [default: the bound address].
    #[arg(long, env = "BEACON_PUBLIC_URL", value_name = "URL", value_parser = parse_origin)]
    pub(crate) public_url: Option<String>,

    /// Who may cancel: required takes owners and administrators, when_present also whoever shows no
    /// token, legacy_open everybody.
    #[arg(long, env = "BEACON_CANCEL_POLICY", value_name = "POLICY", default_value = "required")]
    pub(crate) cancel_policy: CancelPolicy,

    /// This node's name for people [default: the host's name].
    #[arg(long, env = "BEACON_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// How long this node counts as alive after its last heartbeat.
    #[arg(long, env = "BEACON_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) lease_seconds: u64,

    /// How many jobs may run at once.
    #[arg(long, env = "BEACON_MAX_JOBS", value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_jobs: u32,

    /// How many executions may run at once.
    #[arg(long, env = "BEACON_MAX_EXECUTIONS", value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_executions: u32,

    /// How long running work may end by itself after SIGTERM or SIGINT.
    #[arg(long, env = "BEACON_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) drain_seconds: u64,

    /// How often the database is looked at when nothing hints at a change.
    #[arg(long, env = "BEACON_POLL_MS", value_name = "MILLISECONDS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) poll_ms: u64,

    /// How long finished jobs are kept.
    #[arg(long, env = "BEACON_KEEP_DAYS", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) keep_days: u64,

    /// The largest request that is read: bytes, or with KiB, MiB or GiB.
    #[arg(long, env = "BEACON_MAX_BODY", value_name = "SIZE", default_value = "1MiB")]
    pub(crate) max_body: Bytes,

    /// How many requests a minute each caller may send, and each address; cancels are never counted, and 0 sets no limit.
    #[arg(long, env = "BEACON_RATE_LIMIT", value_name = "REQUESTS", default_value_t = 0)]
    pub(crate) rate_limit: u32,

    /// What runs executions here; with --no-runner: what the nodes on the same database have
    /// [default: process, and what has its variables set: modal MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; modal-web those,
    /// or MODAL_KEY and MODAL_SECRET; golem YAGNA_APPKEY].
    #[arg(long, env = "BEACON_EXECUTORS", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) executors: Option<Vec<ExecutorName>>,

    /// Who may submit process executions: loopback lets everybody do so while this server listens
    /// on a loopback address, else administrators only; all lets everybody.
    #[arg(long, env = "BEACON_PROCESS_FOR", value_name = "WHO", default_value = "loopback")]
    pub(crate) process_for: ProcessFor,

    /// A web origin that may call the API from a browser; may be given more than once.
    #[arg(long = "cors-origin", env = "BEACON_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    pub(crate) cors_origins: Vec<String>,

    #[command(flatten)]
    pub(crate) beacon_v1: BeaconV1Args,

    #[command(flatten)]
    pub(crate) log: LogArgs,

    /// Answer requests only.
    #[arg(long, env = "BEACON_NO_RUNNER", value_parser = FalseyValueParser::new(), conflicts_with = "no_api")]
    pub(crate) no_runner: bool,

    /// Run jobs only.
    #[arg(long, env = "BEACON_NO_API", value_parser = FalseyValueParser::new())]
    pub(crate) no_api: bool,

    /// For tests: also run executions at this stand-in provider.
    #[arg(long, value_name = "URL", hide = true, value_parser = parse_origin)]
    pub(crate) stand_in: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// Where jobs live: sqlite://PATH, postgres://USER@HOST/DATABASE for many nodes (run migrate on it
    /// first), or memory: to forget them at the end.
    #[arg(
        long,
        env = "BEACON_DATABASE",
        value_name = "URL",
        default_value = "sqlite://beacon.db",
        hide_env_values = true
    )]
    pub(crate) database: Secret,
}

impl StoreArgs {
    /// Read here and not by clap, whose errors repeat the value: it may hold a password.
    pub(crate) fn read(&self) -> Result<Database, Exit> {
        self.database.expose().parse().map_err(|error| Exit::usage(format!("--database {error}")))
    }
}

#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// What is logged to stderr: a level, or target=level pairs with commas between.
    #[arg(long, env = "BEACON_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// How log lines look.
    #[arg(long, env = "BEACON_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How many seconds the job runs before it is cancelled.
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(0..=40))]
    pub(crate) cancel_after: u64,
}

/// Which server a client command talks to.
#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The server's address.
    #[arg(long, env = "BEACON_URL", value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = parse_origin)]
    pub(crate) url: String,

    /// The token by which the server knows the caller.
    #[arg(long, env = "BEACON_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Secret>,

    /// Print the server's JSON answer.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SubmitArgs {
    /// The job file; - reads it from stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// A word of your own that makes a repeated submission harmless.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CancelArgs {
    /// The job.
    #[arg(value_name = "ID")]
    pub(crate) id: JobId,

    /// Why; goes on record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,

    /// How hard: graceful lets the work save itself first.
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<StopMode>,

    /// How long a graceful stop lets the work save itself [default: 10].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) grace_seconds: Option<u64>,

    /// Wait until every stop is settled, at most this long; exit code 3 if one is not confirmed by
    /// then.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) wait: Option<u64>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// The job.
    #[arg(value_name = "ID")]
    pub(crate) id: JobId,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JobsArgs {
    /// Only jobs in this status.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<JobStatus>,

    /// Only jobs with this label; may be given more than once.
    #[arg(long = "label", value_name = "KEY:VALUE")]
    pub(crate) labels: Vec<Label>,

    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,

    /// Where an earlier list ended.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The job.
    #[arg(value_name = "ID")]
    pub(crate) id: JobId,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthWay {
    /// A bearer token.
    Token,
    /// A signature by a wallet.
    Wallet,
    /// No proof.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorName {
    /// Child processes of this machine.
    Process,
    /// Functions at Modal.
    Modal,
    /// Web endpoints at Modal.
    ModalWeb,
    /// Golem Network.
    Golem,
}

impl ExecutorName {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Modal => "modal",
            Self::ModalWeb => "modal-web",
            Self::Golem => "golem",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProcessFor {
    /// Everybody on a loopback address, else administrators.
    Loopback,
    /// Everybody.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
