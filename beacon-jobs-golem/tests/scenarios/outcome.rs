//! Work from its input to its outcome, and what it costs.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::job::{ExecutionStatus, FailureKind};
use beacon_jobs::stop::StopState;
use serde_json::json;

use super::bed::{Bed, input, until};
use super::{Trouble, World};

pub(crate) async fn work_runs_to_its_output_and_costs_what_the_invoice_says<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    let mut asked = input("echo");
    asked["commands"].as_array_mut().unwrap().push(json!({ "run": { "entry_point": "echo" } }));
    let record = bed.outcome(&bed.submit(asked).await).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    let output = record.output.unwrap();
    let results = [json!("one\ntwo\n"), json!(null)];
    let results = results.map(|said| json!({ "ok": true, "stdout": said, "stderr": null }));
    assert_eq!(output["results"], json!(results));
    let cost = json!({
        "amount": "0.01", "platform": "erc20-holesky-tglm", "state": "accepted", "invoice": output["cost"]["invoice"],
    });
    assert_eq!(output["cost"], cost);
    assert!(output["provider"]["id"].as_str().unwrap().starts_with("0x"), "{output}");
    assert_eq!(output["agreement"].as_str().unwrap().len(), 64, "{output}");
    bed.clean().await;
    assert_eq!((bed.books().await.invoices_accepted, bed.begun()), (1, 1));
}

pub(crate) async fn a_command_that_fails_is_named_with_what_it_said<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    let mut asked = input("echo");
    asked["commands"].as_array_mut().unwrap().push(json!({ "run": { "entry_point": "fail" } }));
    let failure = bed.failure(asked).await;
    assert_eq!(failure.kind, FailureKind::Failed);
    let said = "commands[1] (run fail) failed: ExeScript command exited with code 1: no such model";
    assert_eq!(failure.message, said);
    bed.clean().await;
}

pub(crate) async fn an_image_that_cannot_be_deployed_is_told_so<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    let mut asked = input("echo");
    let image = json!({ "hash": "ab".repeat(28), "url": "http://127.0.0.1:9/image.gvmi" });
    asked["runtime"] = json!({ "image": image });
    let failure = bed.failure(asked).await;
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("could not deploy"), "{failure}");
    bed.clean().await;
    assert_eq!(bed.begun(), 0);
}

pub(crate) async fn no_offer_that_fits_is_told_so<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let executor = world.executor().with_offers(Duration::from_secs(2), Duration::ZERO);
    let _runner = bed.runner_with(executor).await;
    let mut asked = input("echo");
    asked["runtime"] = json!({ "name": "nobody-has-this" });
    let failure = bed.failure(asked).await;
    assert!(failure.message.contains("no provider's offer fits"), "{failure}");
    bed.clean().await;
}

pub(crate) async fn an_invoice_that_comes_late_is_settled_after_the_output<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    world.make(Trouble::InvoiceAfter(Duration::from_secs(2))).await;
    let executor = world.executor().with_invoices(Duration::from_millis(100), Duration::from_secs(60));
    let _runner = bed.runner_with(executor).await;
    let record = bed.outcome(&bed.submit(input("echo")).await).await;
    assert_eq!(record.output.unwrap()["cost"]["state"], json!("open"));
    let books = bed.books().await;
    assert_eq!((books.invoices_accepted, books.allocations), (0, 1), "the money waits for it");
    bed.clean().await;
    assert_eq!(bed.books().await.invoices_accepted, 1);
}

pub(crate) async fn debit_notes_are_accepted_until_a_cancel<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    world.make(Trouble::NoteEvery(Some(Duration::from_millis(200)))).await;
    let runner = bed.runner().await;
    let id = bed.computing().await;
    until("notes are accepted", async || bed.books().await.notes_accepted >= 2).await;
    // The provider lives on, and goes on to send notes.
    world.make(Trouble::EndsAfter(Duration::from_secs(2))).await;
    bed.cancel(&id).await;
    until("it is watched no more", async || runner.running_attempts() == 0).await;
    let accepted = bed.books().await.notes_accepted;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
    let books = bed.books().await;
    assert_eq!(books.notes_accepted, accepted, "a note was accepted after the cancel");
    assert_eq!(books.invoices_accepted, 1);
}
