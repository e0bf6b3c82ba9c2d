//! What goes wrong around a page: it is loaded again, its server goes away, its sign-in ends.

use rustix::process::Signal;
use serde_json::json;

use crate::button::{let_end, slow_job};
use crate::driver::browser;
use crate::support::{Children, Place, Runner, TOKEN, command};
use crate::wallet::Wallet;

/// Starts a runner at the address of one that has ended.
async fn again(place: &Place, url: &str) -> Runner {
    let address = url.strip_prefix("http://").unwrap();
    let mut command =
        command(&["serve", "--listen", address, "--poll-ms", "50", "--database", &place.database()]);
    command.env("BEACON_ADMIN_TOKEN", TOKEN);
    Runner::spawn(place, &mut command).await
}

#[tokio::test]
async fn a_reload_in_the_middle_of_a_cancel_changes_nothing() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "job").await;
    browser("reload", async |page| {
        page.open_job(&runner, "job").await;
        page.cancel("job").await;
        page.until("the request is under way", "return t.cancels().length === 1").await;
        runner.reaches("job", "cancelled", |job| job["status"] == "cancelled").await;
        page.driver.refresh().await.unwrap();
        page.until("the truth", "return t.status('job') === 'cancelled' && t.rows()[0]?.stop === 'stopping'")
            .await;
        assert!(page.get("return t.shown(t.button('job'))").await == false);
        let_end(&place);
        page.until("stopped", "return t.rows()[0].stop === 'stopped'").await;
        children.all_gone().await;
    })
    .await;
}

#[tokio::test]
async fn the_server_is_away_and_comes_back() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let url = runner.url.clone();
    slow_job(&place, &mut children, &runner, "job").await;
    browser("server_down", async |page| {
        page.open_job(&runner, "job").await;
        page.until("live", "return t.progress().querySelector('.link').textContent === 'Live'").await;
        page.press_cancel("job").await;
        runner.kill_9().await;
        page.confirm("job").await;
        let toast = page.toast("error").await;
        assert_eq!(toast["title"], "No answer from the server", "{toast}");
        assert!(toast["text"].as_str().unwrap().contains("Whether the job was cancelled is not known"), "{toast}");
        assert!(page.get("return t.shown(t.button('job')) && !t.button('job').disabled").await == true);
        page.until("a word", "return t.shown(document.getElementById('away'))").await;
        page.until("the table's word", "return t.progress().querySelector('.link').textContent.startsWith('Connection lost')").await;
        // Nobody heard it: the job runs on, and the next press ends it.
        let runner = again(&place, &url).await;
        page.until("back", "return !t.shown(document.getElementById('away')) && t.progress().querySelector('.link').textContent === 'Live'").await;
        runner.reaches("job", "running", |job| job["progress"]["running"] == 1).await;
        let_end(&place);
        page.cancel("job").await;
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job cancelled, and stopped", "{toast}");
        page.until("the table goes on", "return t.rows()[0].stop === 'stopped'").await;
        // The table went on after the last event that it had.
        let ids = page.get("return t.calls.filter((call) => call.url.endsWith('/events') && call.status === 200).map((call) => Boolean(call.headers['Last-Event-ID']))").await;
        assert_eq!(ids, json!([false, true]));
        children.all_gone().await;
        drop(runner);
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_that_has_ended_is_told_in_words() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "job").await;
    browser("signed_out_elsewhere", async |page| {
        page.go(&runner.url).await;
        let token = Wallet::new(3).sign_in(page).await;
        page.add_button("job").await;
        page.press_cancel("job").await;
        // The session ends in another place.
        let ended = crate::support::request(&runner.url, "DELETE", "/api/v1/auth/session", Some(&token), "").await;
        assert_eq!(ended.unwrap().0, 204);
        page.confirm("job").await;
        let toast = page.toast("error").await;
        assert_eq!((&toast["title"], &toast["text"]), (&json!("Not signed in"), &json!("The credential is not valid.")));
        let note = "const note = document.getElementById('sign-in-problem'); return t.shown(note) && note.textContent";
        page.until("the way back in", note).await;
        assert_eq!(page.get("return sessionStorage.length").await, 0);
        assert_eq!(page.get("return document.querySelectorAll('tr[data-job]').length").await, 0, "nothing of the list is left");
        assert_eq!(runner.show("job").await["status"], "running");
    })
    .await;
}

#[tokio::test]
async fn two_tabs_tell_the_same() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    slow_job(&place, &mut children, &runner, "job").await;
    browser("two_tabs", async |page| {
        page.open_job(&runner, "job").await;
        let first = page.driver.window().await.unwrap();
        let second = page.driver.new_tab().await.unwrap();
        page.driver.switch_to_window(second).await.unwrap();
        let hooks = json!({ "source": include_str!("hooks.js") });
        page.driver.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", hooks).await.unwrap();
        page.open_job(&runner, "job").await;
        page.press_cancel("job").await;
        page.confirm("job").await;
        page.toast("success").await;
        assert_eq!(page.faults().await, Vec::<String>::new());
        page.driver.switch_to_window(first).await.unwrap();
        page.until("the other's cancel", "return t.status('job') === 'cancelled' && t.rows()[0].stop === 'stopping' && !t.shown(t.button('job'))").await;
        assert_eq!(page.get("return t.cancels().length").await, 0);
        let_end(&place);
        page.until("the other's stop", "return t.rows()[0].stop === 'stopped'").await;
        children.all_gone().await;
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_no_page() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let mut runner = Runner::start(&place, &[]).await;
    let url = runner.url.clone();
    slow_job(&place, &mut children, &runner, "job").await;
    browser("drain", async |page| {
        page.open_job(&runner, "job").await;
        page.until("live", "return t.progress().querySelector('.link').textContent === 'Live'").await;
        // It waits for the work; a cancel during the drain is heard.
        runner.signal(Signal::TERM);
        runner.logged("draining").await;
        let_end(&place);
        page.cancel("job").await;
        assert_eq!(runner.ended().await, Some(0));
        let runner = again(&place, &url).await;
        page.until("the truth", "return t.status('job') === 'cancelled' && t.rows()[0].stop === 'stopped'")
            .await;
        children.all_gone().await;
        drop(runner);
    })
    .await;
}
