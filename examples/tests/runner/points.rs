//! Points at which a node dies when a test has told it so.

use rustix::process::Signal;
use serde_json::json;
use stand_in::{Point, Points};
use tokio::process::Command;

use crate::provider::Provider;
use crate::support::{Place, Runner, TOKEN, command};

fn node(place: &Place, provider: &Provider, dies_at: Option<Point>) -> Command {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--poll-ms", "50"]);
    command.args(["--database", &place.database(), "--stand-in", &provider.url]);
    command.env("BEACON_ADMIN_TOKEN", TOKEN);
    if let Some(point) = dies_at {
        command.env(Points::VARIABLE, format!("abort@{}=1", point.as_str()));
    }
    command
}

/// What a node wrote that has died.
async fn last_words(mut node: Runner) -> String {
    assert_eq!(node.ended().await, None, "it ended by itself: {}", node.log());
    node.log()
}

#[tokio::test]
async fn a_node_dies_at_each_point_that_it_is_told() {
    let provider = Provider::start().await;
    for point in Point::ALL {
        let place = Place::new();
        let job = json!({"executions": [{"executor": "stand-in", "input": {}}]});
        let of_the_successor = matches!(point, Point::AfterTakeOver | Point::MidTakeOver);
        let dies_at = (!of_the_successor).then_some(point);
        let first = Runner::spawn(&place, &mut node(&place, &provider, dies_at)).await;
        let log =
            if matches!(point, Point::AfterClaim | Point::AfterStart | Point::AfterCreate | Point::AfterSave)
            {
                // It may be gone before it answers.
                first.client(&["submit", &place.job(&job)]).await;
                last_words(first).await
            } else {
                let id = first.submit(&place, &job).await;
                first.reaches(&id, "running", |job| job["executions"][0]["status"] == "running").await;
                if of_the_successor {
                    first.kill_9().await;
                    match Runner::try_spawn(&place, &mut node(&place, &provider, Some(point))).await {
                        Ok(second) => last_words(second).await,
                        Err(log) => log,
                    }
                } else {
                    if point == Point::AfterRelease {
                        first.signal(Signal::TERM);
                    } else {
                        first.client(&["cancel", &id]).await;
                    }
                    last_words(first).await
                }
            };
        let said = format!("aborted at {}", point.as_str());
        assert!(log.contains(&said), "not {said:?}: {log}");
    }
}
