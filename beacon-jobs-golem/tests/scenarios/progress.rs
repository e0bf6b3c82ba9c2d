//! How far work has come, while it runs.

use std::sync::Arc;

use beacon_jobs::job::ExecutionStatus;
use serde_json::{Value, json};

use super::bed::{Bed, comes_true, input};
use super::{Trouble, World};

fn script(programs: &[&str]) -> Value {
    let commands =
        programs.iter().map(|program| json!({ "run": { "entry_point": program, "args": ["one"] } }));
    let mut asked = input("");
    asked["commands"] = commands.collect();
    asked
}

/// Whether progress reads as it should, after what it read before.
type Look = fn(&str, &str) -> bool;

/// Runs a script whose last command goes on, until its progress reads like each of these in turn meanwhile.
async fn shows<W: World>(bed: &Bed<W>, programs: &[&str], wanted: &[Look]) {
    let _runner = bed.runner().await;
    let id = bed.submit(script(programs)).await;
    let mut before = String::new();
    for fits in wanted {
        let mut now = String::new();
        let is_shown = async || {
            now = bed.record(&id).await.progress.map(|it| it.to_string()).unwrap_or_default();
            fits(&now, &before)
        };
        assert!(comes_true(is_shown).await, "after {before:?} it becomes no more than {now:?}");
        before = now;
    }
    assert_eq!(bed.record(&id).await.status, ExecutionStatus::Running);
    bed.world.complete();
    let record = bed.outcome(&id).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    assert_eq!(record.output.unwrap()["results"].as_array().unwrap().len(), programs.len());
    let all = format!("{0} of {0}", programs.len());
    assert_eq!(record.progress.map(|it| it.to_string()), Some(all));
    bed.clean().await;
}

pub(crate) async fn commands_that_are_done_are_counted_while_the_next_one_runs<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    shows(&bed, &["echo", "echo", "go_on"], &[|now, _| now == "2 of 3: run go_on"]).await;
}

/// A genuine daemon brings one line of this provider's with each stream.
pub(crate) async fn the_last_line_of_what_runs_is_shown<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let is_line: Look = |now, before| now.starts_with("1 of 2: run tick: tick ") && now != before;
    shows(&bed, &["echo", "tick"], &[is_line; 3]).await;
}

pub(crate) async fn a_provider_that_cannot_stream_costs_no_more_than_the_lines<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    world.make(Trouble::NoStream(true)).await;
    shows(&bed, &["echo", "tick"], &[|now, _| now == "1 of 2: run tick"]).await;
}
