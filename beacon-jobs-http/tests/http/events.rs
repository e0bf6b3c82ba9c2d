//! The stream of a job's changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::job::ExecutionProgress;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::JobStore;
use serde_json::{Value, json};

use crate::support::stores::{Pair, on_each_store};
use crate::support::{Ask, Event, Events, Hand, LONG, World, token};

on_each_store!(
    a_storm_of_changes_is_told_in_order_and_each_at_most_once,
    a_stream_goes_on_at_any_node_where_it_was_cut,
    a_node_tells_of_what_another_one_did,
    progress_is_told_as_it_comes_and_again_after_a_reconnect,
);

fn ask(id: &JobId) -> Ask {
    Ask::get(format!("/api/v1/jobs/{id}/events"))
}

fn near(store: &Arc<dyn JobStore>) -> World {
    World::behind(Arc::clone(store), |jobs| jobs.poll(Duration::from_millis(20)), |builder| builder)
}

/// Executions of which every third goes on until it is stopped, and a few fail.
fn mixed() -> FunctionExecutor {
    FunctionExecutor::new("work", |call| async move {
        match call.input.as_u64().unwrap() {
            n if n % 3 == 0 => std::future::pending().await,
            n if n % 7 == 0 => Err(beacon_jobs::executor::ExecuteError::failed("the seventh fails")),
            n => Ok(json!(n)),
        }
    })
}

/// Begins a job of 60 executions, and cancels it when all are over that can be.
async fn stormy(world: &World) -> (JobId, JobRunner, tokio::task::JoinHandle<()>) {
    let runner = JobRunner::builder(&world.jobs).executor(mixed()).start().await.unwrap();
    let id = world.submit(60).await;
    let (jobs, job) = (world.jobs.clone(), id.clone());
    let cancel = tokio::spawn(async move {
        let mut watch = jobs.watch(&job);
        while let Some(outline) = watch.next().await.unwrap() {
            if outline.job.progress.completed + outline.job.progress.failed == 40 {
                break;
            }
        }
        let by = beacon_jobs::cancel::Actor::Owner("alice".to_owned());
        jobs.cancel(&job, &beacon_jobs::cancel::CancelRequest::new(by).immediate()).await.unwrap();
    });
    (id, runner, cancel)
}

/// Checks that nothing is told twice, that everything moves forward, and that the last that was told
/// of each thing is how it is.
async fn check(world: &World, id: &JobId, events: &[Event]) {
    let mut facts = HashSet::new();
    for event in events {
        assert!(facts.insert(event.fact()), "told twice: {event:?}");
        assert!(!event.id.is_empty() && event.id.len() <= 1_024);
    }
    let order = ["queued", "starting", "running", "completed", "failed", "cancelled"];
    let states = ["requested", "acknowledged", "unconfirmed", "confirmed"];
    let mut last: BTreeMap<(String, u64), Value> = BTreeMap::new();
    for event in events {
        let (key, word, words) = match event.name.as_str() {
            "execution" => ("id", "status", &order[..]),
            "stop" => ("execution_id", "state", &states[..]),
            "job" => continue,
            other => panic!("{other} is no event"),
        };
        let place = event.data[key].as_str().unwrap().parse().unwrap();
        let rank = |data: &Value| words.iter().position(|known| data[word] == *known).unwrap();
        if let Some(before) = last.insert((event.name.clone(), place), event.data.clone()) {
            assert!(rank(&before) < rank(&event.data), "{before} then {event:?}");
        }
    }
    let detail = world.detail(id).await;
    for row in &detail.executions {
        let place = u64::from(row.index);
        let told = &last[&("execution".to_owned(), place)];
        assert_eq!((&told["status"], &told["attempt"]), (&json!(row.status), &json!(row.attempt)));
        assert_eq!(told["error"], json!(row.error));
        let stop = last.get(&("stop".to_owned(), place));
        assert_eq!(
            stop.map(|stop| &stop["evidence"]),
            row.stop.as_ref().map(|stop| json!(stop.evidence)).as_ref()
        );
        assert_eq!(stop.map(|stop| stop["state"].clone()), row.stop.as_ref().map(|stop| json!(stop.state)));
    }
    let job = &events.last().unwrap();
    assert_eq!((job.name.as_str(), &job.data["over"]), ("job", &json!(true)));
    assert_eq!(job.data["progress"], json!(detail.job.progress));
    assert_eq!(job.data["stops"], json!(detail.stops));
    assert_eq!(job.data["cancellation"], json!(detail.job.cancellation));
    let overs = events.iter().filter(|event| event.data["over"] == true).count();
    assert_eq!(overs, 1, "only the last event ends the job");
}

