use serde_json::json;

use crate::support::{Place, Runner, TOKEN};

#[tokio::test]
async fn the_runners_variables_never_reach_a_child() {
    let place = Place::new();
    let secret = "hunter2-in-the-environment";
    let runner = Runner::start_with(&place, &[], |command| {
        command.env("AWS_SECRET_ACCESS_KEY", secret).env("BEACON_TOKEN", secret);
    })
    .await;
    let job = json!({"executions": [
        {"executor": "process", "input": {"command": ["env"], "env": {"ASKED_FOR": "this"}}},
        {"executor": "process", "input": {"command": ["sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/environ"]}},
    ]});
    let id = runner.submit(&place, &job).await;
    let job =
        runner.reaches(&id, "over", |job| job["status"] != "running" && job["status"] != "queued").await;
    assert_eq!(job["status"], "completed", "{job:#}");
    let names = |index: usize| -> Vec<String> {
        let text = job["executions"][index]["output"]["stdout"].as_str().unwrap();
        text.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect()
    };
    let known = ["PATH", "HOME", "LANG", "TMPDIR", "ASKED_FOR", "BEACON_JOBS_ATTEMPT", "PWD", "SHLVL", "_"];
    let strangers: Vec<String> =
        names(0).into_iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert_eq!(strangers, Vec::<String>::new());
    assert!(names(0).contains(&"ASKED_FOR".to_owned()));
    // Nor can a child read them from its parent, the supervisor.
    let parent = job["executions"][1]["output"]["stdout"].as_str().unwrap();
    assert!(!parent.contains(secret) && !parent.contains(TOKEN), "{parent}");
}
