//! What comes back from real functions.

use beacon_jobs::job::ExecutionStatus;
use serde_json::json;

use crate::bed::Bed;
use crate::runtime;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_by_itself_gives_its_result_and_its_container_lives_on() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "ends").await;
    let ticks = bed.ticks("ticks");
    let record = bed.run("ends", json!([ticks.path()])).await;
    let expected = (Some(json!({ "ticks": 5 })), ExecutionStatus::Completed);
    assert_eq!((record.output, record.status), expected, "{:?}", record.error);
    assert_eq!(ticks.count(), 5);
    let [seen] = bed.containers();
    // It waits for its next input, as Modal's containers do.
    seen.asks(2).await;
    assert!(seen.gone.borrow().is_none());
}
