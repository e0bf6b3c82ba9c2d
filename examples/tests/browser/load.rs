//! A job of 500 executions in a page: what is written to it follows what changed, not how large it is.

use serde_json::{Value, json};

use crate::driver::browser;
use crate::support::{Place, Runner};

const EXECUTIONS: usize = 500;

/// Counts, from now on, what is written to the table and how often a frame was drawn.
const COUNT: &str = "
    const seen = window.seen = {rows: 0, writes: 0, most: new Map()};
    const at = (node) => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement)?.closest?.('tr[data-execution]')?.dataset.execution;
    new MutationObserver((records) => {
        for (const record of records) {
            seen.writes += 1;
            const row = at(record.target);
            if (row !== undefined) seen.most.set(row, (seen.most.get(row) ?? 0) + 1);
            for (const node of [...record.addedNodes, ...record.removedNodes]) if (node.nodeName === 'TR') seen.rows += 1;
        }
    }).observe(t.progress().querySelector('table'), {subtree: true, childList: true, characterData: true, attributes: true});";

#[tokio::test]
async fn a_job_of_500_executions_stays_smooth() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--no-runner"]).await;
    let questions: Vec<String> = (0..25).map(|number| format!("question {number}")).collect();
    let regions: Vec<String> = (0..5).map(|number| format!("region {number}")).collect();
    let job = json!({
        "id": "large",
        "matrix": {"questions": questions, "models": ["a", "b", "c", "d"], "regions": regions},
        "template": {"executor": "process", "input": {"command": ["sleep", "600"]}},
    });
    runner.submit(&place, &job).await;
    browser("load", async |page| {
        page.open_job(&runner, "large").await;
        page.until("all rows", &format!("return t.rows().length === {EXECUTIONS}")).await;
        page.until("live", "return t.progress().querySelector('.link').textContent === 'Live'").await;
        page.get(COUNT).await;
        page.cancel("large").await;
        let all = format!("return t.rows().every((row) => row.stop === 'never started') && t.line().includes('{EXECUTIONS} cancelled')");
        page.until("all are cancelled", &all).await;
        // At the end all is read once more, for the outputs, and found to be as it is.
        page.until("read again", "return document.querySelector('beacon-job-progress').getAttribute('state') === 'over'").await;
        page.get("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))").await;
        let seen = page.get("return {rows: seen.rows, writes: seen.writes, touched: seen.most.size, most: Math.max(...seen.most.values())}").await;
        let count = |name: &str| seen[name].as_u64().unwrap() as usize;
        assert_eq!(count("rows"), 0, "no row is made anew: {seen}");
        assert_eq!(count("touched"), EXECUTIONS, "{seen}");
        // Two marks with a text and a look each, and not one of them twice.
        assert!(count("most") <= 4 && count("writes") <= 4 * EXECUTIONS + 100, "{seen}");
        // Many changes are one frame, and the page can still be used.
        let toast = page.toast("success").await;
        assert_eq!(toast["text"], "500 executions cancelled. 500 with nothing to stop.", "{toast}");
        page.click("return document.getElementById('about-title')").await;
        assert_eq!(page.get("return document.getElementById('about-title').parentElement.open").await, true);
    })
    .await;
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--no-runner"]).await;
    let job = json!({"id": "job", "executions": [{"executor": "process", "input": {"command": ["true"]}}]});
    runner.submit(&place, &job).await;
    browser("quiet", async |page| {
        page.open_job(&runner, "job").await;
        let count = "window.writes = 0; new MutationObserver((records) => { writes += records.length; }).observe(document.getElementById('jobs'), {subtree: true, childList: true, characterData: true})";
        page.get(count).await;
        let lists = "return t.calls.filter((call) => call.url.includes('/jobs?') && call.status === 200).length";
        let before = page.get(lists).await.as_u64().unwrap();
        page.until("the list was read twice more", &format!("{} >= {}", lists, before + 2)).await;
        assert_eq!(page.get("return writes").await, Value::from(0));
    })
    .await;
}