async fn a_storm_of_changes_is_told_in_order_and_each_at_most_once(pair: Pair) {
    let world = near(&pair.one);
    let (id, runner, cancel) = stormy(&world).await;
    let events = Events::of(&world.router, ask(&id)).await.rest().await;
    check(&world, &id, &events).await;
    let detail = world.detail(&id).await;
    assert_eq!((detail.job.progress.cancelled, detail.stops.confirmed), (20, 26));
    cancel.await.unwrap();
    runner.shutdown(LONG).await;
}

async fn a_stream_goes_on_at_any_node_where_it_was_cut(pair: Pair) {
    let worlds = [near(&pair.one), near(&pair.other)];
    let (id, runner, cancel) = stormy(&worlds[0]).await;
    let mut told: Vec<Event> = Vec::new();
    'rounds: for round in 0.. {
        let mut ask = ask(&id);
        if let Some(last) = told.last() {
            ask = ask.header("last-event-id", &last.id);
        }
        let mut events = Events::of(&worlds[round % 2].router, ask).await;
        // Cut after one event, then after two, and so on, also within what is told at once.
        for _ in 0..=round % 5 {
            match events.next().await {
                Some(event) => told.push(event),
                None => break 'rounds,
            }
        }
    }
    check(&worlds[1], &id, &told).await;
    for world in &worlds {
        let again = ask(&id).header("last-event-id", &told.last().unwrap().id);
        assert_eq!(Events::of(&world.router, again).await.rest().await, [], "there is nothing new");
    }
    cancel.await.unwrap();
    runner.shutdown(LONG).await;
}

async fn a_node_tells_of_what_another_one_did(pair: Pair) {
    let (here, there) = (near(&pair.one), near(&pair.other));
    let (id, hand, job) = there.claimed(2).await;
    let mut events = Events::of(&here.router, ask(&id)).await;
    assert_eq!(events.next().await.unwrap().data["status"], "running");
    let begun = hand.start(&job, 1).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event.data["id"], &event.data["status"]), (&json!("1"), &json!("starting")));
    hand.run(&begun).await;
    assert_eq!(events.until("execution").await.data["status"], "running");
    there.send(Ask::cancel(&id).json(&json!({ "reason": "enough" }))).await.ok(200);
    assert_eq!(events.until("stop").await.data["state"], "requested");
    let event = events.until("job").await;
    assert_eq!(event.data["cancellation"]["reason"], "enough");
    hand.confirm(&begun).await;
    let rest = events.rest().await;
    assert_eq!(rest[0].data["evidence"]["gone"], true);
    assert_eq!(rest[1].data["over"], true);
    assert_eq!(rest.len(), 2, "{rest:?}");
}

