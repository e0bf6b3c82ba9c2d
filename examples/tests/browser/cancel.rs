//! What a click on the button does, from the page to the processes.

use serde_json::{Value, json};

use crate::driver::browser;
use crate::support::{Children, Place, Runner, TOKEN, request, until};
use crate::wallet::Wallet;

/// A command that tells its own pid in a file and sleeps.
fn sleeper(place: &Place, children: &Children) -> Value {
    let pid = place.path("pid");
    children.input(&format!("echo $$ >{0}.new && mv {0}.new {0}; exec sleep 600", pid.display()))
}

fn is_alive(pid: u32) -> bool {
    // A process that has ended and was not waited for has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn cancel_job_success() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let execution = json!({"executor": "process", "input": children.input("sleep 600")});
    runner.submit(&place, &json!({"id": "job", "executions": [execution, execution]})).await;
    children.said("up", 2).await;
    browser("cancel_job_success", async |page| {
        page.open(&runner).await;
        page.press_cancel("job").await;
        let reason = page.element("return t.dialog('job').querySelector('input')").await;
        reason.send_keys("a wrong question").await.unwrap();
        page.confirm("job").await;
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job cancelled, and stopped", "{toast}");
        assert_eq!(toast["text"], "2 executions cancelled. 2 stopped, with evidence.");
        assert_eq!(toast["role"], "status");
        page.until("no button", "return !t.shown(t.button('job'))").await;
        page.until("the list", "return t.status('job') === 'cancelled'").await;
        children.all_gone().await;
        let job = runner.show("job").await;
        assert_eq!((&job["status"], &job["stops"]["confirmed"]), (&json!("cancelled"), &json!(2)), "{job}");
        assert_eq!(job["cancellation"]["reason"], "a wrong question");
        assert_eq!(job["cancellation"]["cancelled_by"], "admin");
    })
    .await;
}

#[tokio::test]
async fn cancel_job_unauthorized() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    browser("cancel_job_unauthorized", async |page| {
        page.go(&runner.url).await;
        let token = Wallet::new(1).sign_in(page).await;
        let job = json!({"id": "hers", "executions": [{"executor": "process", "input": children.input("sleep 600")}]});
        let submitted = request(&runner.url, "POST", "/api/v1/jobs", Some(&token), &job.to_string()).await;
        assert_eq!(submitted.unwrap().0, 201);
        children.said("up", 1).await;
        page.until("her job", "return t.status('hers') === 'running'").await;
        page.click("return document.getElementById('sign-out')").await;

        Wallet::new(2).sign_in(page).await;
        // The page of another does not list it; whoever knows its id has a button all the same.
        assert_eq!(page.get("return t.status('hers')").await, Value::Null);
        page.add_button("hers").await;
        page.cancel("hers").await;
        let toast = page.toast("error").await;
        assert_eq!((&toast["title"], &toast["role"]), (&json!("Not allowed"), &json!("alert")), "{toast}");
        assert_eq!(toast["text"], "The job belongs to somebody else.");
        assert!(page.get("return t.shown(t.button('hers')) && !t.button('hers').disabled").await == true);
        assert_eq!(page.get("return t.cancels().map((call) => call.status)").await, json!([403]));
        page.get("location.hash = 'job=hers'").await;
        page.until("a refusal", "return t.line() === 'Not allowed. The job belongs to somebody else.'").await;
        assert!(children.any_alive(), "it runs on");
        assert_eq!(runner.show("hers").await["status"], "running");
    })
    .await;
}

