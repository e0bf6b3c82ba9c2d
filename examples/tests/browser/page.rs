//! What a test does in a page and sees there.

use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use thirtyfour::{WebDriver, WebElement};

use crate::support::{Runner, TOKEN};

/// How often a page is looked at.
const LOOK: Duration = Duration::from_millis(30);
/// When a test gives up. Nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with its pages.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) driver: WebDriver,
}

impl Page {
    pub(crate) fn new(driver: WebDriver) -> Self {
        Self { driver }
    }

    /// Opens the portal of a runner as its administrator.
    pub(crate) async fn open(&self, runner: &Runner) {
        self.go(&format!("{}/#token={TOKEN}", runner.url)).await;
        self.until("signed in", "return t.shown(document.getElementById('work'))").await;
    }

    /// Opens the portal and shows one job.
    pub(crate) async fn open_job(&self, runner: &Runner, id: &str) {
        self.open(runner).await;
        self.show_job(id).await;
    }

    /// Shows a job in the portal that is open.
    pub(crate) async fn show_job(&self, id: &str) {
        self.run("location.hash = `job=${arguments[0]}`", &[json!(id)]).await;
        self.until("the job's table", "return t.rows().length > 0").await;
    }

    pub(crate) async fn go(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let answer = self.driver.execute(script, arguments.to_vec()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    pub(crate) async fn get(&self, script: &str) -> Value {
        self.run(script, &[]).await
    }

    /// Waits until a script returns something that is true, and returns it.
    pub(crate) async fn until(&self, what: &str, script: &str) -> Value {
        let mut last = Value::Null;
        let wait = async {
            loop {
                last = self.get(script).await;
                if !matches!(last, Value::Null | Value::Bool(false)) {
                    return;
                }
                SystemClock.sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("waited in vain for {what}; the page says: {}", self.text().await);
        }
        last
    }

    /// The element that a script returns.
    pub(crate) async fn element(&self, script: &str) -> WebElement {
        self.until(script, &format!("return Boolean({})", script.trim_start_matches("return "))).await;
        self.driver.execute(script, Vec::new()).await.unwrap().element().unwrap()
    }

    /// Clicks, with the mouse, on the element that a script returns, once it is to be seen.
    pub(crate) async fn click(&self, script: &str) {
        self.until(script, &format!("return t.shown({})", script.trim_start_matches("return "))).await;
        let element = self.element(script).await;
        element.click().await.unwrap_or_else(|error| panic!("{script}: {error}"));
    }

    /// Puts a button on top of the page that is told once that its job runs.
    pub(crate) async fn add_button(&self, id: &str) {
        let script = "const button = document.createElement('beacon-cancel-button');
            button.setAttribute('job-id', arguments[0]);
            button.setAttribute('token-key', 'beacon-token');
            button.setAttribute('status', 'running');
            document.querySelector('main').prepend(button);";
        self.run(script, &[json!(id)]).await;
    }

    pub(crate) async fn press_cancel(&self, id: &str) {
        self.until("a button that can be pressed", &format!("return t.shown(t.button('{id}'))")).await;
        self.click(&format!("return t.button('{id}')")).await;
        self.until("the question", &format!("return t.dialog('{id}').open")).await;
    }

    pub(crate) async fn confirm(&self, id: &str) {
        self.click(&format!("return t.dialog('{id}').querySelector('.confirm')")).await;
    }

    /// Presses the button of a job and confirms.
    pub(crate) async fn cancel(&self, id: &str) {
        self.press_cancel(id).await;
        self.confirm(id).await;
    }

    /// Waits for a message of this kind.
    pub(crate) async fn toast(&self, kind: &str) -> Value {
        let script = format!("return t.toasts().find((toast) => toast.kind === '{kind}') ?? null");
        self.until(&format!("a message of {kind}"), &script).await
    }

    pub(crate) async fn text(&self) -> String {
        self.get("return t.text()").await.as_str().unwrap_or_default().to_owned()
    }

    /// What the browser complained of since the last look. That a request was refused is no complaint:
    /// tests that expect it look at what the page made of it.
    pub(crate) async fn faults(&self) -> Vec<String> {
        let log = self.driver.get_log("browser").await.unwrap();
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE").map(|entry| entry.message);
        let refused =
            |message: &String| message.contains("Failed to load resource") || message.contains("net::ERR_");
        let mut faults: Vec<String> = severe.filter(|message| !refused(message)).collect();
        let own = self.get("return t.faults.splice(0)").await;
        faults.extend(own.as_array().into_iter().flatten().map(ToString::to_string));
        faults
    }
}