async fn progress_is_told_as_it_comes_and_again_after_a_reconnect(pair: Pair) {
    let (here, there) = (near(&pair.one), near(&pair.other));
    let (id, hand, job) = there.claimed(2).await;
    let begun = hand.start(&job, 1).await;
    let mut events = Events::of(&here.router, ask(&id)).await;
    assert_eq!(events.until("execution").await.data["progress"], json!(null));

    hand.report(&begun, ExecutionProgress::new(0).of(3).with_message("deploy")).await;
    let told = events.until("execution").await;
    assert_eq!((&told.data["id"], &told.data["status"]), (&json!("1"), &json!("starting")));
    assert_eq!(told.data["progress"], json!({ "done": 0, "total": 3, "message": "deploy" }));
    hand.run(&begun).await;
    let told = events.until("execution").await;
    assert_eq!((&told.data["status"], &told.data["progress"]["done"]), (&json!("running"), &json!(0)));
    hand.report(&begun, ExecutionProgress::new(1).of(3)).await;
    let told = events.until("execution").await;
    assert_eq!(told.data["progress"], json!({ "done": 1, "total": 3, "message": null }));

    let mut again = Events::of(&there.router, ask(&id).header("last-event-id", &told.id)).await;
    assert_eq!(again.until("execution").await.data, told.data);
    let shown = here.send(Ask::get(format!("/api/v1/jobs/{id}"))).await.ok(200);
    assert_eq!(shown["executions"][1]["progress"], told.data["progress"]);
    assert_eq!(shown["executions"][0]["progress"], json!(null));

    hand.finish(&begun, json!("done")).await;
    let last = again.until("execution").await;
    assert_eq!((&last.data["status"], &last.data["progress"]), (&json!("completed"), &told.data["progress"]));
    there.send(Ask::cancel(&id)).await.ok(200);
    let rest = again.rest().await;
    assert!(rest.iter().all(|event| event.name != "execution" || event.data["id"] == "0"), "{rest:?}");
    let after = Events::of(&here.router, ask(&id).header("last-event-id", &rest.last().unwrap().id)).await;
    assert_eq!(after.rest().await, [], "what has ended is not told again");
}

#[tokio::test]
async fn what_is_told_of_a_job_from_its_submission_on_is_little() {
    let world = World::new();
    let id = world.submit(500).await;
    let mut events = Events::of(&world.router, ask(&id)).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data["progress"]["queued"]), ("job", &json!(500)));
    assert_eq!((&first.data["id"], &first.data["waiting_for"]), (&json!(id), &json!(["work"])));
    world.send(Ask::cancel(&id)).await.ok(200);
    let rest = events.rest().await;
    assert_eq!(rest.iter().filter(|event| event.name == "execution").count(), 500);
    assert!(rest.iter().all(|event| event.id.len() < 64), "runs of equal states make short ids");
}

#[tokio::test]
async fn a_job_is_told_of_to_its_owner_and_administrators_only() {
    let world = World::new();
    let id = world.submit(1).await;
    world.send(ask(&id).nameless()).await.problem(401, "unauthenticated");
    world.send(ask(&id).by("mallory")).await.problem(401, "unauthenticated");
    assert_eq!(world.send(ask(&id).by("bob")).await.problem(403, "forbidden")["job_id"], json!(id));
    world.send(Ask::get("/api/v1/jobs/none/events").by("bob")).await.problem(404, "job_not_found");
    world.send(Ask::get("/api/v1/jobs/a%20b/events")).await.problem(404, "job_not_found");
    assert_eq!(world.jobs.watched(), 0, "nobody watches after a refusal");
    for name in ["alice", "root"] {
        let mut events = Events::of(&world.router, ask(&id).by(name)).await;
        assert_eq!(events.next().await.unwrap().name, "job");
    }
}

#[tokio::test]
async fn a_token_in_the_url_is_refused_and_not_looked_at() {
    let world = World::new();
    let id = world.submit(1).await;
    for name in ["access_token", "token", "last_event_id"] {
        let target = format!("/api/v1/jobs/{id}/events?{name}={}", token("alice"));
        world.send(Ask::get(&target).nameless()).await.problem(401, "unauthenticated");
        assert_eq!(world.send(Ask::get(&target)).await.problem(422, "invalid_request")["field"], name);
    }
}

