//! The list of jobs, the address, and what is shown beside the button.

use serde_json::json;

use crate::button::{let_end, slow_job};
use crate::driver::browser;
use crate::support::{Children, Place, Runner, TOKEN};

#[tokio::test]
async fn the_token_leaves_the_address_and_stays_in_the_tab() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("token", async |page| {
        page.open(&runner).await;
        let address = "return [location.href, document.documentElement.outerHTML, history.length, ...performance.getEntriesByType('resource').map((one) => one.name), ...t.calls.map((call) => call.url)].join(' ')";
        let told = page.get(address).await;
        assert!(!told.as_str().unwrap().contains(TOKEN), "{told}");
        assert_eq!(page.get("return location.hash").await, "");
        page.until("calls with the header", &format!("return t.calls.some((call) => call.headers.Authorization === 'Bearer {TOKEN}' && call.status === 200)")).await;
        assert_eq!(page.get("return localStorage.length").await, 0);
        page.driver.refresh().await.unwrap();
        page.until("still signed in", "return t.shown(document.getElementById('work'))").await;
        // Another's link with a job in it is followed, and its token taken out all the same.
        page.go(&format!("{}/#token={TOKEN}&job=x", runner.url)).await;
        page.until("the job stays", "return location.hash === '#job=x'").await;
    })
    .await;
}

#[tokio::test]
async fn the_list_refreshes_in_place() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "first").await;
    browser("list", async |page| {
        page.open(&runner).await;
        page.press_cancel("first").await;
        page.get("t.host('first').kept = true").await;
        runner.submit(&place, &json!({"id": "second", "executions": [{"executor": "process", "input": {"command": ["true"]}}]})).await;
        page.until("the new one", "return t.status('second') === 'completed'").await;
        let order = page.get("return [...document.querySelectorAll('tr[data-job]')].map((row) => row.dataset.job)").await;
        assert_eq!(order, json!(["second", "first"]), "newest first");
        // The row with the open question is the same one.
        assert!(page.get("return t.host('first').kept && t.dialog('first').open").await == true);
        page.confirm("first").await;
        page.until("cancelled", "return t.status('first') === 'cancelled'").await;
        let_end(&place);
        children.all_gone().await;
    })
    .await;
}

#[tokio::test]
async fn older_jobs_are_read_on_demand() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--no-runner"]).await;
    for number in 0..60 {
        let job = json!({"id": format!("job-{number:02}"), "executions": [{"executor": "process", "input": {"command": ["true"]}}]});
        let (status, _) =
            crate::support::request(&runner.url, "POST", "/api/v1/jobs", Some(TOKEN), &job.to_string())
                .await
                .unwrap();
        assert_eq!(status, 201);
    }
    browser("older", async |page| {
        page.open(&runner).await;
        page.until("a page", "return document.querySelectorAll('tr[data-job]').length === 50").await;
        page.click("return document.getElementById('older')").await;
        page.until("all", "return document.querySelectorAll('tr[data-job]').length === 60").await;
        let order = page.get("const ids = [...document.querySelectorAll('tr[data-job]')].map((row) => row.dataset.job); return String(ids) === String([...ids].sort().reverse())").await;
        assert_eq!(order, true);
        assert!(page.get("return t.shown(document.getElementById('older'))").await == false);
    })
    .await;
}

#[tokio::test]
async fn evidence_is_shown_as_the_server_has_it() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let lane = |question: &str| json!({"executor": "process", "lane": "one", "labels": {"question": question, "model": "m", "region": "r"}, "input": children.input("sleep 600")});
    let job = json!({"id": "job", "executions": [lane("q1"), lane("q2")]});
    runner.submit(&place, &job).await;
    children.said("up", 1).await;
    browser("evidence", async |page| {
        page.open_job(&runner, "job").await;
        page.cancel("job").await;
        let rows = page
            .until(
                "both",
                "const rows = t.rows(); return rows[0].stop === 'stopped' && rows[1].stop !== '' && rows",
            )
            .await;
        assert_eq!(rows[1]["stop"], "never started", "{rows}");
        assert_eq!(
            page.get("return t.stops()").await,
            "Stops: 1 stopped, with evidence, 1 with nothing to stop."
        );
        page.click("return t.progress().querySelector('details.evidence summary')").await;
        let text = page
            .until(
                "the whole",
                "return t.progress().querySelector('details.evidence pre').textContent || null",
            )
            .await;
        let shown: serde_json::Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let job = runner.show("job").await;
        assert_eq!(shown["evidence"], job["executions"][0]["stop"]["evidence"]);
        assert_eq!(shown["confirmed_at"], job["executions"][0]["stop"]["confirmed_at"]);
        let line = page.get("return t.line()").await;
        assert!(line.as_str().unwrap().starts_with("Cancelled by admin"), "{line}");
    })
    .await;
}

#[tokio::test]
async fn without_tokens_nobody_is_asked_to_sign_in() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--auth", "open"]).await;
    browser("open", async |page| {
        page.go(&runner.url).await;
        page.until("the form", "return t.shown(document.getElementById('start'))").await;
        page.click("return document.getElementById('start')").await;
        let id = page
            .until("its table", "return t.rows().length === 8 && document.getElementById('job').dataset.job")
            .await;
        page.cancel(id.as_str().unwrap()).await;
        page.until("done", "return t.toasts().some((toast) => toast.title === 'Job cancelled, and stopped')")
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_job_file_that_is_refused_is_refused_in_words() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("job_file", async |page| {
        page.open(&runner).await;
        page.until("the form", "return t.shown(document.getElementById('start'))").await;
        page.get("document.getElementById('file').value = JSON.stringify({executions: [], wrong: 1})").await;
        page.click("return document.getElementById('start')").await;
        let note = "const note = document.getElementById('submit-problem'); return t.shown(note) && note.textContent";
        let told = page.until("a word", note).await;
        assert!(told.as_str().unwrap().starts_with("Refused (422). Wrong: "), "{told}");
        page.get("document.getElementById('file').value = '{'").await;
        page.click("return document.getElementById('start')").await;
        page.until("another", "return document.getElementById('submit-problem').textContent.startsWith('The job file is not JSON')").await;
    })
    .await;
}
