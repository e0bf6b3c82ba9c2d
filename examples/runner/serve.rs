//! `serve`: a runner and an API in one process, until a signal ends them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use beacon_jobs::Jobs;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::SessionStore;
use beacon_jobs_http::Api;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::ServeArgs;
use crate::database::Opened;
use crate::exit::Exit;
use crate::page::{self, Facts};
use crate::secret::Secret;
use crate::settings::{ApiSettings, RunnerSettings, Settings};
use crate::signals::Signals;
use crate::trial::Trial;
use crate::values::Database;
use crate::{api, beacon_v1, database, executors, logs, metrics, print};

/// How long requests that are being answered may take once everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Exit> {
    logs::start(&args.log)?;
    let settings = Settings::from_args(args, &executors::of_process)?;
    let mut signals = Signals::listen()?;
    // First, so that a port in use changes nothing.
    let listener = match &settings.api {
        Some(api) => Some(bind(api).await?),
        None => None,
    };
    let trial = settings.stand_in.as_deref().map(Trial::new).transpose()?;
    let recorded = metrics::start()?;
    let Opened { store, sessions } = database::open(&settings.database).await?;
    let store = match &trial {
        Some(trial) => trial.store(store),
        None => store,
    };
    let jobs = Jobs::builder(store).poll(settings.poll).build();
    let runner = match &settings.runner {
        Some(runner) => Some(start_runner(&jobs, &settings, runner, trial.as_ref()).await?),
        None => None,
    };
    let server = match (&settings.api, listener) {
        (Some(api), Some((listener, bound))) => {
            let more = metrics::routes(recorded, &jobs);
            Some(Server::start(api, &settings, &jobs, sessions, more, listener, bound)?)
        }
        _ => None,
    };

    let signal = signals.next().await;
    tracing::info!(
        signal,
        limit_seconds = settings.drain.as_secs(),
        "draining; a second signal ends at once"
    );
    tokio::select! {
        () = end(runner, server, settings.drain) => Ok(()),
        signal = signals.next() => Err(Exit::failed(format!("ended at once by a second {signal}; the next start takes up what was left"))),
    }
}

/// Requests are answered until the runner has ended, so that a cancel during the drain is heard.
async fn end(runner: Option<JobRunner>, server: Option<Server>, drain: Duration) {
    if let Some(runner) = runner {
        let report = runner.shutdown(drain).await;
        tracing::info!(
            interrupted = report.interrupted,
            unsettled = report.unsettled,
            open_stops = report.open_stops,
            "runner ended"
        );
    }
    if let Some(server) = server {
        server.end().await;
    }
}

async fn bind(api: &ApiSettings) -> Result<(TcpListener, SocketAddr), Exit> {
    let failed = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "is in use; name another one, or port 0 for a free one".to_owned()
            }
            _ => format!("cannot be listened on: {error}"),
        };
        Exit::failed(format!("--listen: {} {why}", api.listen))
    };
    let listener = TcpListener::bind(api.listen).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn start_runner(
    jobs: &Jobs,
    settings: &Settings,
    runner: &RunnerSettings,
    trial: Option<&Trial>,
) -> Result<JobRunner, Exit> {
    let mut builder = JobRunner::builder(jobs).options(runner.options.clone());
    for executor in &runner.executors.all {
        builder = builder.shared_executor(Arc::clone(executor));
    }
    for executor in trial.into_iter().flat_map(|trial| trial.executors(&runner.options.node_name)) {
        builder = builder.executor(executor);
    }
    let started = builder.start().await.map_err(|error| match error.kind() {
        beacon_jobs::ErrorKind::Occupied => Exit::failed(format!(
            "--database {}: {error}; end the other runner, or share its file with --no-runner",
            settings.database
        )),
        _ => Exit::failed(error.to_string()),
    })?;
    runner.executors.settle_bills();
    Ok(started)
}

/// The part that answers requests.
struct Server {
    api: Api,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(
        api: &ApiSettings,
        settings: &Settings,
        jobs: &Jobs,
        sessions: Arc<dyn SessionStore>,
        more: Router,
        listener: TcpListener,
        bound: SocketAddr,
    ) -> Result<Self, Exit> {
        let address = api.public_url.clone().unwrap_or_else(|| format!("http://{bound}"));
        let (token, is_new) = match &api.admin_token {
            Some(token) => (token.clone(), false),
            None => (Secret::fresh()?, true),
        };
        let facts = Facts {
            address: address.clone(),
            executors: settings.executors.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
            database: match settings.database {
                Database::Memory => "memory: forgotten at the end",
                Database::Sqlite(_) => "a SQLite file",
                Database::Postgres(_) => "a Postgres server",
            },
            runs_jobs: settings.runner.is_some(),
            open: api.open,
            token: api.token,
            wallet: api.wallet,
        };
        let routes = api::build(api, jobs, &token, sessions, bound)?;
        let router = routes.router().merge(page::routes(&facts)).merge(more);
        let router = match &api.beacon_v1 {
            Some(v1) => beacon_v1::beside(router, v1, api, jobs)?,
            None => router,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async {
                    // A sender that is gone ends it too.
                    let _ = stopped.await;
                })
                .into_future(),
        );
        // Whether somebody reads the address or not, requests are answered.
        let _ = print::line(&format!("listening on http://{bound}"));
        let _ = match (api.open, is_new && api.token) {
            (true, _) => print::line(&format!("{address}/ (no token needed)")),
            (false, true) => print::line(&format!("{address}/#token={}", token.expose())),
            (false, false) => print::line(&format!("{address}/")),
        };
        Ok(Self { api: routes, stop, task })
    }

    async fn end(self) {
        // Whoever watches a job goes on at another node.
        self.api.end_events();
        // It may have ended by itself.
        let _ = self.stop.send(());
        tokio::select! {
            ended = self.task => {
                if let Ok(Err(error)) = ended {
                    tracing::warn!(%error, "the listener ended with an error");
                }
            }
            () = SystemClock.sleep(LAST_ANSWERS) => {}
        }
    }
}