#[tokio::test]
async fn a_last_event_id_that_is_none_tells_everything() {
    let world = World::new();
    let (id, hand, job) = world.claimed(2).await;
    hand.start(&job, 0).await;
    let other = world.submit(1).await;
    let foreign = Events::of(&world.router, ask(&other)).await.next().await.unwrap().id;
    for last in ["", "0", "7", "AQ", "not base64!", "\u{fc}", foreign.as_str(), &"A".repeat(4_000)] {
        let mut events = Events::of(&world.router, ask(&id).header("last-event-id", last)).await;
        assert_eq!(events.next().await.unwrap().data["status"], "starting", "{last}");
        assert_eq!(events.next().await.unwrap().name, "job");
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_the_newest_and_holds_nobody_up() {
    let world = World::new();
    let (id, hand, job) = world.claimed(3).await;
    let mut slow = Events::of(&world.router, ask(&id)).await;
    let mut quick = Events::of(&world.router, ask(&id)).await;
    assert_eq!(slow.next().await.unwrap().name, "job");
    for index in 0..3 {
        let begun = hand.start(&job, index).await;
        assert_eq!(quick.until("execution").await.data["status"], "starting");
        hand.run(&begun).await;
        assert_eq!(quick.until("execution").await.data["status"], "running");
        hand.finish(&begun, json!(index)).await;
        assert_eq!(quick.until("execution").await.data["status"], "completed");
    }
    hand.finish_job(&job).await;
    let facts: Vec<_> = slow.rest().await.iter().map(Event::fact).collect();
    let (executions, jobs): (Vec<_>, Vec<_>) = facts.iter().partition(|fact| fact.starts_with("execution"));
    assert!(executions.iter().all(|fact| fact.ends_with("\"completed\"")), "{facts:?}");
    assert!(executions.len() == 3 && (1..=2).contains(&jobs.len()), "{facts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_news_is_kept_alive() {
    use futures_util::StreamExt;
    use tower::ServiceExt;

    let world = World::new();
    let id = world.submit(1).await;
    let response = world.router.clone().oneshot(ask(&id).request()).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap());
    }
    assert_eq!(texts[0], "retry: 1000\n\n");
    assert!(texts[1].starts_with("event: job\nid: "), "{texts:?}");
    assert_eq!(texts[2..], [": nothing new\n\n", ": nothing new\n\n"]);
}

#[tokio::test]
async fn a_thousand_clients_cost_one_reader_and_leave_nothing() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let world = World::new();
    let (id, hand, job) = world.claimed(50).await;
    let before = tasks();
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let mut client = Events::of(&world.router, ask(&id)).await;
        assert_eq!(client.next().await.unwrap().name, "job");
        clients.push(client);
    }
    assert_eq!((world.jobs.watched(), tasks() - before), (1, 1));
    hand.start(&job, 7).await;
    for client in &mut clients {
        assert_eq!(client.next().await.unwrap().data["id"], "7");
    }
    drop(clients);
    while world.jobs.watched() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), before);
}

#[tokio::test]
async fn streams_end_when_the_server_is_to_end() {
    let world = World::new();
    let id = world.submit(1).await;
    let mut events = Events::of(&world.router, ask(&id)).await;
    events.next().await.unwrap();
    world.api.end_events();
    assert_eq!(events.next().await, None);
    assert_eq!(Events::of(&world.router, ask(&id)).await.rest().await, []);
}

#[tokio::test]
async fn a_stream_over_a_socket_ends_with_its_job() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::new();
    let id = world.submit(1).await;
    let hand = Hand::join(&world.store).await;
    let address = crate::socket::serve(&world).await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        token("alice")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    hand.complete(&hand.claim().await).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("event: job\nid: ") && answer.contains("\"over\":true"), "{answer}");
}

#[tokio::test]
async fn a_stream_goes_on_when_its_store_was_away() {
    use crate::support::Fault;

    let world = near(&World::new().store);
    let id = world.submit(1).await;
    let mut events = Events::of(&world.router, ask(&id)).await;
    events.next().await.unwrap();
    world.faults.set(Fault::BlindReads);
    world.send(Ask::cancel(&id)).await.ok(200);
    world.send(Ask::get(format!("/api/v1/jobs/{id}"))).await.problem(503, "store_unavailable");
    world.faults.set(Fault::None);
    assert_eq!(events.rest().await.last().unwrap().data["status"], "cancelled");
}
