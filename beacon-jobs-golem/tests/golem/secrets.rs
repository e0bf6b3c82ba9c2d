//! The key is not printed, whatever is printed.

use beacon_jobs_golem::{Config, GolemExecutor};

use crate::bed::{Bed, input, quick};

const KEY: &str = "hunter2-key";

fn assert_clean(text: &str) {
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn no_form_of_anything_holds_the_key() {
    let bed = Bed::new().await;
    let config = Config::new(KEY).with_api_url(bed.yagna.url());
    assert_clean(&format!("{config:?} {config:#?}"));
    let builder = quick(&config);
    assert_clean(&format!("{builder:?} {builder:#?}"));
    let executor = GolemExecutor::new(&config).unwrap();
    assert_clean(&format!("{executor} {executor:?} {executor:#?}"));
    assert_clean(&format!("{:?}", executor.recover().await.unwrap_err()));
    // The daemon refuses this key, and what is recorded of that shows it neither.
    let _runner = bed.runner_with(builder).await;
    let record = bed.run(input("echo")).await;
    assert!(record.error.is_some());
    assert_clean(&format!("{record:?}"));
}
