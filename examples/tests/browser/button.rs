//! The button and its question: when it is there, when it can be pressed, and with which keys.

use serde_json::json;
use thirtyfour::Key;

use crate::driver::browser;
use crate::page::Page;
use crate::support::{Children, Place, Runner};

/// A job whose end waits for a file, so that a cancel stays on its way as long as a test likes.
pub(crate) async fn slow_job(place: &Place, children: &mut Children, runner: &Runner, id: &str) {
    let go = place.path("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done; exit 0", go.display());
    let script = format!("trap '{wait}' TERM; while :; do sleep 0.05; done");
    let labels = json!({"region": "us-east", "model": "llama3.2-1b", "question": "Who should lead?"});
    let job = json!({"id": id, "executions": [{"executor": "process", "labels": labels, "input": children.input(&script)}]});
    runner.submit(place, &job).await;
    children.said("up", 1).await;
}

/// Lets the work of a slow job end.
pub(crate) fn let_end(place: &Place) {
    std::fs::write(place.path("go"), "").unwrap();
}

async fn sleeping(place: &Place, children: &mut Children, runner: &Runner, id: &str) {
    let job =
        json!({"id": id, "executions": [{"executor": "process", "input": children.input("sleep 600")}]});
    runner.submit(place, &job).await;
    children.said("up", 1).await;
}

async fn keys(page: &Page, keys: &[&str]) {
    for key in keys {
        page.driver.action_chain().send_keys(*key).perform().await.unwrap();
    }
}

#[tokio::test]
async fn button_shows_for_active_jobs_and_hides_for_all_others() {
    let place = Place::new();
    let children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let of = |id: &str, command: serde_json::Value| json!({"id": id, "executions": [{"executor": "process", "input": command}]});
    runner.submit(&place, &of("completed", json!({"command": ["true"]}))).await;
    runner.submit(&place, &of("failed", json!({"command": ["false"]}))).await;
    runner.submit(&place, &of("running", children.input("sleep 600"))).await;
    runner.submit(&place, &of("cancelled", json!({"command": ["sleep", "600"]}))).await;
    runner.client(&["cancel", "cancelled", "--wait", "30"]).await;
    for status in ["completed", "failed", "cancelled", "running"] {
        runner.reaches(status, status, |job| job["status"] == status).await;
    }
    browser("button_shows", async |page| {
        page.open(&runner).await;
        for status in ["completed", "failed", "cancelled", "running"] {
            page.until(status, &format!("return t.status('{status}') === '{status}'")).await;
            let shown = page.get(&format!("return t.shown(t.button('{status}'))")).await;
            assert_eq!(shown, status == "running", "{status}");
        }
        // One that follows its job by itself shows too, and goes when the job ends without it.
        page.add_button("running").await;
        page.get("t.host('running').removeAttribute('status')").await;
        page.until("the button", "return t.shown(t.button('running'))").await;
        runner.client(&["cancel", "running", "--wait", "30"]).await;
        page.until("no button", "return !t.shown(t.button('running'))").await;
        page.until("no button in the list", "return !t.shown(document.querySelector('tr[data-job=running] beacon-cancel-button').shadowRoot.querySelector('button'))").await;
        assert_eq!(page.get("return t.cancels().length").await, 0);
    })
    .await;
}

