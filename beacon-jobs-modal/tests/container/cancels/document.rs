//! `CONTAINERS.md`: the table of what was measured.

use std::path::Path;
use std::process::Command;

use super::FUNCTIONS;
use super::row::{Manner, Outcome, Row};

const HEAD: &str = "\
<!-- Made by the test `container`: scripts/modal-container, then
     UPDATE=1 cargo nextest run -p beacon-jobs-modal --all-features -E 'binary(=container)' -->

# What real containers do when their call is cancelled

Modal's own container runtime, as the PyPI package `modal` ships it, runs real Python functions here. Their
inputs come from this crate's fake control plane, and each is cancelled through a real runner and a real
`ModalExecutor`. A function ticks into a file every 20 ms while it works.

**What is Modal's own here** is the runtime: which signal or exception reaches a function, what it reports of
the input and when, and what goes on afterwards. **What is not** is the worker around it, which nobody outside
Modal can see: the tests play it. A cancel is handed to the runtime at once. A container that a cancel is to end
is sent SIGINT a second later, and all its processes SIGKILL two seconds after that; with its first process
all others end. A container is a process group here, on record as finished only when no process of it is left.

How a call is cancelled:

- *graceful*: with 1.5 s of grace, after which its container is to end;
- *immediate*: its container is to end at once;
- *immediate, lazy worker*: the same, but the worker ends no container before it is stopped by its own name,
  which the executor does two seconds later;
- *immediate, marked at once*: the same as *immediate*, but the control plane calls the input terminated as soon
  as it is cancelled, whatever its container says.

Times are seconds since the cancel. The test compares all but the times, and what ended the container, with what
it sees; that nothing is confirmed before the last tick, and before the last process has ended, it demands of each row.
";

const COLUMNS: [(&str, Checked); 12] = [
    ("function", Checked::Yes),
    ("cancel", Checked::Yes),
    ("the runtime reports", Checked::Yes),
    ("after", Checked::No),
    ("work goes on after that", Checked::Yes),
    ("last tick", Checked::No),
    ("last process", Checked::No),
    ("ended by", Checked::No),
    ("the executor says first", Checked::No),
    ("and in the end", Checked::Yes),
    ("after", Checked::No),
    ("late output", Checked::Yes),
];

#[derive(Clone, Copy, PartialEq)]
enum Checked {
    Yes,
    No,
}

/// Compares what was seen with the committed document, or writes it.
pub(super) fn compare(outcomes: &[(Row, Outcome)], python: &Path) {
    let made = document(outcomes, python);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTAINERS.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let (made, known) = (without_times(&made), without_times(&known));
    assert!(made == known, "CONTAINERS.md says otherwise; run this with UPDATE=1\n{made}\n{known}");
}

fn document(outcomes: &[(Row, Outcome)], python: &Path) -> String {
    let names = COLUMNS.map(|(name, _)| name.to_owned());
    let mut lines = vec![HEAD.to_owned(), made_with(python), String::new(), line(&names)];
    lines.push(line(&COLUMNS.map(|_| "---".to_owned())));
    lines.extend(outcomes.iter().map(|(row, outcome)| line(&cells(*row, outcome))));
    lines.join("\n") + "\n"
}

fn made_with(python: &Path) -> String {
    let ask = "import modal, platform; print('Made with `modal`', modal.__version__, 'and Python', \
               platform.python_version(), 'on', platform.system(), platform.machine() + '.')";
    let output = Command::new(python).args(["-c", ask]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn line(cells: &[String; 12]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cells(row: Row, outcome: &Outcome) -> [String; 12] {
    let what = FUNCTIONS.iter().find(|(name, _)| *name == row.function).unwrap().1;
    let manner = match row.manner {
        Manner::Graceful => "graceful",
        Manner::Immediate => "immediate",
        Manner::Lazy => "immediate, lazy worker",
        Manner::Early => "immediate, marked at once",
    };
    let (reported, after, goes_on) = match outcome.reported {
        Some((status, at)) => {
            let status = status.as_str_name().trim_start_matches("GENERIC_STATUS_").to_lowercase();
            let goes_on = if outcome.last_tick > at { "**yes**" } else { "no" };
            (status, seconds(at), goes_on)
        }
        None => ("nothing".to_owned(), String::new(), ""),
    };
    let [first @ .., (last, said_at)] = &*outcome.said else { panic!("{outcome:?}") };
    let first: Vec<_> = first.iter().map(|(word, at)| format!("{word} {}", seconds(*at))).collect();
    let late = outcome.late_output.as_ref().map_or_else(String::new, |value| format!("`{value}`"));
    [
        what.to_owned(),
        manner.to_owned(),
        reported,
        after,
        goes_on.to_owned(),
        seconds(outcome.last_tick),
        seconds(outcome.gone),
        if outcome.killed { "SIGKILL" } else { "SIGINT" }.to_owned(),
        first.join(", "),
        last.clone(),
        seconds(*said_at),
        late,
    ]
}

/// The clock that dates ticks is a coarse one, and the cancel may be a moment younger.
fn seconds(time: time::Duration) -> String {
    format!("{:.2}", time.as_seconds_f64().max(0.0))
}

/// What of a document is compared.
fn without_times(document: &str) -> String {
    let lines = document.lines().filter(|line| !line.starts_with("Made with")).map(|line| {
        if !line.starts_with('|') {
            return line.to_owned();
        }
        let cells = line.trim_matches('|').split('|').zip(COLUMNS);
        let checked = cells.filter(|(_, (_, checked))| *checked == Checked::Yes).map(|(cell, _)| cell.trim());
        checked.collect::<Vec<_>>().join(" | ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
