//! A browser of a test's own.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Once;

use futures_util::FutureExt;
use serde_json::json;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::{DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::page::Page;

/// What runs in every page before its own scripts.
const HOOKS: &str = include_str!("hooks.js");

/// Runs a test in a new browser. Whatever the outcome, the browser ends and a picture of the page is
/// kept; a violation of the content security policy or an error of a script fails the test.
pub(crate) async fn browser(name: &str, test: impl AsyncFnOnce(&Page)) {
    let (mut program, url) = chromedriver().await;
    let profile = tempfile::tempdir().unwrap();
    let mut chrome = DesiredCapabilities::chrome();
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1280,1180",
    ] {
        chrome.add_arg(argument).unwrap();
    }
    chrome.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
    chrome.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    let driver = WebDriver::new(url, chrome).await.unwrap();
    let page = Page::new(driver.clone());
    let outcome = AssertUnwindSafe(async {
        driver
            .cdp()
            .send_raw("Page.addScriptToEvaluateOnNewDocument", json!({ "source": HOOKS }))
            .await
            .unwrap();
        test(&page).await;
        assert_eq!(page.faults().await, Vec::<String>::new(), "the browser complains");
    })
    .catch_unwind()
    .await;
    let picture = driver.screenshot(&pictures().join(format!("{name}.png"))).await;
    let ended = driver.quit().await;
    program.kill().await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    picture.unwrap();
    ended.unwrap();
}

/// Where pictures are kept: beside what was built.
pub(crate) fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn chromedriver() -> (Child, String) {
    // The client of the driver is built with TLS, though it speaks to the loopback alone.
    static TLS: Once = Once::new();
    TLS.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
        panic!("chromedriver does not start ({error}): scripts/test installs chromium and chromium-driver")
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim_end_matches('.').to_owned();
            // It writes on; a pipe that is closed would end it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, format!("http://127.0.0.1:{port}"));
        }
    }
    panic!("chromedriver ended before it listened");
}