#[tokio::test]
async fn disabled_while_cancelling_and_told_to_stop_is_not_stopped() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "job").await;
    browser("disabled_while_cancelling", async |page| {
        page.open_job(&runner, "job").await;
        page.cancel("job").await;
        let busy = "const button = t.button('job'); return button.disabled && button.textContent === 'Cancelling…' && t.host('job').getAttribute('state') === 'cancelling'";
        page.until("the word", busy).await;
        assert_eq!(page.get("return t.button('job').getAttribute('aria-busy')").await, "true");
        // The process was told, and lives.
        page.until("it was told", "return t.rows()[0].stop === 'stopping'").await;
        assert!(children.any_alive());
        let told = page.get("return [t.text(t.progress()), JSON.stringify(t.toasts())].join(' ')").await;
        assert!(!told.as_str().unwrap().contains("stopped"), "{told}");
        // The answer comes before the end: its words are as careful.
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job cancelled", "{toast}");
        assert_eq!(toast["text"], "1 execution cancelled. 1 stopping.");
        page.until("no button", "return !t.shown(t.button('job'))").await;
        assert_eq!(page.get("return t.rows()[0].stop").await, "stopping");
        assert!(children.any_alive());
        let_end(&place);
        let row = page.until("stopped", "const [row] = t.rows(); return row.stop === 'stopped' && row").await;
        assert!(row["result"].as_str().unwrap().contains("level "), "{row}");
        assert_eq!(page.get("return t.stops()").await, "Stops: 1 stopped, with evidence.");
        children.all_gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_double_click_sends_one_request() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "job").await;
    browser("double_click", async |page| {
        page.open(&runner).await;
        page.press_cancel("job").await;
        let confirm = page.element("return t.dialog('job').querySelector('.confirm')").await;
        page.driver.action_chain().double_click_element(&confirm).perform().await.unwrap();
        page.until("the word", "return t.button('job').disabled").await;
        // Clicks of a script find no way around it either.
        page.get("t.button('job').click(); t.host('job').cancel(); t.dialog('job').querySelector('form').requestSubmit()").await;
        let_end(&place);
        page.toast("success").await;
        assert_eq!(page.get("return t.cancels().map((call) => call.status)").await, json!([200]));
        assert_eq!(page.get("return t.toasts().length").await, 1);

        // Without a question, too.
        sleeping(&place, &mut children, &runner, "other").await;
        page.add_button("other").await;
        page.get("t.host('other').setAttribute('no-confirm', '')").await;
        let button = page.element("return t.button('other')").await;
        page.driver.action_chain().double_click_element(&button).perform().await.unwrap();
        page.until("a second message", "return t.toasts().length === 2").await;
        assert_eq!(page.get("return t.cancels().length").await, 2);
    })
    .await;
}

#[tokio::test]
async fn keyboard_only() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    sleeping(&place, &mut children, &runner, "job").await;
    let focus = "let at = document.activeElement; while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; return at ? at.textContent || at.id || at.tagName : ''";
    browser("keyboard_only", async |page| {
        page.open(&runner).await;
        page.until("the button", "return t.shown(t.button('job'))").await;
        let tab = Key::Tab.value().to_string();
        let (escape, enter) = (Key::Escape.value().to_string(), Key::Enter.value().to_string());
        for _ in 0..40 {
            if page.get(focus).await == "Cancel Job" {
                break;
            }
            keys(page, &[&tab]).await;
        }
        assert_eq!(page.get(focus).await, "Cancel Job", "the button is reached with Tab");
        keys(page, &[&enter]).await;
        page.until("the question", "return t.dialog('job').open").await;
        assert_eq!(page.get(focus).await, "reason");
        // Round the dialog and back: the page behind is not reached.
        for _ in 0..8 {
            keys(page, &[&tab]).await;
            let inside = page.get("return t.host('job').shadowRoot.activeElement?.closest('dialog') !== null || document.activeElement === document.body").await;
            assert!(inside == true, "the focus left the dialog: {}", page.get(focus).await);
        }
        keys(page, &[&escape]).await;
        page.until("closed", "return !t.dialog('job').open").await;
        assert_eq!(page.get(focus).await, "Cancel Job", "the focus is given back");
        assert_eq!(page.get("return t.cancels().length").await, 0, "Escape cancels nothing");
        keys(page, &[" "]).await;
        page.until("the question again", "return t.dialog('job').open").await;
        keys(page, &["by hand", &enter]).await;
        page.toast("success").await;
        children.all_gone().await;
        assert_eq!(runner.show("job").await["cancellation"]["reason"], "by hand");
    })
    .await;
}
