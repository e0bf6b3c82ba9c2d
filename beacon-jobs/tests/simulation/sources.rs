//! Nothing in the runner may be decided by chance, or a seed would not repeat it.

use std::fs;
use std::path::{Path, PathBuf};

/// What the runner and the memory store are made of.
const FOLDERS: [&str; 6] = ["runner", "jobs", "context", "executor", "store/memory", "store/rules"];

/// Hash maps and sets, by the names of their fields and variables. Where they are walked through, the
/// order is that of a hash.
const HASHED: [&str; 3] = ["HashMap<", "HashSet<", "DashMap<"];

/// Walks whose order decides nothing: what they bring is sorted or counted.
const SORTED: [&str; 5] = [
    // `Node::running_ids` sorts, `Node::attempts_where` collects into a tree.
    "self.running.iter().map(|running| running.key().clone()).collect();",
    "self.attempts.iter().filter(|attempt| fits(attempt));",
    // Both are collected into one tree in `State::prune`.
    "self.rows.attempts.values().map(|attempt| attempt.fence.incarnation);",
    "self.rows.jobs.values().filter_map(|job| job.fence.map(|fence| fence.incarnation));",
    // A snapshot is a tree.
    "state.rows.attempts.values().map(|row| {",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            // Real children run there, which no seed repeats.
            if path.ends_with("executor/process") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(&source.join(folder), &mut found);
    }
    let clock = source.join("clock.rs");
    found.push((clock.clone(), fs::read_to_string(clock).unwrap()));
    found
}

#[test]
fn every_select_is_biased() {
    let mut count = 0;
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("select! {")) {
            count += 1;
            assert_eq!(
                lines.get(number + 1).copied(),
                Some("biased;"),
                "{}:{}: {line} draws the first branch by chance",
                path.display(),
                number + 1,
            );
        }
    }
    assert!(count >= 8, "only {count} found: the search looks for the wrong words");
}

/// A `watch` channel wakes those who wait for it in an order drawn by chance.
#[test]
fn no_watch_channel_has_more_than_one_reader_that_waits() {
    // The first two have one reader, their attempt's task; the third is only looked at; the last tells
    // those who watch a job from outside, and nothing of a node waits for it.
    const KNOWN: [&str; 4] = [
        "force_at: watch::Sender<Option<OffsetDateTime>>",
        "told: watch::Sender<Option<ExecutionProgress>>",
        "incarnation: watch::Sender<Option<IncarnationId>>",
        "sender: watch::Sender<Seen>",
    ];
    let mut found = 0;
    for (path, text) in sources() {
        for line in text.lines().filter(|line| line.contains("watch::Sender<")) {
            found += 1;
            let is_known = KNOWN.iter().any(|known| line.contains(known));
            assert!(is_known, "{}: `{}` may wake in any order", path.display(), line.trim());
        }
    }
    assert!(found >= KNOWN.len(), "only {found} found: the search looks for the wrong words");
}

/// The names of fields and variables of a hashed type in this text.
fn hashed_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_start_matches("let ").trim_start_matches("mut ");
        let Some((name, kind)) = line.split_once(": ") else { continue };
        if HASHED.iter().any(|hashed| kind.contains(hashed)) {
            let name = name.rsplit([' ', '(']).next().unwrap_or(name);
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn nothing_is_decided_by_the_order_of_a_hash() {
    let sources = sources();
    let mut names: Vec<String> = sources.iter().flat_map(|(_, text)| hashed_names(text)).collect();
    names.sort();
    names.dedup();
    assert!(names.iter().any(|name| name == "running") && names.len() >= 6, "found only {names:?}");
    const WALKS: [&str; 8] = [
        ".iter()",
        ".iter_mut()",
        ".values()",
        ".values_mut()",
        ".keys()",
        ".into_iter()",
        ".drain(",
        ".retain(",
    ];
    for (path, text) in &sources {
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let walked = |name: &String| {
                let in_loop = line.starts_with("for ")
                    && [format!("in &self.{name} "), format!("in &node.{name} "), format!("in &{name} ")]
                        .iter()
                        .any(|walk| line.contains(walk.as_str()));
                let called = WALKS.iter().any(|walk| {
                    ["self.", "node.", "rows.", "state."]
                        .iter()
                        .any(|owner| line.contains(&format!("{owner}{name}{walk}")))
                });
                in_loop || called
            };
            let is_fine = SORTED.iter().any(|sorted| line.contains(sorted));
            if let Some(name) = names.iter().find(|name| walked(name)).filter(|_| !is_fine) {
                // The memory store keeps trees of the same names beside its hashed rows.
                let is_tree = text.contains(&format!("{name}: BTreeMap<"))
                    || (path.ends_with("nodes.rs") || path.ends_with("state.rs"))
                        && line.contains("self.running.");
                assert!(is_tree, "{}:{}: `{line}` walks in the order of a hash", path.display(), number + 1);
            }
        }
    }
}
