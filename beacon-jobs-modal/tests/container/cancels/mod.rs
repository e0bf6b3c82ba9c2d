//! Real functions are cancelled: what Modal's runtime said, when work really ended, and what we said and
//! when.

mod document;
mod hard;
pub(crate) mod row;

use futures_util::StreamExt;

use self::row::{Manner, Row};
use crate::runtime;

/// The functions, by name, and what they do.
const FUNCTIONS: &[(&str, &str)] = &[
    ("plain", "sync, a loop"),
    ("swallows", "sync, catches `BaseException` and goes on"),
    ("saves", "sync, catches `BaseException` and returns"),
    ("with_thread", "sync, waits for a thread that works"),
    ("with_child", "sync, waits for a child process that works"),
    ("in_c", "sync, inside one long call into C"),
    ("awaits", "async, awaits"),
    ("swallows_async", "async, catches `CancelledError` and goes on"),
    ("blocks", "async, never awaits"),
    ("web_awaits", "web app (ASGI), an `async` handler"),
    ("web_thread", "web app (ASGI), a handler in a thread, as frameworks run a `def`"),
];

/// How many rows are run side by side, for each processor: they mostly wait.
const AT_ONCE: usize = 3;

fn rows() -> Vec<Row> {
    let all = FUNCTIONS.iter().map(|(function, _)| *function);
    let both =
        all.flat_map(|function| [Manner::Graceful, Manner::Immediate].map(|manner| Row { function, manner }));
    let lazy =
        ["swallows", "with_thread", "with_child"].map(|function| Row { function, manner: Manner::Lazy });
    let early = ["swallows", "saves", "with_thread"].map(|function| Row { function, manner: Manner::Early });
    both.chain(lazy).chain(early).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_confirmed_while_a_real_function_computes() {
    let Some(python) = runtime::python() else { return };
    let at_once = AT_ONCE * std::thread::available_parallelism().unwrap().get();
    let run = async |row: Row| (row, row::run(row, &python).await);
    let mut outcomes: Vec<_> = futures_util::stream::iter(rows()).map(run).buffered(at_once).collect().await;
    let mut wrong = Vec::new();
    for (row, outcome) in &mut outcomes {
        for what in outcome.wrong.drain(..).collect::<Vec<_>>() {
            wrong.push(format!("{row:?}: {what}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    document::compare(&outcomes, &python);
}
