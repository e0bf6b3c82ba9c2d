//! Each way in which the server can misbehave does what it says.

use std::time::Duration;

use beacon_jobs::{AttemptId, JobId, RandomIds};
use stand_in::{CallError, Client, Create, Event, Faults, Input, Look, Server, State, WhenTold, Work};

const PATIENT: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_millis(50);

fn order(input: Input) -> Create {
    Create {
        attempt: AttemptId::mint(&RandomIds),
        job: JobId::mint(&RandomIds),
        index: 0,
        begin: false,
        refuses_start_after_stop: false,
        lifetime_ms: None,
        input,
    }
}

fn with(faults: Faults) -> Create {
    order(Input { faults, ..Input::default() })
}

async fn server() -> (Server, Client) {
    let server = Server::open().await.unwrap();
    let client = Client::new(server.url(), "a test");
    (server, client)
}

async fn begun(client: &Client, order: &Create) -> Work {
    let work = client.create(order, PATIENT).await.unwrap().work;
    assert_eq!(client.begin(&work, PATIENT).await.unwrap().state, State::Alive);
    work
}

/// Waits until work computes no more.
async fn over(client: &Client, work: &Work) -> State {
    loop {
        let Look { state, .. } = client.look(work, Duration::from_secs(1), PATIENT).await.unwrap();
        if state != State::Alive {
            return state;
        }
    }
}

/// Waits until something stands in the log.
async fn logged(server: &Server, event: Event) {
    while !server.floor().log().iter().any(|entry| entry.event == event) {
        tokio::task::yield_now().await;
    }
}

fn is_lost<T>(answer: &Result<T, CallError>) -> bool {
    matches!(answer, Err(CallError::NoAnswer(_)))
}

fn is_failing<T>(answer: &Result<T, CallError>) -> bool {
    matches!(answer, Err(CallError::Refused(status, _)) if status.as_u16() == 503)
}

#[tokio::test]
async fn what_its_sender_gave_up_has_its_effect_all_the_same() {
    let (server, client) = server().await;
    let slow = with(Faults { create_takes_ms: 300, begin_takes_ms: 300, ..Faults::default() });
    assert!(is_lost(&client.create(&slow, HASTY).await));
    assert!(server.floor().log().is_empty(), "not yet");
    logged(&server, Event::Created).await;
    let work = client.create(&slow, PATIENT).await.unwrap().work;
    assert!(is_lost(&client.begin(&work, HASTY).await));
    assert_eq!(server.floor().alive(), 0, "not yet");
    logged(&server, Event::Begun).await;
    assert_eq!(server.floor().alive(), 1);
}

#[tokio::test]
async fn a_reply_is_lost_after_its_effect_as_often_as_was_said() {
    let (server, client) = server().await;
    let lossy = with(Faults { lost_creates: 1, lost_begins: 1, ..Faults::default() });
    assert!(is_lost(&client.create(&lossy, PATIENT).await));
    let work = client.create(&lossy, PATIENT).await.unwrap().work;
    assert_eq!((work.work, server.floor().begun()), (1, 0), "both are there");
    assert!(is_lost(&client.begin(&work, PATIENT).await));
    assert_eq!(server.floor().alive(), 1);
}

#[tokio::test]
async fn calls_that_fail_or_hang_have_no_effect() {
    let (server, client) = server().await;
    let faults = Faults { failing_creates: 1, failing_stops: 1, failing_looks: 1, ..Faults::default() };
    let order = with(faults);
    assert!(is_failing(&client.create(&order, PATIENT).await));
    assert!(server.floor().log().is_empty());
    let work = begun(&client, &order).await;
    assert!(is_failing(&client.stop(&work, true, PATIENT).await));
    assert!(is_failing(&client.look(&work, Duration::ZERO, PATIENT).await));
    client.set_faults(&Faults { failing_calls: 2, hanging_calls: 1, ..Faults::default() }).await.unwrap();
    assert!(is_lost(&client.stop(&work, true, HASTY).await), "it hangs");
    for _ in 0..2 {
        assert!(is_failing(&client.stop(&work, true, PATIENT).await));
    }
    assert_eq!(client.look(&work, Duration::ZERO, PATIENT).await.unwrap().state, State::Alive);
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Ended);
}

#[tokio::test]
async fn work_goes_on_for_a_while_after_its_stop_was_heard() {
    let (server, client) = server().await;
    let work = begun(&client, &with(Faults { works_on_ms: 200, ..Faults::default() })).await;
    for _ in 0..2 {
        assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Alive);
    }
    assert_eq!(over(&client, &work).await, State::Ended);
    let log = server.floor().log();
    let at = |event| log.iter().find(|entry| entry.event == event).unwrap().at;
    assert!(at(Event::Ended) - at(Event::Told) >= 200_000, "{log:?}");
}

#[tokio::test]
async fn a_server_that_never_confirms_does_so_once_that_is_taken_back() {
    let (_server, client) = server().await;
    client.set_faults(&Faults { never_confirms: true, ..Faults::default() }).await.unwrap();
    let work = begun(&client, &order(Input::default())).await;
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Alive);
    client.set_faults(&Faults::default()).await.unwrap();
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Ended);
}

#[tokio::test]
async fn a_begin_after_a_stop_begins_unless_the_order_says_otherwise() {
    let (server, client) = server().await;
    let mut order = order(Input::default());
    let work = client.create(&order, PATIENT).await.unwrap().work;
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Created);
    assert_eq!(client.begin(&work, PATIENT).await.unwrap().state, State::Alive);
    order.refuses_start_after_stop = true;
    let work = client.create(&order, PATIENT).await.unwrap().work;
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Void);
    assert_eq!(client.begin(&work, PATIENT).await.unwrap().state, State::Void);
    assert!(server.floor().log().iter().any(|entry| entry.event == Event::RefusedToBegin));
}

#[tokio::test]
async fn work_ends_by_itself_saves_itself_pays_no_heed_or_has_lived_too_long() {
    let (_server, client) = server().await;
    let work = begun(&client, &order(Input { milliseconds: Some(20), ..Input::default() })).await;
    assert!(matches!(over(&client, &work).await, State::Completed { .. }));
    let work =
        begun(&client, &order(Input { milliseconds: Some(20), fails: true, ..Input::default() })).await;
    assert_eq!(over(&client, &work).await, State::Failed);
    let saves = Input { when_told: WhenTold::SavesItself, ..Input::default() };
    let work = begun(&client, &order(saves)).await;
    assert!(matches!(client.stop(&work, false, PATIENT).await.unwrap().state, State::Saved { .. }));
    let ignores = Input { when_told: WhenTold::Ignores, ..Input::default() };
    let work = begun(&client, &order(ignores)).await;
    assert_eq!(client.stop(&work, false, PATIENT).await.unwrap().state, State::Alive);
    assert_eq!(client.stop(&work, true, PATIENT).await.unwrap().state, State::Ended);
    let work = begun(&client, &Create { lifetime_ms: Some(50), ..order(Input::default()) }).await;
    assert_eq!(over(&client, &work).await, State::Ended);
}

#[tokio::test]
async fn another_server_does_not_know_the_work() {
    let ((_one, client), (_other, stranger)) = (server().await, server().await);
    let work = begun(&client, &order(Input::default())).await;
    assert!(matches!(stranger.stop(&work, true, PATIENT).await, Err(CallError::Unknown)));
    assert_eq!(client.alive().await.unwrap().len(), 1);
}