#[tokio::test]
async fn cancel_job_already_completed() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let go = place.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let job = json!({"id": "job", "executions": [{"executor": "process", "input": {"command": ["sh", "-c", script]}}]});
    runner.submit(&place, &job).await;
    browser("cancel_job_already_completed", async |page| {
        page.open(&runner).await;
        // It completes while the question is open, and the page of this button does not know yet.
        page.add_button("job").await;
        page.press_cancel("job").await;
        std::fs::write(&go, "").unwrap();
        runner.reaches("job", "completed", |job| job["status"] == "completed").await;
        page.confirm("job").await;
        let toast = page.toast("error").await;
        assert_eq!(toast["title"], "Too late to cancel", "{toast}");
        assert_eq!(toast["text"], "The job is completed already and can no longer be cancelled.");
        page.until("no button", "return !t.shown(t.button('job'))").await;
        assert_eq!(runner.show("job").await["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn cancel_job_not_found() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("cancel_job_not_found", async |page| {
        page.open(&runner).await;
        page.add_button("nowhere").await;
        page.cancel("nowhere").await;
        let toast = page.toast("error").await;
        assert_eq!(
            (&toast["title"], &toast["text"]),
            (&json!("No such job"), &json!("There is no job with this id."))
        );
        page.get("location.hash = 'job=nowhere'").await;
        page.until("a word", "return t.line() === 'No such job. There is no job with this id.'").await;
    })
    .await;
}

#[tokio::test]
async fn context_cancellation_propagates() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let job =
        json!({"id": "job", "executions": [{"executor": "process", "input": sleeper(&place, &children)}]});
    runner.submit(&place, &job).await;
    children.said("up", 1).await;
    until("its pid", async || place.path("pid").exists()).await;
    let pid: u32 = std::fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    browser("context_cancellation_propagates", async |page| {
        page.open_job(&runner, "job").await;
        page.cancel("job").await;
        let stopped = "const [row] = t.rows(); return row.stop === 'stopped' && row";
        let row = page.until("a stop with evidence", stopped).await;
        // The word is there: so the process is not.
        assert!(!is_alive(pid), "the page says stopped, and {pid} lives");
        children.all_gone().await;
        assert_eq!(row["status"], "cancelled");
    })
    .await;
}

#[tokio::test]
async fn from_the_form_to_the_end_of_the_computing() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("from_the_form_to_the_end", async |page| {
        page.open(&runner).await;
        page.until("the form", "return t.shown(document.getElementById('start'))").await;
        page.click("return document.getElementById('start')").await;
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job submitted");
        let id = page.until("its table", "return t.rows().length === 8 && document.getElementById('job').dataset.job").await;
        let id = id.as_str().unwrap();
        page.until("work", "return t.rows().every((row) => row.status === 'running' || row.status === 'queued') && t.rows().some((row) => row.status === 'running')").await;
        let first = runner.reaches(id, "running", |job| job["progress"]["running"].as_u64() >= Some(4)).await;
        assert_eq!(first["progress"]["total"], 8);
        page.click("return document.querySelector('beacon-toasts').shadowRoot.querySelector('.close')").await;
        // The table is grouped as it was asked for.
        let groups = "return [...t.progress().querySelectorAll('.question')].map((row) => row.textContent)";
        assert_eq!(page.get(groups).await, json!(["Which jobs suit whom?", "Who should lead, and why?"]));
        // The word stands there for one moment at least, if only a short one.
        page.run("window.words = []; new MutationObserver(() => words.push(t.button(arguments[0])?.textContent ?? '')).observe(t.button(arguments[0]), {childList: true, characterData: true, subtree: true})", &[json!(id)]).await;
        page.cancel(id).await;
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job cancelled, and stopped", "{toast}");
        assert_eq!(page.get("return words[0]").await, "Cancelling…");
        page.until("cancelled", &format!("return t.status('{id}') === 'cancelled'")).await;
        let rows = page.until("all settled", "const rows = t.rows(); return rows.every((row) => ['stopped', 'never started'].includes(row.stop)) && rows").await;
        let job = runner.show(id).await;
        for (row, execution) in rows.as_array().unwrap().iter().map(|row| {
            let place: usize = row["id"].as_str().unwrap().parse().unwrap();
            (row, &job["executions"][place])
        }) {
            assert_eq!((&row["status"], &execution["status"]), (&json!("cancelled"), &json!("cancelled")), "{row}");
            let began = execution["attempt"] != 0;
            assert_eq!(row["stop"] == "stopped", began, "{row} {execution}");
            assert_eq!(began, execution["stop"]["state"] == "confirmed", "{execution}");
            assert_eq!(execution["stop"]["evidence"].is_object(), began);
        }
        let supervised = request(&runner.url, "GET", &format!("/api/v1/jobs/{id}"), Some(TOKEN), "").await.unwrap().1;
        assert_eq!(supervised["progress"]["cancelled"], 8);
        until("no child", async || crate::support::children_of(runner.pid()).is_empty()).await;
    })
    .await;
}
