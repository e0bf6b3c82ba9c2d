//! Interleaved pairs of a measured call and its floor, and the table of their ratios.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use criterion::Criterion;
use hdrhistogram::Histogram;

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How a bench binary was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By `cargo bench`: measure.
    Full,
    /// By `cargo test --benches`: run everything once, on little.
    Smoke,
    /// By a test runner that wants names only.
    List,
}

impl Mode {
    /// Reads the arguments as criterion does.
    pub(crate) fn of_process() -> Self {
        let has = |flag: &str| std::env::args().any(|argument| argument == flag);
        if has("--list") {
            Self::List
        } else if has("--bench") && !has("--test") {
            Self::Full
        } else {
            Self::Smoke
        }
    }

    /// Picks a size.
    pub(crate) fn pick<T>(self, full: T, smoke: T) -> T {
        if self == Self::Full { full } else { smoke }
    }
}

/// The machine's steady clock: benches measure the machine itself.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine, so no other clock will do")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs `work` and tells how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = now();
    let output = std::hint::black_box(work());
    (start.elapsed(), output)
}

/// Has criterion decide how many rounds there are. A round takes the measured call and its floor in
/// turn; what `rounds` returns is the sum of the measured calls.
pub(crate) fn bench(
    criterion: &mut Criterion,
    name: &str,
    mut rounds: impl FnMut(u64) -> Result<Duration>,
) -> Result<()> {
    let mut failed = None;
    let mut is_warm = false;
    criterion.bench_function(name, |bencher| {
        if !is_warm {
            // What is made once is made here: criterion takes the time of its first call for that of a
            // round.
            failed = rounds(1).err();
            is_warm = true;
        }
        bencher.iter_custom(|count| {
            if failed.is_none() {
                match rounds(count) {
                    Ok(sum) => return sum.max(Duration::from_nanos(1)),
                    Err(error) => failed = Some(error),
                }
            }
            // Criterion cannot be told to stop; it is soon through with rounds that cost nothing.
            Duration::from_micros(100)
        });
    });
    failed.map_or(Ok(()), Err)
}

/// A measured call and its floor, taken in turn.
pub(crate) struct Pair {
    pub(crate) name: String,
    /// The most that the measured call may cost, as a multiple of its floor, at p50. None: told
    /// only.
    pub(crate) budget: Option<f64>,
    measured: Histogram<u64>,
    floor: Histogram<u64>,
}

impl Pair {
    pub(crate) fn new(name: impl Into<String>, budget: Option<f64>) -> Result<Self> {
        Ok(Self { name: name.into(), budget, measured: Histogram::new(3)?, floor: Histogram::new(3)? })
    }

    /// Adds one round: both were taken one right after the other.
    pub(crate) fn record(&mut self, measured: Duration, floor: Duration) {
        for (histogram, taken) in [(&mut self.measured, measured), (&mut self.floor, floor)] {
            // Grows by itself; what no longer fits in 64 bits of nanoseconds is no duration of ours.
            let _ = histogram.record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Whether no round was taken, as when criterion was given a filter.
    pub(crate) fn is_empty(&self) -> bool {
        self.measured.is_empty()
    }

    /// The ratio at this quantile.
    pub(crate) fn ratio(&self, quantile: f64) -> f64 {
        ratio(self.measured.value_at_quantile(quantile), self.floor.value_at_quantile(quantile))
    }

    /// The median of the measured call.
    pub(crate) fn p50(&self) -> Duration {
        Duration::from_nanos(self.measured.value_at_quantile(0.5))
    }

    fn cells(&self) -> [String; 7] {
        let at = |histogram: &Histogram<u64>, quantile| nanos(histogram.value_at_quantile(quantile));
        [
            self.name.clone(),
            at(&self.measured, 0.5),
            at(&self.measured, 0.99),
            at(&self.floor, 0.5),
            at(&self.floor, 0.99),
            format!("{:.2}", self.ratio(0.5)),
            format!("{:.2}", self.ratio(0.99)),
        ]
    }
}

fn ratio(measured: u64, floor: u64) -> f64 {
    measured as f64 / floor.max(1) as f64
}

fn nanos(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        _ => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

/// What a bench says at its end.
pub(crate) struct Table {
    title: &'static str,
    rows: Vec<[String; 9]>,
}

const HEAD: [&str; 9] =
    ["", "p50", "p99", "floor p50", "floor p99", "ratio p50", "ratio p99", "budget", "verdict"];

impl Table {
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// Adds a pair, judged at p50.
    pub(crate) fn pair(&mut self, pair: &Pair) {
        if pair.is_empty() {
            return;
        }
        let [name, p50, p99, floor_p50, floor_p99, ratio_p50, ratio_p99] = pair.cells();
        let (budget, verdict) = at_most(pair.ratio(0.5), pair.budget);
        self.rows.push([name, p50, p99, floor_p50, floor_p99, ratio_p50, ratio_p99, budget, verdict]);
    }

    /// Adds a figure that must be at most the budget.
    pub(crate) fn figure(&mut self, name: &str, figure: f64, digits: usize, budget: Option<f64>) {
        let (budget, verdict) = at_most(figure, budget);
        self.plain(name, format!("{figure:.digits$}"), budget, verdict);
    }

    /// Adds a figure that must be at least the budget.
    pub(crate) fn least(&mut self, name: &str, figure: f64, budget: Option<f64>) {
        let verdict = match budget {
            Some(budget) if figure >= budget => "met",
            Some(_) => "MISSED",
            None => "told only",
        };
        let budget = budget.map_or_else(String::new, |budget| format!(">= {budget}"));
        self.plain(name, format!("{figure:.1}"), budget, verdict.to_owned());
    }

    fn plain(&mut self, name: &str, figure: String, budget: String, verdict: String) {
        let mut row: [String; 9] = std::array::from_fn(|_| String::new());
        (row[0], row[5], row[7], row[8]) = (name.to_owned(), figure, budget, verdict);
        self.rows.push(row);
    }

    /// Prints it. After a smoke run the figures mean nothing, and it says so.
    #[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
    pub(crate) fn print(&self, mode: Mode) {
        if mode == Mode::List || self.rows.is_empty() {
            return;
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or_default()
        };
        let widths: [usize; 9] = std::array::from_fn(width);
        let line = |cells: [&str; 9]| {
            let mut line = format!("{:<width$}", cells[0], width = widths[0]);
            for (cell, width) in cells.iter().zip(widths).skip(1) {
                let _ = write!(line, "  {cell:>width$}");
            }
            line
        };
        let smoke = if mode == Mode::Smoke { " (smoke run: the figures mean nothing)" } else { "" };
        println!("\n{}{smoke}", self.title);
        println!("{}", line(HEAD));
        for row in &self.rows {
            println!("{}", line(row.each_ref().map(String::as_str)));
        }
        println!();
    }
}

fn at_most(figure: f64, budget: Option<f64>) -> (String, String) {
    match budget {
        Some(budget) if figure <= budget => (format!("<= {budget}"), "met".to_owned()),
        Some(budget) => (format!("<= {budget}"), "MISSED".to_owned()),
        None => (String::new(), "told only".to_owned()),
    }
}
