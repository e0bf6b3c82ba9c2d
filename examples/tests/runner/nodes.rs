//! Two nodes on one PostgreSQL server, and a provider that outlives both. `postgres` stands in each
//! name: by it the test run starts a server.

use beacon_jobs::JobId;
use rustix::process::Signal;
use serde_json::{Value, json};
use stand_in::Event;

use crate::provider::Provider;
use crate::server::Database;
use crate::support::{Place, Runner, TOKEN, code, command, is_settled, run, stderr, stdout, until};

/// What the nodes share.
struct Cluster {
    place: Place,
    database: Database,
    provider: Provider,
}

impl Cluster {
    async fn new() -> Self {
        let (database, provider) = (Database::new().await, Provider::start().await);
        let output = run(&["migrate", "--database", &database.url]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        Self { place: Place::new(), database, provider }
    }

    /// A node with the stand-in's executor. No hint is waited for longer than a poll.
    async fn node(&self, name: &str, more: &[&str]) -> Runner {
        let mut command =
            command(&["serve", "--listen", "127.0.0.1:0", "--poll-ms", "200", "--log", "debug,h2=info"]);
        command.args(["--database", &self.database.url, "--node-name", name]).args(more);
        command.args(["--stand-in", &self.provider.url]).env("BEACON_ADMIN_TOKEN", TOKEN);
        Runner::spawn(&self.place, &mut command).await
    }

    /// Submits a job with one execution at the stand-in.
    async fn submit(&self, node: &Runner, input: Value) -> String {
        node.submit(&self.place, &json!({"executions": [{"executor": "stand-in", "input": input}]})).await
    }
}

/// Who asked for what is in the log in the form NAME/PID.
fn node_of(from: &str) -> &str {
    from.split('/').next().unwrap()
}

async fn cancels_from_elsewhere(elsewhere: &[&str]) {
    let cluster = Cluster::new().await;
    let worker = cluster.node("worker", &[]).await;
    let id = cluster.submit(&worker, json!({})).await;
    worker.reaches(&id, "running", |job| job["executions"][0]["status"] == "running").await;
    cluster.provider.logged(Event::Begun, 1).await;
    // It comes when the job runs already.
    let other = cluster.node("other", elsewhere).await;
    let output = other.client(&["cancel", &id, "--wait", "30", "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&answer["new_status"], &answer["context_cancelled"], &answer["stops"]["confirmed"]),
        (&json!("cancelled"), &json!(false), &json!(1)),
        "{answer}"
    );
    let record = cluster.provider.record().await;
    assert_eq!(record.alive().count(), 0, "{}", record.story(&JobId::new(&id).unwrap(), 0));
}

#[tokio::test]
async fn a_cancel_on_postgres_sent_to_a_node_that_does_not_run_the_job_confirms_the_stop() {
    cancels_from_elsewhere(&[]).await;
}

#[tokio::test]
async fn a_cancel_on_postgres_sent_to_a_node_that_runs_nothing_confirms_the_stop() {
    cancels_from_elsewhere(&["--no-runner"]).await;
}

#[tokio::test]
async fn sigterm_mid_job_on_postgres_hands_the_work_to_another_node_and_it_runs_on() {
    let cluster = Cluster::new().await;
    let mut first = cluster.node("first", &["--drain-seconds", "3600"]).await;
    let id = cluster.submit(&first, json!({})).await;
    first.reaches(&id, "running", |job| job["executions"][0]["status"] == "running").await;
    cluster.provider.logged(Event::Begun, 1).await;
    let second = cluster.node("second", &[]).await;
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    let looks = async || {
        let log = cluster.provider.client.log().await.unwrap();
        log.iter().any(|entry| entry.event == Event::Looked && node_of(&entry.from) == "second")
    };
    until("the second node watches", looks).await;
    cluster.provider.client.complete().await.unwrap();
    let job = second.reaches(&id, "settled", is_settled).await;
    assert_eq!(
        (&job["status"], &job["executions"][0]["attempt"]),
        (&json!("completed"), &json!(1)),
        "{job:#}"
    );
    let record = cluster.provider.record().await;
    let story = record.story(&JobId::new(&id).unwrap(), 0);
    let events: Vec<Event> =
        record.entries().iter().map(|entry| entry.event).filter(|event| *event != Event::Looked).collect();
    assert_eq!(events, [Event::Created, Event::Begun, Event::Completed], "one uninterrupted run: {story}");
    assert_eq!(record.lives().count(), 1);
}

#[tokio::test]
async fn a_node_on_postgres_that_was_frozen_past_its_lease_has_its_writes_refused() {
    let cluster = Cluster::new().await;
    let frozen = cluster.node("frozen", &["--lease-seconds", "1"]).await;
    // Of the first it has asked for the work, and the answer comes while it is frozen. The second one
    // comes to its end meanwhile.
    let inputs =
        [json!({"milliseconds": 100, "faults": {"create_takes_ms": 1000}}), json!({"milliseconds": 1000})];
    let executions = inputs.map(|input| json!({"executor": "stand-in", "input": input}));
    let id = frozen.submit(&cluster.place, &json!({ "executions": executions })).await;
    frozen.reaches(&id, "watching the second", |job| job["executions"][1]["status"] == "running").await;
    cluster.provider.logged(Event::Begun, 1).await;
    let begun = "SELECT id FROM beacon_jobs.beacon_attempts";
    until("both have passed their barrier", async || cluster.database.rows(begun).await.len() == 2).await;
    frozen.signal(Signal::STOP);
    cluster.provider.logged(Event::Created, 2).await;
    cluster.provider.logged(Event::Completed, 1).await;
    let next = cluster.node("next", &["--lease-seconds", "1"]).await;
    let owner = "SELECT epoch FROM beacon_jobs.beacon_jobs WHERE epoch > 1";
    until("the job has another owner", async || !cluster.database.rows(owner).await.is_empty()).await;
    frozen.signal(Signal::CONT);
    // Its heartbeat is refused, and so is the permit to begin what it had created.
    frozen.logged("the lease was lost").await;
    frozen.logged("the permit is refused").await;
    frozen.logged("entered anew").await;
    let job = next.reaches(&id, "settled", is_settled).await;
    let attempts = [0, 1].map(|index| job["executions"][index]["attempt"].as_u64());
    assert_eq!((&job["status"], attempts), (&json!("completed"), [Some(2), Some(1)]), "{job:#}");
    let record = cluster.provider.record().await;
    let begins: Vec<(u32, usize)> = record
        .entries()
        .iter()
        .filter(|entry| entry.event == Event::Begun)
        .map(|entry| (entry.index, usize::from(node_of(&entry.from) == "frozen")))
        .collect();
    // The next attempt may be anybody's: by then the thawed node is a new one.
    let story = record.story(&JobId::new(&id).unwrap(), 0);
    assert_eq!((begins.len(), begins[0]), (2, (1, 1)), "{story}");
    let first = "SELECT a.id, a.handle IS NOT NULL AS known, s.state FROM beacon_jobs.beacon_attempts a \
        JOIN beacon_jobs.beacon_stops s USING (execution, number) WHERE a.number = 1 AND a.execution % 2 = 0";
    // A fact about its attempt it may add: the handle is kept, and by it the work was stopped.
    let ended = async || {
        let rows = cluster.database.rows(first).await;
        rows.iter().any(|row| row["known"] == true && row["state"] == "confirmed")
    };
    until("the first attempt is shown to have ended", ended).await;
    let first = cluster.database.rows(first).await[0]["id"].clone();
    assert!(record.lives().all(|life| json!(life.attempt) != first), "{story}");
}
