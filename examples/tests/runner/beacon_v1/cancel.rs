use serde_json::json;

use super::portal::{OPEN, ORIGIN, address, public_key, send, send_with, signed, spec, wallet_auth, wrapped};
use super::{polled, runner_for, runner_with_children, show, words};
use crate::support::{Children, Place, TOKEN, is_settled, request};

#[tokio::test]
async fn the_page_submits_polls_and_cancels_and_the_children_are_dead() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = runner_with_children(&place, &children).await;
    let mut spec = spec("bias-detection-1");
    spec["wallet_auth"] = wallet_auth(7, &public_key());
    let answer = send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&spec))).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    // Rows are there from the start, whatever runs yet.
    let rows = show(&runner, "bias-detection-1").await.body["executions"].as_array().unwrap().len();
    assert_eq!(rows, 4);
    children.said("up", 4).await;
    let job =
        polled(&runner, "bias-detection-1", "all rows to run", |job| words(job) == ["running"; 4]).await;
    assert_eq!(job["status"], "processing");

    let answer = send(&runner.url, "POST", "/api/v1/jobs/bias-detection-1/cancel", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = [
        "cancelled_at",
        "context_cancelled",
        "executions_cancelled",
        "job_id",
        "new_status",
        "ok",
        "previous_status",
    ];
    assert_eq!(answer.keys(), expected);
    assert_eq!(answer.body["ok"], true);
    assert_eq!(
        (&answer.body["previous_status"], &answer.body["new_status"]),
        (&json!("processing"), &json!("cancelled"))
    );
    assert_eq!(
        (&answer.body["executions_cancelled"], &answer.body["context_cancelled"]),
        (&json!(4), &json!(true))
    );
    children.all_gone().await;

    let job = show(&runner, "bias-detection-1").await.body;
    assert_eq!((job["status"].as_str(), words(&job)), (Some("cancelled"), vec!["cancelled"; 4]));
    let again = send(&runner.url, "POST", "/api/v1/jobs/bias-detection-1/cancel", "").await;
    let expected = json!({
        "ok": true, "message": "job already in terminal state", "job_id": "bias-detection-1", "status": "cancelled"
    });
    assert_eq!((again.status, again.body), (200, expected));

    // The same job, with its owner, evidence and record, through the API.
    let job = runner.reaches("bias-detection-1", "settled", is_settled).await;
    assert_eq!(job["job"]["owner"], address(7));
    assert_eq!(job["cancellation"]["cancelled_by"], "anonymous");
    assert_eq!((&job["stops"]["total"], &job["stops"]["confirmed"]), (&json!(4), &json!(4)), "{job:#}");
    assert!(job["executions"][0]["stop"]["evidence"].is_object(), "{job:#}");
    let (_, audit) =
        request(&runner.url, "GET", "/api/v1/jobs/bias-detection-1/audit", Some(TOKEN), "").await.unwrap();
    let audit = audit.to_string();
    assert!(audit.contains("\"cancelled\"") && audit.contains("\"anonymous\""), "{audit}");
    let row = &show(&runner, "bias-detection-1").await.body["executions"][0];
    assert_eq!(row["stop"]["state"], "confirmed");
}

#[tokio::test]
async fn without_the_policy_by_name_nothing_that_a_portal_has_cancels() {
    for policy in ["required", "when_present"] {
        let place = Place::new();
        let mut children = Children::new(&place);
        let runner = runner_for(&place, &children.input("sleep 600"), &["--cancel-policy", policy]).await;
        assert!(runner.log().contains("a portal's Cancel is refused"), "{}", runner.log());
        let mut spec = spec("bias-detection-1");
        spec["wallet_auth"] = wallet_auth(7, &public_key());
        let signed = signed(&spec);
        send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed)).await;
        children.said("up", 4).await;

        let cancel = "/api/v1/jobs/bias-detection-1/cancel";
        // Neither nothing, nor the proofs of the spec itself.
        for body in
            [String::new(), signed.to_string(), json!({ "wallet_auth": spec["wallet_auth"] }).to_string()]
        {
            let answer = send(&runner.url, "POST", cancel, &body).await;
            answer.refused(401, "unauthorized");
            assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        }
        send(&runner.url, "POST", "/api/v1/jobs/nobody/cancel", "").await.refused(401, "unauthorized");
        let signature = spec["wallet_auth"]["signature"].as_str().unwrap();
        let bearer = format!("Content-Type: application/json\r\nAuthorization: Bearer {signature}\r\n");
        assert_eq!(send_with(&runner.url, "POST", cancel, &bearer, "").await.status, 401);
        assert_eq!(show(&runner, "bias-detection-1").await.body["status"], "processing");
        assert!(children.any_alive());

        // Somebody who is known cancels at the same path.
        let (status, answer) =
            request(&runner.url, "POST", &format!("{cancel}?wait=60"), Some(TOKEN), "").await.unwrap();
        assert_eq!((status, &answer["cancelled_by"]), (200, &json!("admin")), "{answer}");
        children.all_gone().await;
    }
}

#[tokio::test]
async fn a_job_that_is_over_or_not_there_is_told_as_the_page_reads_it() {
    let place = Place::new();
    let runner = runner_for(&place, &json!({ "command": ["true"] }), &OPEN).await;
    send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&spec("bias-detection-1"))))
        .await;
    polled(&runner, "bias-detection-1", "completed", |job| job["status"] == "completed").await;
    let answer = send(&runner.url, "POST", "/api/v1/jobs/bias-detection-1/cancel", "").await;
    assert_eq!((answer.status, &answer.body["message"]), (200, &json!("job already in terminal state")));
    assert_eq!(answer.body["status"], "completed");
    let answer = send(&runner.url, "POST", "/api/v1/jobs/nobody/cancel", "").await;
    answer.refused(404, "job not found");
    assert_eq!(answer.body["job_id"], "nobody");
    send(&runner.url, "POST", "/api/v1/jobs/%00/cancel", "").await.refused(404, "job not found");
}
