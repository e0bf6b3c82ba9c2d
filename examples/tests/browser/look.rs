//! How the portal looks, light and dark, and to those who hear it.

use serde_json::{Value, json};

use crate::driver::{browser, pictures};
use crate::page::Page;
use crate::support::{Children, Place, Runner};

async fn scheme(page: &Page, scheme: &str) {
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    page.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await.unwrap();
}

/// The least contrast between text and its ground, of all that is seen, as WCAG counts it.
const CONTRAST: &str = "
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
    const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4); return .2126 * x + .7152 * y + .0722 * z; };
    const ground = (node) => { for (; node; node = node.assignedSlot ?? node.parentElement ?? node.getRootNode().host) { const color = rgba(getComputedStyle(node).backgroundColor); if (color[3] === 255) return color; } return [255, 255, 255]; };
    let least = {ratio: 21, text: ''};
    const look = (node) => {
        for (const child of node.children) {
            if (!t.shown(child)) continue;
            const text = [...child.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.data.trim()).join('');
            if (text) {
                const [one, other] = [light(rgba(getComputedStyle(child).color)), light(ground(child))].sort((a, b) => b - a);
                const ratio = (one + .05) / (other + .05);
                if (ratio < least.ratio) least = {ratio, text, ground: getComputedStyle(child).color};
            }
            if (child.shadowRoot) look(child.shadowRoot);
            look(child);
        }
    };
    look(document.body);
    return least;";

#[tokio::test]
async fn light_and_dark_can_be_read_and_differ() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let job = json!({
        "id": "bias-2026-11",
        "matrix": {
            "questions": ["Which jobs suit whom?", "Who should lead, and why?"],
            "models": ["llama3.2-1b", "qwen2.5-1.5b"], "regions": ["us-east", "eu-west"],
        },
        "template": {"executor": "process", "input": children.input("sleep 600")},
    });
    let work = |command: Value| json!({"executor": "process", "input": {"command": command}});
    runner
        .submit(
            &place,
            &json!({"id": "calibration", "executions": [work(json!(["true"])), work(json!(["true"]))]}),
        )
        .await;
    runner.submit(&place, &json!({"id": "nightly-sweep", "executions": [work(json!(["sleep", "600"])), work(json!(["true"]))]})).await;
    runner.submit(&place, &job).await;
    children.said("up", 4).await;
    browser("look", async |page| {
        scheme(page, "light").await;
        page.open_job(&runner, "bias-2026-11").await;
        page.cancel("bias-2026-11").await;
        page.toast("success").await;
        page.until("settled", "return t.rows().every((row) => ['stopped', 'never started'].includes(row.stop))").await;
        page.get("document.getElementById('jobs').scrollIntoView(); document.activeElement.blur(); scrollTo(0, 0)").await;
        page.until("all at rest", "return document.getAnimations().length === 0").await;
        let mut grounds = Vec::new();
        for name in ["light", "dark"] {
            scheme(page, name).await;
            let least = page.get(CONTRAST).await;
            assert!(least["ratio"].as_f64().unwrap() >= 4.5, "{name}: {least}");
            grounds.push(page.get("return getComputedStyle(document.body).backgroundColor + getComputedStyle(t.progress().querySelector('thead th')).backgroundColor").await);
            page.driver.screenshot(&pictures().join(format!("portal-{name}.png"))).await.unwrap();
        }
        assert_ne!(grounds[0], grounds[1], "dark is not light");
        page.press_cancel("nightly-sweep").await;
        for name in ["light", "dark"] {
            scheme(page, name).await;
            let least = page.get(CONTRAST).await;
            assert!(least["ratio"].as_f64().unwrap() >= 4.5, "{name}, with the question: {least}");
            page.driver.screenshot(&pictures().join(format!("question-{name}.png"))).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn every_control_has_a_name_and_a_role() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    runner.submit(&place, &json!({"id": "job", "executions": [{"executor": "process", "input": children.input("sleep 600")}]})).await;
    children.said("up", 1).await;
    browser("names", async |page| {
        page.open_job(&runner, "job").await;
        page.press_cancel("job").await;
        // As the browser tells a screen reader.
        let tree = page.driver.cdp().send_raw("Accessibility.getFullAXTree", json!({})).await.unwrap();
        let text = |node: &Value, name: &str| node[name]["value"].as_str().unwrap_or_default().to_owned();
        let nodes: Vec<_> = tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect();
        let has = |role: &str, name: &str| nodes.iter().any(|(its, named)| its == role && named == name);
        assert!(has("dialog", "Cancel this job?"), "{nodes:?}");
        assert!(
            has("textbox", "Reason (optional)")
                && has("button", "Keep running")
                && has("button", "Cancel job"),
            "{nodes:?}"
        );
        page.click("return t.dialog('job').querySelector('.keep')").await;
        let tree = page.driver.cdp().send_raw("Accessibility.getFullAXTree", json!({})).await.unwrap();
        let nodes: Vec<_> = tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect();
        for role in ["button", "link", "textbox", "table", "progressbar", "dialog"] {
            for (its, name) in nodes.iter().filter(|(its, _)| its == role) {
                assert!(!name.is_empty(), "a {its} without a name: {nodes:?}");
            }
        }
        assert!(nodes.contains(&("button".to_owned(), "Cancel Job job".to_owned())), "{nodes:?}");
        assert!(nodes.contains(&("table".to_owned(), "Executions".to_owned())), "{nodes:?}");
        assert_eq!(
            page.get(
                "return t.progress().querySelector('[role=progressbar]').getAttribute('aria-valuetext')"
            )
            .await,
            "0 of 1 over"
        );
    })
    .await;
}
